"""The explanation of a class's clips: written, read back, cut, and asked for what stands out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.explainers.sounds import explanation_sounds
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.lrp.attributor import heatmaps
from earmark.lrp.rules import Rules
from earmark.models.base import Network
from earmark.sound.logmel import LogMel
from earmark.sound.masks import masks
from tests.unit.networks import Residual, drawn


def explained(maps: torch.Tensor, path: Path = Path("heatmaps.safetensors")) -> Explanation:
    """Explain clips 10, 11, ...; all but the last are scored, the first is shown."""
    clips = torch.arange(10, 10 + len(maps))
    places = torch.arange(len(maps))
    scored, gallery = places < len(maps) - 1, places == 0
    return Explanation(clips, clips.float(), gallery, scored, maps, None, None, 3, {"sum_error": 0.5}, path)


def test_the_strongest_clips_come_first_whatever_their_sign_elsewhere() -> None:
    maps = torch.zeros(5, 2, 1, 4, 4)
    maps[:, 0, 0, 0, 0] = torch.tensor([1.0, 5.0, -9.0, 3.0, 5.0])
    maps[:, 1, 0, 1, 2] = torch.tensor([-1.0, -2.0, -3.0, -4.0, 0.0])
    maps[1, 0, 0, 2, 2] = -1.0
    found = explained(maps)
    assert found.relevance[:, 0].tolist() == [1, 4, -9, 3, 5]
    assert found.strongest(3).tolist() == [[4, 1, 3], [4, 0, 1]]
    assert explained(torch.ones(5, 1, 1, 1, 1)).strongest(3).tolist() == [[0, 1, 2]]  # the earlier of equal ones
    assert found.only(torch.tensor([0, 1])).strongest(3).tolist() == [[1, 0], [0, 1]]
    assert found.only(torch.zeros(5, dtype=torch.bool)).strongest(3).shape == (2, 0)
    profiles = found.profiles()
    assert profiles.shape == (2, 1, 4, 4)
    assert float(profiles[0, 0, 0, 0]) == pytest.approx(14 / 5)
    assert float(profiles[1].sum()) == 0  # only what speaks for the class


def test_relevance_of_one_dimension_is_summed_too() -> None:
    assert explained(torch.ones(2, 3, 1, 7)).relevance.tolist() == [[7, 7, 7], [7, 7, 7]]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / explanation.NAME
    maps = torch.randn(4, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    explanation.write(explained(maps, path), {})
    found = explanation.read(path)
    assert torch.equal(found.heatmaps, maps)
    assert (found.left_out, found.checks, found.path) == (3, {"sum_error": 0.5}, path)
    assert found.samples is None and found.sounds is None
    assert found.only(found.scored).clips.tolist() == [10, 11, 12]
    assert torch.equal(found.of([13, 10]).heatmaps, maps[[3, 0]])


def test_a_clip_that_is_not_explained_is_named() -> None:
    with pytest.raises(EarmarkError, match="lacks clip 9: it is older than"):
        explained(torch.zeros(2, 1, 1, 2, 2)).of([10, 9])


def test_sounds_have_no_heatmaps() -> None:
    sounds = Explanation(*[torch.zeros(1)] * 4, None, None, torch.zeros(1, 2, 8), 0, {}, Path("x"))
    with pytest.raises(EarmarkError, match="makes sounds and no heatmaps"):
        _ = sounds.relevance


def test_the_check_tells_how_far_parts_are_from_their_sum() -> None:
    whole = torch.ones(1, 1, 1, 2, 2)
    found = explained(torch.cat([whole, whole]).reshape(1, 2, 1, 2, 2) / 2)
    assert explanation.checked(found, explained(whole))["sum_error"] == 0
    assert explanation.checked(found, explained(2 * whole))["sum_error"] == 0.5
    assert explanation.checked(found, explained(whole))["absorbed_share"] == pytest.approx(1 - 4 / 10)


# --- what passes by a layer -------------------------------------------------------------------------------------------

EPSILON = Rules((("*", "epsilon", 0.0),), 1e-9)


class Beside(Residual):
    """The same function, of which relevance takes the skip alone."""

    def added(self, branch: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        """Cut the branch off."""
        return branch.detach() + skipped


class Traced(NamedTuple):
    """Two clips [2, S] of a residual network; maps [2, 1, 8, 8] of all and of the skip, [2, 3, 1, 8, 8] of concepts."""

    frontend: LogMel
    waveforms: torch.Tensor
    logits: torch.Tensor
    standard: torch.Tensor
    skip: torch.Tensor
    at_branch: torch.Tensor
    at_sum: torch.Tensor

    def explained(self, maps: torch.Tensor) -> Explanation:
        """Make an explanation of maps [2, K, 1, 8, 8]."""
        return replace(explained(maps), logits=self.logits)


@pytest.fixture(scope="module")
def traced() -> Traced:
    frontend = LogMel(16000, 480, 240, n_mels=8, n_frames=8)
    generator = torch.Generator().manual_seed(3)
    waveforms = torch.randn(2, frontend.clip_samples, generator=generator)
    inputs, targets = frontend(waveforms).double(), torch.tensor([1, 0])
    model = Network.around(drawn(Residual()), frontend)
    subspaces = Subspaces(torch.linalg.qr(torch.randn(6, 6, generator=generator).double())[0], 3)
    return Traced(
        frontend,
        waveforms,
        model.logits(inputs).detach()[torch.arange(2), targets],
        heatmaps(model, inputs, targets, EPSILON),
        heatmaps(Network.around(drawn(Beside()), frontend), inputs, targets, EPSILON),
        concept_heatmaps(model, inputs, targets, "norm2", subspaces, EPSILON),
        concept_heatmaps(model, inputs, targets, "relu3", subspaces, EPSILON),
    )


def test_what_concepts_at_a_branch_lack_went_by_the_skip(traced: Traced) -> None:
    for maps, standard, skip in zip(traced.at_branch, traced.standard, traced.skip, strict=True):
        around = explanation.bypass(maps, standard)
        assert around is not None
        torch.testing.assert_close(around, skip, rtol=1e-5, atol=1e-5 * float(standard.abs().max()))
        torch.testing.assert_close(maps.sum(dim=0) + skip, standard, rtol=1e-5, atol=1e-5 * float(standard.abs().max()))


def test_nothing_passes_by_the_sum(traced: Traced) -> None:
    for maps, standard in zip(traced.at_sum, traced.standard, strict=True):
        assert explanation.bypass(maps, standard) is None
        torch.testing.assert_close(maps.sum(dim=0), standard, rtol=1e-5, atol=1e-5 * float(standard.abs().max()))


def test_the_share_of_what_passes_by_is_told(traced: Traced) -> None:
    whole = traced.explained(traced.standard.unsqueeze(1))
    at_branch = explanation.checked(traced.explained(traced.at_branch), whole)
    arrived = traced.standard.flatten(1).sum(dim=1)
    assert at_branch["bypass_share"] == pytest.approx(float((traced.skip.flatten(1).sum(dim=1) / arrived).mean()))
    assert abs(at_branch["bypass_share"]) > 0.05
    assert at_branch["sum_error"] == pytest.approx(float(traced.skip.abs().max() / traced.standard.abs().max()))
    at_sum = explanation.checked(traced.explained(traced.at_sum), whole)
    assert at_sum["bypass_share"] == pytest.approx(0, abs=1e-9)
    assert at_sum["sum_error"] < explanation.ROUNDING
    assert at_sum["absorbed_share"] == at_branch["absorbed_share"]  # of the standard explanation, not of its parts


def test_masks_and_sounds_of_concepts_and_of_what_passes_by_sum_to_the_standard_s(traced: Traced) -> None:
    """What passes by has its part of the mask; without it the concepts would be heard where it is."""
    for waveform, maps, standard in zip(traced.waveforms, traced.at_branch, traced.standard, strict=True):
        around = explanation.bypass(maps, standard)
        assert around is not None
        whole = masks(standard, standard.unsqueeze(0))[0]
        of_concepts = masks(standard, maps, bypass=around)
        of_bypass = masks(standard, torch.cat([maps, around.unsqueeze(0)]))[-1]
        torch.testing.assert_close(of_concepts.sum(dim=0) + of_bypass, whole)
        assert of_bypass.max() > 0.1 * whole.max()
        sounds = explanation_sounds(
            traced.frontend, waveform, standard.float(), maps.float(), {"percentile": 90.0, "inverse": "additive"}
        )
        assert set(sounds) == {"input", "standard", "concept1", "concept2", "concept3", "bypass", "rest"}
        parts = sum(sounds[name] for name in ("concept1", "concept2", "concept3", "bypass"))
        torch.testing.assert_close(parts, sounds["standard"], rtol=0, atol=1e-5)
        assert float(sounds["bypass"].abs().max()) > 0


def test_no_sound_is_made_of_nothing_that_passes_by(traced: Traced) -> None:
    sounds = explanation_sounds(
        traced.frontend,
        traced.waveforms[0],
        traced.standard[0].float(),
        traced.at_sum[0].float(),
        {"percentile": 90.0, "inverse": "additive"},
    )
    assert "bypass" not in sounds
    parts = sum(sounds[f"concept{number}"] for number in (1, 2, 3))
    torch.testing.assert_close(parts, sounds["standard"], rtol=0, atol=1e-5)

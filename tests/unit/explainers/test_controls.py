"""Controls are what they say they are, whatever the model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers import controls
from earmark.explainers.base import Background, Batch
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.seeds import derive
from earmark.store.layout import INPUT_LAYER
from tests.unit.conftest import FRONTEND

GRID, SAMPLES = FRONTEND.grid, FRONTEND.clip_samples

OCCLUSION: dict[str, Any] = {"lrp": {"rules": "occlusion"}, "explainers": {"lrp": {"patch": 16}}}


class Loudness(nn.Module):
    """Answers each class by the mean level of rows of its own, and the last class by none."""

    def __init__(self, rows: list[slice]) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        heard = [inputs[:, 0, rows].mean(dim=(1, 2)) for rows in self.rows]
        return torch.stack([*heard, torch.full_like(heard[0], -4.0)], dim=1)


LOW, HIGH = slice(0, 10), slice(22, 32)
MODEL = Network.around(Loudness([LOW, HIGH]), FRONTEND)


def tone(hertz: float, level: float = 0.3) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / FRONTEND.sample_rate)


def clips(count: int = 3) -> torch.Tensor:
    return torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(0)) / 4


def batch_of(waveforms: torch.Tensor, target: int = 0, stems: torch.Tensor | None = None) -> Batch:
    count = len(waveforms)
    known = torch.empty(count, 0, 0) if stems is None else stems
    return Batch(np.arange(count) + 5, waveforms, FRONTEND(waveforms), torch.full((count,), target), known)


def background_of(waveforms: torch.Tensor, targets: list[int], first: int = 50) -> Background:
    places = np.arange(len(waveforms)) + first
    return Background(places, FRONTEND(waveforms), torch.tensor(targets), waveforms)


def made(
    method: str, state: Any = None, seed: int = 1, model: Network = MODEL, **settings: Any
) -> explainers.Explainer:
    return explainers.build(method, model, INPUT_LAYER, fill(OCCLUSION | settings), state, seed)


def own(**settings: float) -> dict[str, Any]:
    return {"explainers": OCCLUSION["explainers"] | {"controls": settings}}


def many(method: str, **settings: Any) -> torch.Tensor:
    """Draw maps ``[200, F, T]``."""
    count = 200
    batch = Batch(np.arange(count), torch.empty(count, 0), torch.empty(count, 1), torch.zeros(count), torch.empty(0))
    maps = made(method, **settings)(batch).maps
    assert maps is not None
    return maps[:, 0, 0].double()


def test_noise_is_standard_normal_and_drawn_clip_by_clip() -> None:
    wanted = torch.empty(*GRID).normal_(generator=torch.Generator().manual_seed(derive(1, 7)))
    assert torch.equal(many("noise~3")[7], wanted[0].double())


@pytest.mark.parametrize(("method", "width"), [("cells~3", 0.1), ("smooth~3", 1.0), ("smooth~3", 2.5)])
def test_random_cells_are_uniform_everywhere_and_alike_as_far_as_they_are_blurred(method: str, width: float) -> None:
    maps = many(method, **own(width=width))
    assert maps.min() >= 0 and maps.max() <= 1
    deviation = 1 / math.sqrt(12)
    for part in (maps, maps[:, :1], maps[:, :, -1:], maps[:, 0, 0]):  # at the edges too
        drawn = max(200, part.numel() / max(1, 4 * math.pi * width**2))  # independent numbers
        assert abs(part.mean() - 0.5) < 5 * deviation / math.sqrt(drawn)
        assert abs(part.std() - deviation) < 5 * deviation / math.sqrt(2 * drawn)
    normal = torch.special.ndtri(maps.clamp(1e-6, 1 - 1e-6))
    for step in (1, 3):
        alike = (normal[:, :, step:] * normal[:, :, :-step]).mean()
        wanted = math.exp(-(step**2) / (4 * width**2))  # of two Gaussians that many cells apart
        assert float(alike) == pytest.approx(wanted, abs=0.03)
        assert float((normal[:, step:] * normal[:, :-step]).mean()) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(("method", "share"), [("allpass", 1.0), ("silence", 0.0)])
def test_what_passes_everywhere_is_the_clip_and_what_passes_nowhere_silence(method: str, share: float) -> None:
    batch = batch_of(clips())
    parts = made(method)(batch)
    assert parts.maps is not None and parts.sounds is not None
    assert torch.equal(parts.maps, torch.full((3, 1, *GRID), share))
    assert torch.equal(parts.sounds[:, 0], share * batch.waveforms)


def test_energy_knows_the_clip_alone() -> None:
    batch = batch_of(clips())
    deaf = replace(MODEL, network=nn.Identity())
    maps = made("energy", model=deaf)(batch).maps
    assert maps is not None
    torch.testing.assert_close(maps[:, 0, 0], FRONTEND.energies(batch.waveforms))
    quiet = made("quiet", model=deaf)(batch).maps
    assert quiet is not None
    for loudest, quietest in zip(maps.flatten(1), quiet.flatten(1), strict=True):
        assert quietest.min() == 0 and loudest.argmax() == quietest.argmin() and loudest.argmin() == quietest.argmax()


def test_the_mean_of_a_class_is_of_its_training_clips_however_loud_they_are() -> None:
    sounds = torch.stack([tone(300), tone(4000), tone(6000)])
    loud = torch.stack([tone(300, 0.9), tone(4000, 0.01), tone(6000)])
    found = []
    for training in (sounds, loud):
        maps = made("class-mean", background_of(training, [0, 0, 1]))(batch_of(clips(), 0)).maps
        assert maps is not None
        assert torch.equal(maps[0], maps[2])  # whatever is in the clip
        found.append(maps[0, 0, 0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-6)
    shares = FRONTEND.energies(sounds[:2])
    shares /= shares.sum(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(found[0], shares.mean(dim=0))
    other = made("class-mean", background_of(sounds, [0, 0, 1]))(batch_of(clips(), 1)).maps
    assert other is not None
    assert other[0, 0, 0].sum(dim=1).argmax() > found[0].sum(dim=1).argmax()


def test_another_clip_is_a_training_clip_of_the_class_and_never_the_clip_itself() -> None:
    training, batch = clips(6), batch_of(clips(3))
    background = background_of(training, [1, 0, 1, 0, 1, 0], first=5)  # the batch's clips are 5, 6 and 7
    maps = made("other-clip", background)(batch).maps
    wanted = made("standard")(batch_of(training[1::2])).maps
    assert maps is not None and wanted is not None
    places = [next(place for place, one in enumerate(wanted) if torch.allclose(map_, one)) for map_ in maps]
    assert places[1] != 0  # clip 6 itself
    alone = made("other-clip", background_of(training[:2], [1, 0]))(batch).maps
    assert alone is not None
    torch.testing.assert_close(alone, wanted[:1].expand_as(alone))


def test_without_another_clip_of_the_class_there_is_a_sentence() -> None:
    for method in ("other-clip", "class-mean"):
        with pytest.raises(EarmarkError, match=r"^class number 1 has no training clip to compare with: leave out"):
            made(method, background_of(clips(2), [1, 1]))(batch_of(clips(1)))


def test_second_best_explains_the_largest_of_the_other_logits() -> None:
    batch = batch_of(torch.stack([tone(300) + tone(7000, 0.05), tone(7000) + tone(300, 0.05)]))
    maps = made("second-best")(batch).maps
    other = made("standard")(replace(batch, targets=torch.tensor([1, 1]))).maps
    assert torch.equal(maps, other)
    third = made("second-best")(replace(batch, targets=torch.tensor([1, 2]))).maps
    standard = made("standard")(replace(batch, targets=torch.tensor([0, 1]))).maps
    assert torch.equal(third, standard)
    alone = Network.around(nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 1)), FRONTEND, ["only"])
    with pytest.raises(EarmarkError, match="has one class and no second-best one"):
        made("second-best", model=alone)(batch)


def test_randomised_explains_another_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 49, 3))
    model, batch = Network.around(network, FRONTEND), batch_of(clips())
    standard = made("standard", model=model)(batch).maps
    first, again, other = (made("randomised", seed=seed, model=model)(batch).maps for seed in (1, 1, 2))
    assert standard is not None and first is not None and other is not None
    assert torch.equal(first, again)
    for maps in (standard, other):
        assert float(torch.cosine_similarity(first.flatten(), maps.flatten(), dim=0)) < 0.9
    with pytest.raises(EarmarkError, match="no linear or convolutional module"):
        made("randomised")


def test_the_oracle_keeps_the_stems_that_the_model_uses() -> None:
    low, high, rest = tone(300), tone(7000), tone(2500, 0.1)
    absent = torch.zeros_like(low)
    stems = torch.stack([high, low, absent]).expand(2, 3, SAMPLES)
    batch = batch_of((low + high + rest).expand(2, SAMPLES), 0, stems)
    parts = made("oracle-stems")(batch)
    assert parts.maps is not None and parts.sounds is not None
    assert torch.equal(parts.sounds[:, 0], low.expand(2, SAMPLES))
    energies = FRONTEND.energies(torch.stack([low, high, rest]))
    torch.testing.assert_close(parts.maps[0, 0, 0], energies[0] / energies.sum(dim=0), atol=1e-4, rtol=1e-3)
    of_other = made("oracle-stems")(replace(batch, targets=torch.tensor([1, 0])))
    assert of_other.sounds is not None
    assert torch.equal(of_other.sounds[:, 0], torch.stack([high, low]))
    nothing = made("oracle-stems")(replace(batch, stems=stems / 1e4))
    assert nothing.maps is not None and not nothing.maps.any()
    assert nothing.sounds is not None and not nothing.sounds.any()


def test_the_oracle_and_what_is_left_sum_to_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of used stems, of unused ones and of what is in no stem partition every cell that sounds."""
    monkeypatch.setattr(controls, "USED", 0.01)  # either stem is used by its class
    low, high = tone(300), tone(7000)
    clip = (low + high + clips(1)[0] / 10).unsqueeze(0)
    stems = torch.stack([low, high]).unsqueeze(0)
    parts = [made("oracle-stems")(batch_of(clip, target, stems)).maps for target in (0, 1)]
    assert parts[0] is not None and parts[1] is not None
    assert ((parts[0] + parts[1]) <= 1 + 1e-5).all() and (parts[0] >= 0).all()
    rest = FRONTEND.energies(clip - low - high)
    whole = FRONTEND.energies(torch.stack([low, high])).sum(dim=0) + rest
    torch.testing.assert_close((parts[0] + parts[1])[0, 0], 1 - rest / whole, atol=1e-4, rtol=1e-3)

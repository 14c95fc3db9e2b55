"""The explanation of a class's clips: written, read back, cut, and asked for what stands out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation


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

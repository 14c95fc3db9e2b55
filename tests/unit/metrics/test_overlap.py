"""How many concepts there are: known cases, and what they are called."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from earmark.metrics.overlap import (
    Apart,
    apart,
    cosines,
    effective_number,
    overlap,
    pooled,
    similarities,
    similarity,
)


def cues(n_cues: int, n_concepts: int, seed: int = 0) -> torch.Tensor:
    """Concepts ``[n, K, 1, 8, 8]`` of which each is one of some cues that share no cell, up to scale."""
    generator = torch.Generator().manual_seed(seed)
    owner = torch.arange(64).view(8, 8) % n_cues
    strength = torch.rand(20, 1, 8, 8, generator=generator) + 0.1
    places = [(owner == concept % n_cues) * strength for concept in range(n_concepts)]
    return torch.stack([place * (1 + number) for number, place in enumerate(places)], dim=1)


@pytest.mark.parametrize("n_cues", [1, 2, 3])
def test_cues_are_counted_however_many_concepts_they_are_cut_into(n_cues: int) -> None:
    heatmaps = cues(n_cues, 6)
    equal = torch.stack([cue / cue.sum() for cue in heatmaps.transpose(0, 1)], dim=1)
    found = apart(equal)
    assert found.number == pytest.approx(n_cues, abs=1e-6)
    assert not found.empty
    assert set(found.twins) == {
        (one, other) for one, other in combinations(range(1, 7), 2) if (other - one) % n_cues == 0
    }


def test_planted_weights_give_the_exponential_of_their_entropy() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    assert effective_number(np.eye(3), shares) == pytest.approx(math.exp(0.5 * math.log(2) + 0.5 * math.log(4)))
    assert effective_number(np.ones((3, 3)), shares) == pytest.approx(1)
    assert effective_number(np.eye(4), [0.25] * 4) == pytest.approx(4)
    halves = np.kron(np.eye(2), np.ones((2, 2)))
    assert effective_number(halves, [0.4, 0.1, 0.2, 0.3]) == pytest.approx(2)
    # what speaks against the class is no concept of it; without any share there is no number
    assert effective_number(np.eye(2), [1.5, -0.5]) == pytest.approx(1)
    assert math.isnan(effective_number(np.eye(2), [0.0, 0.0]))
    stacked = effective_number(np.stack([np.eye(3), np.ones((3, 3))]), np.stack([shares, shares]))
    assert stacked.shape == (2,)


def test_cosines_over_clips_are_their_mean_where_all_concepts_are_present() -> None:
    heatmaps = torch.rand(10, 3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    between = pooled(cosines(heatmaps).sum(dim=0))
    off = between[~np.eye(3, dtype=bool)]
    assert off.mean() == pytest.approx(float(overlap(heatmaps).mean()), rel=1e-6)
    np.testing.assert_allclose(np.diag(between), 1)
    heatmaps[5:, 2] = -1.0  # absent from half of the clips: no less like itself, nor like the others where it is
    half = pooled(cosines(heatmaps).sum(dim=0))
    np.testing.assert_allclose(np.diag(half), 1)
    heatmaps[:, 2] = -1.0
    assert pooled(cosines(heatmaps).sum(dim=0))[2].tolist() == [0, 0, 0]


def test_empty_and_twin_concepts_are_named() -> None:
    table = np.eye(4)
    table[0, 1] = table[1, 0] = table[1, 2] = table[2, 1] = 0.95
    found = Apart.of(1.4, [0.4, 0.3, 0.295, 0.005], table)
    assert found.empty == (4,)
    assert found.twins == ((1, 2), (2, 3))
    assert found.text == "1.4 concepts in effect; concept 4 is empty; 1 and 2 are twins; 2 and 3 are twins"
    assert [found.of_concept(number) for number in (1, 2, 4)] == ["twin of 2", "twin of 1 and 3", "empty"]
    table[:3, 3] = table[3, :3] = 0.95  # an empty concept is nobody's twin
    assert Apart.of(1.4, [0.4, 0.3, 0.295, 0.005], table).twins == ((1, 2), (2, 3))
    assert Apart.of(1.0, [0.2] * 5, np.ones((5, 5))).text == "1.0 concepts in effect; 10 pairs are twins"
    apart_ = Apart.of(2.0, [0.5, 0.5], np.eye(2))
    assert apart_.text == "2.0 concepts in effect"
    assert apart_.of_concept(1) == ""
    assert Apart.of(1.1, [0.99, 0.005, 0.005], np.eye(3)).text.endswith("concepts 2 and 3 are empty")


def test_concepts_whose_relevance_sums_to_nothing_are_counted_by_what_speaks_for_the_class() -> None:
    assert apart(-torch.ones(2, 3, 1, 4, 4)).text == "no relevance for the class"
    maps = cues(2, 2)
    maps[:, 1] *= maps[:, 0].sum() / maps[:, 1].sum()
    against = torch.cat([maps, -3 * maps.sum(dim=1, keepdim=True)], dim=1)  # [B, 3, 1, 8, 8]
    found = apart(against)
    assert found.text == "2.0 concepts in effect"
    assert not found.empty


def window_by_window(one: np.ndarray, other: np.ndarray, side: int = 7) -> float:
    """Structural similarity as Wang et al. (2004) write it, one window after another."""
    span = max(one.max(), other.max()) - min(one.min(), other.min())
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    found = []
    for row in range(one.shape[0] - side + 1):
        for column in range(one.shape[1] - side + 1):
            x, y = (cells[row : row + side, column : column + side].ravel() for cells in (one, other))
            (xx, xy), (_, yy) = np.cov(x, y)
            mx, my = x.mean(), y.mean()
            found.append((2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2)))
    return float(np.mean(found))


@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_similarity_is_that_of_the_paper(scale: float) -> None:
    heatmaps = scale * torch.randn(3, 3, 1, 10, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    heatmaps[:, 1] += heatmaps[:, 0]
    heatmaps[1, 2] *= 20  # the range is that of both
    found = similarities(heatmaps)
    positive = heatmaps.clamp(min=0)[:, :, 0].numpy()
    for one, other in combinations(range(3), 2):
        wanted = [window_by_window(clip[one], clip[other]) for clip in positive]
        np.testing.assert_allclose(found[:, one, other], wanted, rtol=1e-9)
        np.testing.assert_allclose(found[:, other, one], wanted, rtol=1e-9)
    torch.testing.assert_close(similarity(heatmaps), found[:, [0, 0, 1], [1, 2, 2]].mean(dim=1))


def test_similarity_of_special_cases() -> None:
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(4, 1, 1, 40, 40, generator=generator)
    same = maps.repeat(1, 3, 1, 1, 1)
    torch.testing.assert_close(similarity(same), torch.ones(4))
    torch.testing.assert_close(similarity(torch.zeros_like(same)), torch.ones(4))  # nothing is like nothing
    noise = torch.rand(4, 3, 1, 40, 40, generator=generator)
    assert similarity(noise).abs().max() < 0.05
    assert overlap(noise).min() > 0.7  # which cosines call alike
    torch.testing.assert_close(similarity(noise), similarity(noise[:, [2, 0, 1]]))
    upside_down = torch.cat([maps, 1 - maps], dim=1)
    assert similarity(upside_down).max() < -0.9
    assert torch.isnan(similarity(maps)).all()  # of one concept there is none
    assert similarity(same[:0]).shape == (0,)


def test_windows_are_no_larger_than_the_grid() -> None:
    heatmaps = torch.rand(2, 2, 1, 3, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    one, other = heatmaps[0, :, 0].numpy()
    span = max(one.max(), other.max()) - min(one.min(), other.min())
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    (xx, xy), (_, yy) = np.cov(one.ravel(), other.ravel())
    mx, my = one.mean(), other.mean()
    wanted = (2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2))
    assert float(similarity(heatmaps)[0]) == pytest.approx(wanted)
    assert torch.isfinite(similarity(torch.rand(2, 2, 1, 1, 1))).all()

"""Correlations with known values, and what is done to clips."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from earmark.metrics.sanity import column, cosine, later, noisy, spearman
from tests.unit.conftest import FRONTEND


def maps(seed: int) -> torch.Tensor:
    return torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(seed))


def test_equal_maps_are_alike_at_any_scale_and_opposite_ones_are_not() -> None:
    one = maps(0)
    for measure in (cosine, spearman):
        torch.testing.assert_close(measure(one, 7 * one), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(measure(one, -one), -torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(measure(one, maps(1)), measure(maps(1), one))
    assert spearman(one, one.exp()).tolist() == pytest.approx([1] * 3)  # the order alone counts
    assert (cosine(one, one.exp()) < 0.99).all()


def test_ranks_that_are_shared_are_means() -> None:
    one, other = maps(0).round(), maps(1).round()  # with many ties
    wanted = [stats.spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), wanted)


def test_maps_without_any_difference_have_no_likeness() -> None:
    nothing, all_of_it = torch.zeros(3, 6, 5), torch.ones(3, 6, 5)
    assert torch.isnan(cosine(nothing, maps(0))).all()
    assert torch.isnan(spearman(all_of_it, maps(0))).all()


def test_noise_lies_as_far_below_each_clip_as_it_is_told_and_is_drawn_by_its_seed() -> None:
    clips = torch.stack([torch.sin(torch.arange(8000) / 5), 0.01 * torch.sin(torch.arange(8000) / 9)])
    noise = noisy(clips, [1, 2]) - clips
    levels = 10 * torch.log10(noise.square().mean(dim=1) / clips.square().mean(dim=1))
    assert levels.tolist() == pytest.approx([-40, -40], abs=0.3)
    torch.testing.assert_close(noisy(clips[1:], [2])[0], noisy(clips, [1, 2])[1])
    assert not torch.equal(noisy(clips, [3, 2])[0], noisy(clips, [1, 2])[0])
    assert not noisy(torch.zeros(1, 10), [0]).any()


def test_a_clip_that_begins_a_column_later_has_its_energies_a_column_later() -> None:
    step = column(FRONTEND)
    assert step == FRONTEND.hop
    clip = torch.randn(1, FRONTEND.clip_samples, generator=torch.Generator().manual_seed(0))
    moved = later(clip, step)
    assert not moved[0, :step].any() and torch.equal(moved[:, step:], clip[:, :-step])
    whole, after = FRONTEND.energies(clip), FRONTEND.energies(moved)
    torch.testing.assert_close(after[..., 2:-1], whole[..., 1:-2])  # but for the frames at the ends
    assert later(torch.empty(2, 0, 0), step).shape == (2, 0, 0)
    assert math.isclose(float(moved.square().sum()), float(clip[:, :-step].square().sum()), rel_tol=1e-6)

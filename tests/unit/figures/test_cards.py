"""Concept cards: which clips, what share, and a figure that says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from earmark.explainers.explanation import profiles, relevances, strongest
from earmark.figures.cards import Card, cards
from earmark.figures.style import BLUE, VERMILION
from earmark.sound.logmel import LogMel
from earmark.tables.concepts import shares


def test_the_strongest_clips_come_first_whatever_their_sign_elsewhere() -> None:
    heatmaps = torch.zeros(5, 2, 1, 4, 4)
    heatmaps[:, 0, 0, 0, 0] = torch.tensor([1.0, 5.0, -9.0, 3.0, 5.0])
    heatmaps[:, 1, 0, 1, 2] = torch.tensor([-1.0, -2.0, -3.0, -4.0, 0.0])
    heatmaps[1, 0, 0, 2, 2] = -1.0
    relevance = relevances(heatmaps)
    assert relevance[:, 0].tolist() == [1, 4, -9, 3, 5]
    assert strongest(relevance).tolist() == [[4, 1, 3], [4, 0, 1]]
    assert strongest(torch.ones(5, 1)).tolist() == [[0, 1, 2]]  # the earlier of equal ones
    assert strongest(relevance[:2]).tolist() == [[1, 0], [0, 1]]
    assert strongest(relevance[:0]).shape == (2, 0)
    profile = profiles(heatmaps)
    assert profile.shape == (2, 4, 4)
    assert float(profile[0, 0, 0]) == pytest.approx(14 / 5)
    assert float(profile[1].sum()) == 0  # only what speaks for the class


def test_shares_are_parts_of_all_relevance() -> None:
    rng = np.random.default_rng(0)
    relevance = rng.normal([3.0, 1.0], 0.5, size=(40, 2))
    relevance[0] = [1.0, -1.0]  # a clip without relevance on balance has no share of its own, and does no harm
    found = shares(relevance, np.arange(40) // 2, 500, 0)
    assert [share.estimate for share in found] == pytest.approx(relevance.sum(axis=0) / relevance.sum())
    assert sum(share.estimate for share in found) == pytest.approx(1)
    for share in found:
        assert share.low < share.estimate < share.high < share.low + 0.2
    (alone, _) = shares(relevance, np.zeros(40), 500, 0)
    assert math.isnan(alone.low)


def test_a_card_shows_profile_marginals_and_relevance_over_the_clip() -> None:
    front = LogMel(16000, 256, 64, 16, 16, 1e-7, -4.0)
    rng = np.random.default_rng(0)
    profile = rng.uniform(size=(16, 16))
    heatmap = np.zeros((2, 16, 16))
    heatmap[0, 3, 5], heatmap[1, 4, 6] = 2.0, -2.0
    one = Card("concept 1\nshare", profile, rng.normal(size=(2, 16, 16)), heatmap, ["clip 8", "clip 9"])
    figure = cards(front, [one, one], "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["concept 1", "share"]
    named = {axis.get_title(): axis for axis in figure.axes[:6] if axis.get_title()}
    assert list(named) == ["mean positive relevance", "clip 8", "clip 9"]
    above, beside = named["mean positive relevance"], figure.axes[3]
    np.testing.assert_allclose(above.patches[0].get_data().values, profile.mean(axis=0))
    np.testing.assert_allclose(beside.patches[0].get_data().values, profile.mean(axis=1))
    for clip, (row, column), color in (("clip 8", (3, 5), VERMILION), ("clip 9", (4, 6), BLUE)):
        overlay = named[clip].images[1].get_array()
        assert np.flatnonzero(overlay[..., 3]).tolist() == [16 * row + column]  # the rest is transparent
        assert np.asarray(overlay)[row, column, :3].tolist() == pytest.approx(to_rgb(color))
    silent = Card("concept 2", np.zeros((16, 16)), np.zeros((0, 16, 16)), np.zeros((0, 16, 16)), [])
    cards(front, [silent], "no clip").draw_without_rendering()

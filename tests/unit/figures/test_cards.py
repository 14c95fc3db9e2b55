"""Concept cards: which clips, and a figure that says what is known of a concept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from earmark.figures.cards import Affinity, Card, cards, text
from earmark.figures.style import BLUE, VERMILION
from earmark.sound.logmel import LogMel


def test_a_card_shows_profile_marginals_and_relevance_over_the_clip() -> None:
    front = LogMel(16000, 256, 64, n_mels=16, n_frames=16)
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


def test_a_card_says_what_is_known_of_a_concepts_stability() -> None:
    share = (0.254, 0.243, 0.263)
    assert text(2, share, [], {}) == "concept 2\nshare of relevance 25 % [24, 26]"
    assert text(2, share, ["twin of 1"], {}) == "concept 2\nshare of relevance 25 % [24, 26]\ntwin of 1"
    nan = math.nan
    known = {"seed": Affinity((0.5, 0.4, 0.6), 0.55, True), "bootstrap": Affinity((0.9, nan, nan), 0.55, False)}
    assert text(1, (0.25, nan, nan), [], known).split("\n") == [
        "concept 1",
        "share of relevance 25 %",
        "",
        "affinity over seeds",
        "0.50 [0.40, 0.60], unstable",
        "",
        "affinity over resampled clips",
        "0.90",
        "",
        "of random subspaces 0.55",
    ]

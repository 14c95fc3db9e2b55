"""Curves over samples and energy: each is where its numbers are, and bears its name."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.text import Annotation

from earmark.figures.samples import Curve, remaining

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def curves(spread: float) -> dict[str, Curve]:
    """Fall from all to a tenth, the sooner the later an order stands; `spread` parts them."""

    def curve(number: int) -> Curve:
        heights = [0.1 + 0.9 * (1 - share ** (0.6 - spread * number)) for share in SHARES]
        return [
            (share, share**0.4, (height, height - 0.02, height + 0.02))
            for share, height in zip(SHARES, heights, strict=True)
        ]

    return {name: curve(number) for number, name in enumerate(("random", "amplitude", "relevance", "matched"))}


@pytest.mark.parametrize("spread", [0.15, 0.0])
def test_lines_are_where_their_numbers_are_and_bear_names_that_cover_none_of_them(spread: float) -> None:
    known = curves(spread)
    figure = remaining(known, "title")
    figure.draw_without_rendering()
    for axis, which in zip(figure.axes, (0, 1), strict=True):
        assert axis.get_xscale() == "log"
        drawn = [line.get_xydata() for line in axis.lines if len(line.get_xdata()) == len(SHARES) - 1]
        for points, curve in zip(drawn, known.values(), strict=True):
            np.testing.assert_allclose(points, [(one[which], 100 * one[2][0]) for one in curve[1:]])
        names = [text for text in axis.texts if isinstance(text, Annotation)]
        assert sorted(text.get_text() for text in names) == sorted(known)
        boxes = [text.get_window_extent() for text in names]
        assert not [1 for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]
        marks = axis.transData.transform(np.concatenate(drawn))
        assert not [1 for box in boxes for mark in marks if box.contains(*mark)]


def test_without_intervals_lines_are_drawn_all_the_same() -> None:
    alone = {"random": [(share, share, (1 - share, float("nan"), float("nan"))) for share in SHARES]}
    figure = remaining(alone, "title")
    assert len(figure.axes[0].lines) == 1 and not figure.axes[0].collections

"""Names of points: one for each, none over another, however crowded they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from earmark.figures.cost import against_cost
from earmark.figures.masking import Named, Panel, written
from earmark.figures.style import BLUE, GREY, ORANGE

MANY = [("input", f"a-method-{number}", 1) for number in range(30)]


def drawn(points: dict[Named, tuple[float, float]], **known: set) -> tuple[Figure, Axes, list[Annotation]]:
    bars = {place: (height, height - 0.02, height + 0.02) for place, (_, height) in points.items()}
    seconds = {place: spent for place, (spent, _) in points.items()}
    figure = against_cost(seconds, Panel("truth", bars, 0.5), known.get("controls", ()), known.get("claims", ()))
    (axis,) = figure.axes
    return figure, axis, [text for text in axis.texts if isinstance(text, Annotation)]


def scattered(spread: float) -> dict[Named, tuple[float, float]]:
    rng = np.random.default_rng(0)
    return {place: (float(10 ** rng.normal(-2, spread)), float(rng.normal(0.6, spread / 10))) for place in MANY}


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.0])
def test_no_name_covers_another_or_a_point(spread: float) -> None:
    points = scattered(spread)
    figure, axis, names = drawn(points)
    assert sorted(name.get_text() for name in names) == sorted(map(written, points))
    figure.draw_without_rendering()
    boxes = [name.get_window_extent() for name in names]
    assert not [1 for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]
    marks = axis.transData.transform(list(points.values()))
    assert not [1 for box in boxes for mark in marks if box.contains(*mark)]
    whole = axis.get_window_extent()
    assert all(whole.contains(*corner) for box in boxes for corner in (box.min, box.max))


def test_the_picture_is_laid_out_as_it_was_when_names_were_placed() -> None:
    figure, axis, _ = drawn(scattered(1.0))
    before = axis.get_window_extent().bounds
    figure.draw_without_rendering()
    assert np.allclose(axis.get_window_extent().bounds, before, atol=0.5)


def test_controls_and_claims_are_told_apart() -> None:
    points = {("input", name, 1): (0.1, 0.6) for name in ("energy", "saliency", "slime")}
    _, axis, names = drawn(points, controls={"energy"}, claims={("input", "slime", 1)})
    assert {name.get_text(): name.get_color() for name in names} == {"energy": GREY, "saliency": ORANGE, "slime": BLUE}
    assert {line.get_marker() for line in axis.lines} >= {"o", "s"}


def test_what_is_not_known_of_both_is_left_out() -> None:
    figure = against_cost(
        {("input", "slime", 1): 1.0, ("input", "energy", 1): 0.1},
        Panel("truth", {("input", "slime", 1): (0.6, 0.5, 0.7)}, 0.5),
        (),
        (),
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["slime"]

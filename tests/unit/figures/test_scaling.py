"""Marks stand where the table has them; a clip's own class is told apart from what it is turned to."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from earmark.figures.scaling import turned
from earmark.figures.style import BLACK
from earmark.metrics.scaling import AS_IS, CONDITIONS, SCALED

OWN = {AS_IS: (1.0, 0.9, 1.0), SCALED: (0.2, math.nan, math.nan)}
TURNED = {AS_IS: (0.0, 0.0, 0.1), SCALED: (0.8, math.nan, math.nan)}


def drawn() -> Figure:
    panels = {"a$b": {"a$b": OWN, "c": TURNED}, "c": {"a$b": TURNED, "c": OWN}}
    figure = turned(panels, CONDITIONS, "title")
    figure.draw_without_rendering()
    return figure


def test_a_mark_per_condition_and_answer() -> None:
    for axis, other in zip(drawn().axes, ("c", "a$b"), strict=True):
        marks = {line.get_label(): line for line in axis.lines if line.get_marker() == "o"}
        assert list(marks["its own class"].get_xdata()) == [1.0, 0.2]
        assert list(marks[f"answered as {other}"].get_xdata()) == [0.0, 0.8]
        for line in marks.values():
            assert [CONDITIONS[row] for row in line.get_ydata()] == [AS_IS, SCALED]
        assert marks["its own class"].get_color() == BLACK != marks[f"answered as {other}"].get_color()
        assert len(axis.lines) == len(marks) + 2  # an interval where there is one


def test_every_answer_is_named_once() -> None:
    figure = drawn()
    assert [axis.get_title() for axis in figure.axes] == ["a$b", "c"]
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert sorted(told) == ["answered as a$b", "answered as c", "its own class"]

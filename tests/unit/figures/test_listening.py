"""What the figure of listeners shows of known numbers."""

from __future__ import annotations

import math

from earmark.figures.listening import guessed
from earmark.figures.style import BLACK, BLUE, GREY

SAYS = {"signal": "the clip", "masked": "its explanation", "seen": "a picture", "silence": "nothing"}
PANELS = {
    ("right answers", "informedness"): {"signal": (0.9, 0.8, 1.0), "masked": (0.7, 0.6, 0.8), "silence": (0, 0, 0)},
    ("right answers", "markedness"): {"signal": (0.8, math.nan, math.nan), "masked": (0.7, 0.6, 0.8)},
    ("wrong answers", "informedness"): {"masked": (-0.1, -0.2, 0.1)},
}


def test_a_row_per_stimulus_that_was_guessed_by_and_a_panel_per_measure() -> None:
    figure = guessed(PANELS, SAYS, {"silence"}, "title")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        f"{metric}, {part} answers" for part in ("right", "wrong") for metric in ("informedness", "markedness")
    ]
    labels = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{name}: {SAYS[name]}" for name in ("signal", "masked", "silence")]
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_color()) for line in points] == [(0.9, BLACK), (0.7, BLUE), (0, GREY)]
    bars = [
        line.get_xdata() for line in figure.axes[1].lines if line.get_marker() != "o" and len(line.get_xdata()) == 2
    ]
    assert (0.6, 0.8) in [tuple(bar) for bar in bars] and not any(math.isnan(bar[0]) for bar in bars)
    assert [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_marker() == "o"] == [-0.1]

"""What is answered to clips whose frequency axis is scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.figures.style import BLACK, MEDIUM, OTHERS, SMALL, new
from earmark.statistics import Bar

ROW = 0.3
"""Inches that a condition takes."""

MOST = 5
"""Names side by side in the legend."""

COLOURS = tuple(colour for colour in OTHERS if colour != BLACK)
"""Of the answers that are another class than the clip's own, which is black."""


def turned(panels: Mapping[str, Mapping[str, Mapping[str, Bar]]], conditions: Sequence[str], title: str) -> Figure:
    """Draw which part of the clips is answered as which class.

    Parameters
    ----------
    panels : mapping of class to mapping of answer to mapping of condition to Bar
        A panel each.
    conditions : sequence of str
        From the top downwards.
    title : str
        Of the figure.

    Returns
    -------
    Figure
    """
    given = list(dict.fromkeys(answer for found in panels.values() for answer in found))
    figure = new(1.6 + 2.4 * len(panels), 1.5 + ROW * len(conditions), title)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (cls, found) in zip(axes, panels.items(), strict=True):
        for answer in (answer for answer in given if answer in found):
            own = answer == cls
            colour = BLACK if own else COLOURS[given.index(answer) % len(COLOURS)]
            _draw(axis, found[answer], conditions, colour, "its own class" if own else f"answered as {answer}")
        axis.set_title(cls, fontsize=MEDIUM, parse_math=False)
        axis.tick_params(labelsize=SMALL)
        axis.set_xlabel("part of the test clips", fontsize=MEDIUM)
        axis.set_xlim(-0.03, 1.03)
        axis.grid(linewidth=0.3)
    axes[0].set_yticks(range(len(conditions)), conditions, fontsize=SMALL)
    axes[0].set_ylim(len(conditions) - 0.5, -0.5)
    labelled = {label: mark for axis in axes for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    columns = min(len(labelled), MOST)
    legend = figure.legend(labelled.values(), labelled, loc="outside lower center", ncols=columns, fontsize=SMALL)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw(axis: Axes, found: Mapping[str, Bar], conditions: Sequence[str], colour: str, label: str) -> None:
    """Draw a mark per condition, with its interval."""
    rows = [row for row, condition in enumerate(conditions) if condition in found]
    bars = [found[conditions[row]] for row in rows]
    axis.plot([estimate for estimate, _, _ in bars], rows, "o", color=colour, markersize=5, label=label)
    for row, (_, low, high) in zip(rows, bars, strict=True):
        if math.isfinite(low):
            axis.plot((low, high), (row, row), color=colour, linewidth=1.5)

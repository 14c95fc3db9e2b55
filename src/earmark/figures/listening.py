"""What listeners know of a model's answers, a panel per measure and kind of answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.figures.style import BLACK, BLUE, GREY, MEDIUM, SMALL, new, wrap
from earmark.statistics import Bar

ROW = 0.42
"""Inches that a stimulus takes."""

LABEL = 34
"""Letters of a line of a stimulus's label."""


def guessed(
    panels: Mapping[tuple[str, str], Mapping[str, Bar]], says: Mapping[str, str], controls: Collection[str], title: str
) -> Figure:
    """Draw measures of guesses with their intervals, a row for each stimulus.

    Parameters
    ----------
    panels : mapping of (answers, measure) to mapping of stimulus to Bar
        Answers from the top downwards, measures side by side; a stimulus without a value is not drawn.
    says : mapping of stimulus to str
        What each is; the first is what the others are compared with: black.
    controls : collection of str
        Stimuli that explain nothing: grey; the others blue.
    title : str
        Of the figure.

    Returns
    -------
    Figure
    """
    parts, metrics = (list(dict.fromkeys(key[place] for key in panels)) for place in (0, 1))
    names = [name for name in says if any(name in bars for bars in panels.values())]
    figure = new(3.0 + 2.8 * len(metrics), 0.9 + (0.5 + ROW * len(names)) * len(parts), title)
    axes = figure.subplots(len(parts), len(metrics), sharex="col", sharey=True, squeeze=False)
    for part, row in zip(parts, axes, strict=True):
        for metric, axis in zip(metrics, row, strict=True):
            _draw(axis, names, panels.get((part, metric), {}), controls)
            axis.set_title(f"{metric}, {part}", fontsize=MEDIUM)
        row[0].set_yticks(range(len(names)), [wrap(f"{name}: {says[name]}", LABEL) for name in names], fontsize=SMALL)
        row[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _draw(axis: Axes, names: list[str], bars: Mapping[str, Bar], controls: Collection[str]) -> None:
    for row, name in enumerate(names):
        if name not in bars:
            continue
        estimate, low, high = bars[name]
        colour = GREY if name in controls else BLUE if row else BLACK
        axis.plot(estimate, row, "o", color=colour, markersize=4)
        if math.isfinite(low):
            axis.plot((low, high), (row, row), color=colour, linewidth=1.5)
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    axis.tick_params(labelsize=SMALL)
    axis.grid(axis="y", linewidth=0.3)

"""Explanations that the model hears, one under the other."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.figures.style import BLUE, GREY, MEDIUM, ORANGE, SMALL, new
from earmark.statistics import Bar

ROW = 0.2
"""Inches that an explanation takes."""

Named = tuple[str, str, int]
"""Layer, method and K of an explanation."""


@dataclass(frozen=True)
class Panel:
    """One score of all explanations.

    Attributes
    ----------
    title : str
        What it is, and in which unit.
    bars : mapping of place to Bar
        By explanation; what is missing is not drawn.
    reference : float
        Where a line stands: what chance gets.
    """

    title: str
    bars: dict[Named, Bar]
    reference: float


def heard(
    ranked: Sequence[Named], panels: Sequence[Panel], controls: Collection[str], claims: Collection[Named]
) -> Figure:
    """Draw scores with their intervals, a row for each explanation.

    Parameters
    ----------
    ranked : sequence of (layer, method, K)
        From the top downwards.
    panels : sequence of Panel
        Side by side.
    controls : collection of str
        Methods that explain nothing: grey.
    claims : collection of (layer, method, K)
        Those with a claim: blue; the others orange.

    Returns
    -------
    Figure
    """
    title = "Explanations that the model hears: grey, controls; blue, better than loudest, quietest and random cells"
    figure = new(2.2 + 2.6 * len(panels), 1.3 + ROW * len(ranked), title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, ranked, panel, controls, claims)
    axes[0].set_yticks(range(len(ranked)), [written(place) for place in ranked], fontsize=SMALL)
    axes[0].set_ylim(len(ranked) - 0.4, -0.6)
    return figure


def written(place: Named) -> str:
    """Name an explanation in a line."""
    layer, method, k = place
    where = "" if layer == "input" else f", {layer}"
    return f"{method}{where}{f', K = {k}' if k > 1 else ''}"


def _draw(
    axis: Axes, ranked: Sequence[Named], panel: Panel, controls: Collection[str], claims: Collection[Named]
) -> None:
    for row, place in enumerate(ranked):
        if place not in panel.bars:
            continue
        estimate, low, high = panel.bars[place]
        colour = GREY if place[1] in controls else BLUE if place in claims else ORANGE
        axis.plot(estimate, row, "o", color=colour, markersize=4)
        if math.isfinite(low):
            axis.plot((low, high), (row, row), color=colour, linewidth=1.5)
    axis.axvline(panel.reference, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_title(panel.title, fontsize=MEDIUM)
    axis.tick_params(labelsize=SMALL)
    axis.grid(axis="y", linewidth=0.3)

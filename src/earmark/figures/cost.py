"""What explanations find against what they cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from earmark.figures.masking import Named, Panel, written
from earmark.figures.names import name_points
from earmark.figures.style import BLUE, GREY, MEDIUM, ORANGE, SMALL, new
from earmark.statistics import Bar


def against_cost(
    seconds: Mapping[Named, float], truth: Panel, controls: Collection[str], claims: Collection[Named]
) -> Figure:
    """Draw a point per explanation of which both are known, each with its name; no name covers another, or a point.

    Parameters
    ----------
    seconds : mapping of (layer, method, K) to float
        Per clip, above 0.
    truth : Panel
        What they find.
    controls : collection of str
        Methods that explain nothing: grey squares.
    claims : collection of (layer, method, K)
        Those with a claim: blue; the others orange.

    Returns
    -------
    Figure
    """
    title = "What explanations find, and what they cost"
    figure = new(8.0, 5.5, title)
    axis = figure.subplots()
    places = [place for place in seconds if place in truth.bars]
    for place in places:
        _point(axis, seconds[place], truth.bars[place], _colour(place, controls, claims), place[1] in controls)
    axis.set_xscale("log")
    axis.margins(x=0.12, y=0.08)
    axis.axhline(truth.reference, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_xlabel("seconds per clip", fontsize=MEDIUM)
    axis.set_ylabel(truth.title, fontsize=MEDIUM)
    axis.tick_params(labelsize=SMALL)
    axis.grid(linewidth=0.3)
    kinds = (
        ("beats loudest, quietest and random cells", BLUE, "o"),
        ("not shown to", ORANGE, "o"),
        ("control", GREY, "s"),
    )
    handles = [Line2D([], [], color=colour, marker=mark, ls="", ms=4, label=kind) for kind, colour, mark in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)
    figure.draw_without_rendering()  # where points are depends on the layout
    name_points(
        axis,
        {written(place): (seconds[place], truth.bars[place][0]) for place in places},
        {written(place): _colour(place, controls, claims) for place in places},
    )
    return figure


def _colour(place: Named, controls: Collection[str], claims: Collection[Named]) -> str:
    return GREY if place[1] in controls else BLUE if place in claims else ORANGE


def _point(axis: Axes, seconds: float, bar: Bar, colour: str, control: bool) -> None:
    estimate, low, high = bar
    axis.plot(seconds, estimate, "s" if control else "o", color=colour, markersize=4, zorder=3)
    if math.isfinite(low):
        axis.plot((seconds, seconds), (low, high), color=colour, linewidth=0.8, alpha=0.6)

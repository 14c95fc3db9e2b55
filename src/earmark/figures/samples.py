"""What a network of waveforms still answers while samples are set to 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from earmark.figures.names import name_points
from earmark.figures.style import BLUE, GREEN, GREY, MARKERS, MEDIUM, ORANGE, new, style_lines
from earmark.statistics import Bar

Curve = Sequence[tuple[float, float, Bar]]
"""Share of the samples, share of the energy, and what is answered, from the fewest samples to all."""

COLOURS = (GREY, ORANGE, BLUE, GREEN)
"""Of as many orders, with their lines and markers."""

LINES = ("-.", "--", "-", ":")

BETWEEN = 24
"""Places along a line between two of its points that names keep off."""


def remaining(curves: Mapping[str, Curve], title: str) -> Figure:
    """Draw the share of clips whose class is still answered, over the share of samples and over that of energy.

    Parameters
    ----------
    curves : mapping of order to Curve
        Each a line with the band of its intervals, and its name beside it.
    title : str
        Of the figure.

    Returns
    -------
    Figure
    """
    figure = new(9.6, 4.2, title)
    axes = figure.subplots(1, 2, sharey=True)
    panels = ("samples that were not 0", "the clip's energy")
    for axis, which, of in zip(axes, (0, 1), panels, strict=True):
        for number, curve in enumerate(curves.values()):
            _draw(axis, _points(curve, which), number)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(f"set to 0: % of {of}", fontsize=MEDIUM)
        style_lines(axis)
    axes[0].set_ylabel("clips whose class is still answered [%]", fontsize=MEDIUM)
    axes[0].set_ylim(-3, 106)
    figure.draw_without_rendering()  # where points are depends on the layout
    for axis, which in zip(axes, (0, 1), strict=True):
        _name(axis, {name: _points(curve, which) for name, curve in curves.items()})
    return figure


def _points(curve: Curve, which: int) -> NDArray[np.float64]:
    """Lay out a curve as share, and as estimate and bounds in %, ``[M, 4]``; nothing is at 0 on a logarithmic axis."""
    points = np.array([(one[which], *(100 * value for value in one[2])) for one in curve], dtype=float)
    return points[points[:, 0] > 0]


def _draw(axis: Axes, points: NDArray[np.float64], number: int) -> None:
    shares, estimates, low, high = points.T
    colour = COLOURS[number]
    axis.plot(
        shares,
        estimates,
        color=colour,
        linestyle=LINES[number],
        linewidth=1.5,
        marker=MARKERS[number],
        markersize=4,
    )
    if np.isfinite(low).any():
        axis.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)


def _name(axis: Axes, drawn: Mapping[str, NDArray[np.float64]]) -> None:
    """Write each name where its line is farthest from the others."""
    lines = {name: _between(points) for name, points in drawn.items()}
    anchors = {}
    for name, line in lines.items():
        others = [axis.transData.transform(other) for one, other in lines.items() if one != name]
        places = axis.transData.transform(line)
        apart = [min((float(np.hypot(*(other - place).T).min()) for other in others), default=0.0) for place in places]
        x, y = line[int(np.argmax(apart))]
        anchors[name] = (float(x), float(y))
    kept_off = [(float(x), float(y)) for line in lines.values() for x, y in line]
    name_points(axis, anchors, {name: COLOURS[number] for number, name in enumerate(drawn)}, kept_off)


def _between(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Follow a line from point to point, ``[P, 2]``, evenly on a logarithmic axis."""
    steps = np.linspace(0, len(points) - 1, BETWEEN * max(len(points) - 1, 1) + 1)
    own = np.arange(len(points))
    return np.stack([np.exp(np.interp(steps, own, np.log(points[:, 0]))), np.interp(steps, own, points[:, 1])], axis=1)

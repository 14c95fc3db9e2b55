"""Where relevance, and sound, lie in frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from earmark.figures.style import MEDIUM, SMALL, new, style_lines

ROW = 5
"""Panels side by side, at most."""

TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
"""Hz."""

THIRD = 2 ** (1 / 3)
"""How wide the lowest band, which begins at 0 Hz, is drawn."""


@dataclass(frozen=True)
class Kind:
    """How one of several curves is called, its colour, and whether it is a filled ground without intervals."""

    title: str
    colour: str
    filled: bool = False


def shares(panels: Mapping[str, Mapping[str, NDArray[np.float64]]], kinds: Mapping[str, Kind], title: str) -> Figure:
    """Draw shares of bands over a logarithmic axis of frequency.

    Parameters
    ----------
    panels : mapping of panel to mapping of kind to array [bands, 5]
        Where each band begins and ends in Hz, its share and the bounds of that.
    kinds : mapping
        From the lowest layer upwards.
    title : str
        Of the figure.

    Returns
    -------
    Figure
    """
    columns = min(ROW, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = new(3.2 * columns + 0.6, 2.3 * lines + 0.9, title)
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axis, (panel, curves) in zip(axes.flat, panels.items(), strict=False):
        for name in (name for name in kinds if name in curves):
            _steps(axis, curves[name], kinds[name])
        _style(axis, panel)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    edges = np.array([curve[[0, -1], [1, 1]] for curves in panels.values() for curve in curves.values()])
    low, high = edges[:, 0].min() / THIRD, edges[:, 1].max()
    axes[0, 0].set_xticks([tick for tick in TICKS if low <= tick <= high])  # all share it
    axes[0, 0].set_xlim(low, high)
    figure.supylabel("share of the band", fontsize=MEDIUM)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=SMALL, frameon=False)
    return figure


def _steps(axis: Axes, curve: NDArray[np.float64], kind: Kind) -> None:
    """Draw a step per band, with its interval."""
    edges = np.append(curve[:, 0], curve[-1, 1])
    edges[0] = max(edges[0], edges[1] / THIRD)
    _, _, share, low, high = curve.T
    axis.stairs(share, edges, color=kind.colour, fill=kind.filled, alpha=0.35 if kind.filled else 1, label=kind.title)
    if not kind.filled and np.isfinite(low).all():
        axis.stairs(high, edges, baseline=low, color=kind.colour, fill=True, alpha=0.25, linewidth=0)


def _style(axis: Axes, title: str) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("Hz", fontsize=MEDIUM)
    axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=MEDIUM, parse_math=False)
    style_lines(axis)
    axis.tick_params(labelbottom=True)  # the panel below may be empty

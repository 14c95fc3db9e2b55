"""Scores with their intervals over layers and K."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.figures.style import BLACK, MEDIUM, METHODS, OTHERS, Bar, new, style_lines


def scores_over_layers(
    panels: Mapping[str, Mapping[str, Mapping[str, Bar]]],
    layers: Sequence[str],
    levels: Mapping[str, Mapping[str, Bar]],
    title: str,
) -> Figure:
    """Draw scores with their intervals over the layers, a panel per score.

    Parameters
    ----------
    panels : mapping of score to mapping of method to mapping of layer to Bar
        What is drawn; a method's missing layers are skipped.
    layers : sequence of str
        From the input upwards.
    levels : mapping of score to mapping of method to Bar
        Methods that know no layer, drawn across (``standard``, ``noise``).
    title : str
        Of the figure.
    """
    figure = new(3.1 * len(panels) + 0.3, 3.5, title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    handles: dict[str, Any] = {}
    for axis, (score, methods) in zip(axes, panels.items(), strict=True):
        for place, (method, by_layer) in enumerate(methods.items()):
            shift = 0.5 * ((place + 0.5) / len(methods) - 0.5)
            handles[method] = _interval_line(axis, method, by_layer, layers, shift)
        for method, (estimate, low, high) in levels.get(score, {}).items():
            color = METHODS.get(method.split()[0], (BLACK, ""))[0]
            handles[method] = axis.axhline(estimate, color=color, linestyle="--", linewidth=1.2)
            if math.isfinite(low):
                axis.axhspan(low, high, color=color, alpha=0.12, linewidth=0)
        axis.set_title(score, fontsize=MEDIUM)
        axis.set_xticks(range(len(layers)), layers)
        axis.set_xlim(-0.5, len(layers) - 0.5)
        style_lines(axis)
        axis.tick_params(axis="x", labelrotation=45 if max(map(len, layers), default=0) * len(layers) > 30 else 0)
    if handles:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=9, fontsize=MEDIUM)
    return figure


@dataclass(frozen=True)
class Panel:
    """A quantity over K and layer.

    Attributes
    ----------
    title : str
        What it is.
    lines : mapping of K to mapping of layer to Bar
        What is known of it.
    levels : mapping of K to mapping of layer to float
        What it is compared with.
    """

    title: str
    lines: Mapping[int, Mapping[str, Bar]]
    levels: Mapping[int, Mapping[str, float]]


def choice(panels: Sequence[Panel], layers: Sequence[str], title: str) -> Figure:
    """Draw quantities that K and the layer may be chosen by, a line per K over the layers.

    Parameters
    ----------
    panels : sequence of Panel
        One without lines is there too, and says so.
    layers : sequence of str
        From the input upwards.
    title : str
        Of the figure.
    """
    ks = sorted({k for panel in panels for k in panel.lines})
    n_rows = math.ceil(len(panels) / 3)
    figure = new(9.6, 2.9 * n_rows + 0.8, title)
    axes = list(figure.subplots(n_rows, 3, squeeze=False).flat)
    handles: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(panel.title, fontsize=MEDIUM)
        axis.set_xticks(range(len(layers)), layers)
        axis.set_xlim(-0.5, len(layers) - 0.5)
        style_lines(axis)
        if not panel.lines:
            axis.set_yticks([])
            axis.text(0.5, 0.5, "not computed", transform=axis.transAxes, ha="center", va="center", fontsize=MEDIUM)
        for k, by_layer in panel.lines.items():
            color = OTHERS[ks.index(k) % len(OTHERS)]
            shift = 0.4 * ((ks.index(k) + 0.5) / len(ks) - 0.5)
            handles[f"K = {k}"] = _errorbars(axis, by_layer, layers, shift, color, "o", "-")
            levels = {layer: (value, value, value) for layer, value in panel.levels.get(k, {}).items()}
            if levels:
                _errorbars(axis, levels, layers, shift, color, "", ":")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    ordered = {f"K = {k}": handles[f"K = {k}"] for k in ks}
    figure.legend(ordered.values(), ordered, loc="outside lower center", ncols=9, fontsize=MEDIUM)
    return figure


def _errorbars(
    axis: Axes, by_layer: Mapping[str, Bar], layers: Sequence[str], shift: float, color: str, marker: str, style: str
) -> Any:
    """Draw estimates with their intervals over the layers that have one."""
    present = [place for place, layer in enumerate(layers) if layer in by_layer]
    estimates, low, high = np.array([by_layer[layers[place]] for place in present]).reshape(-1, 3).T
    errors = np.nan_to_num(np.abs([estimates - low, high - estimates]))
    return axis.errorbar(
        np.array(present, dtype=float) + shift,
        estimates,
        yerr=errors,
        color=color,
        marker=marker,
        markersize=4.5,
        linestyle=style,
        linewidth=1,
        elinewidth=1,
        capsize=2,
    )


def _interval_line(axis: Axes, method: str, by_layer: Mapping[str, Bar], layers: Sequence[str], shift: float) -> Any:
    color, marker = METHODS.get(method, (BLACK, "X"))
    return _errorbars(axis, by_layer, layers, shift, color, marker, "-" if method in METHODS else ":")

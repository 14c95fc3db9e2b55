"""Tables of numbers as colours: classes by classes, concepts by objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from earmark.figures.style import AMOUNT, MEDIUM, SMALL, VERMILION, new, range_of, style_bar, wrap
from earmark.statistics import Bar

LEGIBLE = 50
"""Most classes whose numbers are written into a matrix; of more, so many names at most stand beside it."""


def recovery(
    panels: Mapping[tuple[str, str], tuple[ArrayLike, float]], names: Mapping[str, Sequence[str]], title: str
) -> Figure:
    """Draw which part of every sound object's relevance lies in which concept.

    Parameters
    ----------
    panels : mapping of (class, layer) to (array [K, O], float)
        The parts, columns summing to 1, and the mutual information behind them.
    names : mapping of class to sequence of str
        The sound objects of each class.
    title : str
        Of the figure.
    """
    classes = list(dict.fromkeys(cls for cls, _ in panels))
    layers = list(dict.fromkeys(layer for _, layer in panels))
    tallest = max(np.shape(table)[0] for table, _ in panels.values())
    figure = new(2.3 * len(layers) + 1.8, len(classes) * (0.28 * tallest + 1.0) + 0.6, title)
    axes = figure.subplots(len(classes), len(layers), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for (cls, layer), (table, information) in panels.items():
        axis = axes[classes.index(cls), layers.index(layer)]
        axis.set_axis_on()
        shares = 100 * np.asarray(table, dtype=float).T  # [O, K]: names to the left, like a table
        image = axis.imshow(shares, cmap=AMOUNT, vmin=0, vmax=100, aspect="auto")
        for row, column in np.argwhere(np.isfinite(shares)):
            share = shares[row, column]
            color = "black" if share > 50 else "white"
            if shares.shape[1] <= 8:
                axis.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=SMALL, color=color)
        axis.set_xticks(range(shares.shape[1]), range(1, shares.shape[1] + 1))
        first = layers.index(layer) == 0
        labels = [wrap(name, 18) for name in names[cls]] if first else [""] * len(shares)
        axis.set_yticks(range(len(shares)), labels, parse_math=False)
        axis.tick_params(labelsize=SMALL, length=2, pad=2)
        axis.set_title(f"{cls}, {layer}: NMI {information:.2f}", fontsize=MEDIUM, parse_math=False)
    figure.supxlabel("concept", fontsize=MEDIUM)
    style_bar(figure.colorbar(image, ax=list(axes.flat), pad=0.01, aspect=30), "% of the object's relevance")
    return figure


def written(bar: Bar) -> str:
    """Write an estimate and its interval."""
    estimate, low, high = bar
    return f"{estimate:+.2f}" + (f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else "")


def cross_class(
    matrices: Mapping[str, Mapping[str, ArrayLike]],
    gains: Mapping[tuple[str, str], Sequence[Bar]],
    names: Sequence[str],
    title: str,
) -> Figure:
    """Draw what a decomposition gains, attributed class by class of the subspaces (as Fig. 4.10).

    Parameters
    ----------
    matrices : mapping of layer to mapping of method to array [C, C]
        Rows attributed class, columns class of the subspaces. Methods stand side by side; those of a layer share
        one scale of colours.
    gains : mapping of (layer, method) to C + 1 Bars
        The diagonal less the mean of the rest of its row, per attributed class and over all.
    names : sequence of str
        C names.
    title : str
        Of the figure.
    """
    methods = list(dict.fromkeys(method for row in matrices.values() for method in row))
    side = max(2.0, 0.44 * len(names) + 0.4)
    margin = 2.3 + 0.06 * max(map(len, names))
    figure = new(len(methods) * (side + margin), len(matrices) * (side + 0.9) + 0.9, title)
    axes = figure.subplots(len(matrices), len(methods), squeeze=False)
    for row, (layer, by_method) in enumerate(matrices.items()):
        shared = np.concatenate([np.ravel(np.asarray(matrix, dtype=float)) for matrix in by_method.values()])
        for axis, method in zip(axes[row], methods, strict=True):
            if method not in by_method:
                axis.set_axis_off()
                axis.set_title(f"{layer}, {method}: not computed", fontsize=MEDIUM)
                continue
            _table(axis, np.asarray(by_method[method], dtype=float), names, side, range_of(shared))
            *per_class, overall = gains[layer, method]
            axis.set_title(f"{layer}, {method}\nown − others: {written(overall)}", fontsize=MEDIUM)
            for place, gain in enumerate(per_class):
                frame = (place - 0.47, place - 0.47)
                axis.add_patch(Rectangle(frame, 0.94, 0.94, fill=False, edgecolor=VERMILION, linewidth=1.6))
                axis.annotate(
                    written(gain),
                    (1.0, place),
                    xytext=(4, 0),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    va="center",
                    fontsize=SMALL,
                )
    figure.supxlabel("class of the subspaces; at the right of a row: own − others [95 % interval]", fontsize=MEDIUM)
    figure.supylabel("attributed class", fontsize=MEDIUM)
    return figure


def confusion(counts: ArrayLike, names: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix in per cent of each true class (as Fig. A.2).

    Parameters
    ----------
    counts : array [C, C]
        Rows true class, columns predicted class.
    names : sequence of str
        C names.
    title : str
        Of the figure.
    """
    table = np.asarray(counts, dtype=float)
    totals = table.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(table, totals, out=np.full_like(table, np.nan), where=totals > 0)
    side = max(2.2, 0.48 * min(len(names), LEGIBLE))
    margin = 1.0 + 0.06 * max(map(len, names))
    figure = new(side + margin, side + margin, title)
    axis = figure.subplots()
    _table(axis, shares, names, side, (0, 100))
    axis.set_xlabel("predicted class", fontsize=MEDIUM)
    axis.set_ylabel("true class", fontsize=MEDIUM)
    return figure


def _table(axis: Axes, values: NDArray[Any], names: Sequence[str], side: float, limits: tuple[float, float]) -> None:
    """Draw a square matrix, `side` inches wide, with its numbers in the cells; many classes as colours alone."""
    low, high = limits
    axis.imshow(values, cmap=AMOUNT, vmin=low, vmax=high if high > low else low + 1)
    digits = 1 if high >= 10 else 2 if high >= 1 else 3
    for row, column in np.argwhere(np.isfinite(values)) if len(names) <= LEGIBLE else ():
        value = values[row, column]
        color = "black" if value > (low + high) / 2 else "white"
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=SMALL, color=color)
    places = range(0, len(names), math.ceil(len(names) / LEGIBLE))
    shown = [names[place] for place in places]
    turned = max(map(len, shown)) * len(shown) > 10 * side
    across: dict[str, Any] = {"rotation": 45, "ha": "right"} if turned else {}
    axis.set_xticks(places, shown, parse_math=False, **across)
    axis.set_yticks(places, shown, parse_math=False)
    axis.tick_params(labelsize=SMALL, length=2, pad=2)

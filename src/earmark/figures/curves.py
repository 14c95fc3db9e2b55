"""Curves: learning, training, and the logit while patches are flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import ArrayLike

from earmark.figures.style import BLACK, BLUE, GREY, MEDIUM, ORANGE, OTHERS, SMALL, new, style_lines, wrap


def learning_curves(
    histories: Mapping[tuple[str, str], Sequence[tuple[str, Sequence[float]]]],
    title: str,
    quantity: str = "objective (eq. 2.19)",
) -> Figure:
    """Draw the objective of every start over the iterations (as Fig. B.2).

    Parameters
    ----------
    histories : mapping of (row, column) to a sequence of (name of the start, objectives)
        Rows are classes, columns layers.
    title : str
        Of the figure.
    quantity : str
        What is maximised.
    """
    names = list(dict.fromkeys(row for row, _ in histories))
    layers = list(dict.fromkeys(column for _, column in histories))
    figure = new(1.95 * len(layers) + 0.9, 1.5 * len(names) + 1.2, title)
    axes = figure.subplots(len(names), len(layers), squeeze=False, sharex=True)
    lines: dict[str, Any] = {}
    for (name, layer), starts in histories.items():
        axis = axes[names.index(name), layers.index(layer)]
        for number, (start, curve) in enumerate(starts):
            color = OTHERS[number % len(OTHERS)]
            (lines[start],) = axis.plot(range(len(curve)), curve, color=color, linewidth=1.1, alpha=0.85)
            axis.plot(len(curve) - 1, curve[-1], color=color, marker="o", markersize=2.5)
        style_lines(axis)
    axes[0, 0].set_xscale("symlog", linthresh=1)  # all share it; a start counts as iteration 0
    axes[0, 0].set_xlim(0, 1.1 * max(len(curve) for starts in histories.values() for _, curve in starts))
    axes[0, 0].xaxis.set_major_formatter(ScalarFormatter())
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(wrap(name, 16), fontsize=MEDIUM, parse_math=False)
    for column, layer in enumerate(layers):
        axes[0, column].set_title(layer, fontsize=MEDIUM)
        axes[-1, column].set_xlabel("iteration", fontsize=SMALL)
    figure.supylabel(quantity, fontsize=MEDIUM)
    if lines:
        figure.legend(lines.values(), lines, loc="outside lower center", ncols=min(len(lines), 6), fontsize=MEDIUM)
    return figure


def flipping_curves(panels: Mapping[str, Mapping[str, ArrayLike]], title: str) -> Figure:
    """Draw how the logit falls while patches are flipped (as Fig. B.1).

    Parameters
    ----------
    panels : mapping of panel to mapping of name to array [T + 1, 4]
        Fraction flipped, logit over the clip's own, lower and upper bound. The first name of a panel is drawn in
        black, the last, chance, in grey; the legend holds each curve's area, the smallest first.
    title : str
        Of the figure.
    """
    longest = max(len(name) for curves in panels.values() for name in curves)
    figure = new(len(panels) * (4.2 + 0.07 * longest), 3.9, title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (panel, curves) in zip(axes, panels.items(), strict=True):
        entries = []
        for place, (name, values) in enumerate(curves.items()):
            fraction, ratio, low, high = np.asarray(values, dtype=float).T
            color, style = _line(place, len(curves))
            (line,) = axis.plot(fraction, ratio, color=color, linestyle=style, linewidth=1.4, marker=".", markersize=4)
            axis.fill_between(fraction, low, high, color=color, alpha=0.1, linewidth=0)
            entries.append((float(np.trapezoid(ratio, fraction)), line, name))
        entries.sort(key=lambda entry: entry[0])
        legend = axis.legend(
            [line for _, line, _ in entries],
            [f"{area:.3f}  {name}" for area, _, name in entries],
            title="area  rules",
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            fontsize=SMALL,
            title_fontsize=SMALL,
            alignment="left",
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        axis.set_title(panel, fontsize=MEDIUM)
        axis.set_xlabel("fraction of the patches flipped", fontsize=MEDIUM)
        axis.set_xlim(0, 1)
        style_lines(axis)
    axes[0].set_ylabel("logit / the clip's own logit", fontsize=MEDIUM)
    return figure


def training_curves(histories: Sequence[Mapping[str, Sequence[float]]], title: str) -> Figure:
    """Draw accuracy and loss over the epochs, averaged over splits (as Fig. A.1).

    Parameters
    ----------
    histories : sequence of mapping
        Per split the columns ``epoch``, ``train_accuracy``, ``validation_accuracy``, ``train_loss``,
        ``validation_loss`` and ``best``. Several splits: their mean, and the range between them.
    title : str
        Of the figure.
    """
    figure = new(8.4, 3.2, title)
    axes = figure.subplots(1, 2)
    length = min(len(history["epoch"]) for history in histories)
    epochs = np.asarray(histories[0]["epoch"])[:length]
    for axis, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        for part, color in (("train", ORANGE), ("validation", BLUE)):
            curves = np.array([history[f"{part}_{quantity}"][:length] for history in histories], dtype=float)
            axis.plot(epochs, curves.mean(axis=0), color=color, linewidth=1.4, label=part)
            if len(curves) > 1:
                axis.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.15, linewidth=0)
        if len(histories) == 1:
            best = epochs[np.flatnonzero(np.asarray(histories[0]["best"][:length]))]
            for epoch in best[-1:]:
                axis.axvline(epoch, color=BLACK, linestyle=":", linewidth=1, label="kept epoch")
        axis.set_xlabel("epoch", fontsize=MEDIUM)
        axis.set_ylabel(quantity, fontsize=MEDIUM)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        style_lines(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=MEDIUM)
    return figure


def interpreter_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], rivals: Mapping[str, Mapping[str, float]], title: str
) -> Figure:
    """Draw what explainers descend while they are trained, a panel each, beside what learned nothing.

    Parameters
    ----------
    histories : mapping of method to mapping
        The columns ``epoch``, ``train_loss``, ``validation_loss`` and ``best``.
    rivals : mapping of method to mapping of name to float
        Losses on validation clips.
    title : str
        Of the figure.
    """
    figure = new(4.6 * len(histories), 3.4, title)
    axes = figure.subplots(1, len(histories), squeeze=False)[0]
    for axis, (method, history) in zip(axes, histories.items(), strict=True):
        epochs = np.asarray(history["epoch"])
        for part, color in (("train", ORANGE), ("validation", BLUE)):
            axis.plot(epochs, history[f"{part}_loss"], color=color, linewidth=1.4, label=part)
        kept = epochs[np.flatnonzero(np.asarray(history["best"]))][-1:]
        axis.plot(kept, np.asarray(history["validation_loss"])[epochs == kept], "o", color=BLACK, ms=4, label="kept")
        for place, (name, loss) in enumerate(rivals.get(method, {}).items()):
            color, style = OTHERS[place % len(OTHERS)], ("--", "-.", ":")[place % 3]
            axis.axhline(loss, color=color, linestyle=style, linewidth=1, label=name)
        axis.set_title(method, fontsize=MEDIUM)
        axis.set_xlabel("epoch", fontsize=MEDIUM)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(fontsize=SMALL, loc="center left", bbox_to_anchor=(1.01, 0.5))
        style_lines(axis)
    axes[0].set_ylabel("loss", fontsize=MEDIUM)
    return figure


def _line(place: int, count: int) -> tuple[str, str]:
    """Colour and style of one of so many curves: the first and the last stand out."""
    if place == 0:
        return BLACK, "-"
    if place == count - 1:
        return GREY, "--"
    colours = OTHERS[:6]
    return colours[(place - 1) % len(colours)], ("-", "-.", ":")[(place - 1) // len(colours) % 3]

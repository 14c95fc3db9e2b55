"""Drawings: arrays in, figures out. Nothing is read here, and no state is kept between figures."""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import ArrayLike, NDArray

from earmark import artifacts
from earmark.frontend import Frontend

LOGMEL, RELEVANCE, AMOUNT = "magma", "RdBu_r", "viridis"

# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#8C8C8C",
)
METHODS = {
    "drsa": (BLUE, "o"),
    "dsa": (ORANGE, "s"),
    "random": (GREY, "D"),
    "pca": (GREEN, "^"),
    "prca": (PURPLE, "v"),
    "oracle": (VERMILION, "*"),
    "standard": (BLACK, ""),
    "noise": (SKY, ""),
}
Bar = tuple[float, float, float]
"""An estimate with the lower and upper bound of its interval; bounds may be NaN."""

OTHERS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, GREY, BLACK)

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
GAP = 0.1
"""Between the panels of a mosaic, in parts of a panel."""
TICKS_HZ = (250, 1000, 2000, 4000, 8000)
DPI = 150
SMALL, MEDIUM, LARGE = 7, 8.5, 11
"""Sizes of type in points: ticks, titles of panels, title of the figure."""

NO_TEXT = ("Last Resort", "cm", "STIXNonUnicode", "STIXSize", "Noto Color Emoji", "Apple Color Emoji")
"""How the names of fonts begin that hold boxes, other characters than they say, or pictures that are not drawn here."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure, equal ones to equal bytes.

    Parameters
    ----------
    figure : Figure
        What to write.
    path : Path
        With ``.png`` or ``.pdf`` that file; without a suffix of the two, both beside each other.
    """
    path = Path(path)
    _set_fonts(figure)
    paths = [path] if path.suffix in (".png", ".pdf") else [path.with_name(f"{path.name}{s}") for s in (".png", ".pdf")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # `unwritable` tells, once
        if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
            # The layout is what costs: once for both files. Nothing is rendered at that.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        for target in paths:
            # Neither a date nor the library's version, which would make equal pictures differ.
            metadata = {"Software": None} if target.suffix == ".png" else {"CreationDate": None, "Producer": None}
            picture = io.BytesIO()  # the PNG writer does not say why a file cannot be written
            figure.savefig(picture, format=target.suffix[1:], metadata=metadata)
            with artifacts.replacing(target) as temporary:
                temporary.write_bytes(picture.getvalue())


def unwritable(text: str) -> str:
    """Return the characters of a text that no font of this machine holds: figures show boxes in their place."""
    lacking = frozenset(map(ord, text)) - _characters(font_manager.findfont(font_manager.FontProperties()))
    _, never = _fallbacks(lacking) if lacking else ((), frozenset())
    return "".join(dict.fromkeys(character for character in text if ord(character) in never))


def _set_fonts(figure: Figure) -> None:
    """Let texts whose characters the usual font lacks be written with other fonts of this machine, where those do."""
    usual = _characters(font_manager.findfont(font_manager.FontProperties()))
    for text in figure.findobj(Text):
        lacking = frozenset(map(ord, text.get_text())) - usual
        if lacking:
            text.set_fontfamily(["sans-serif", *_fallbacks(lacking)[0]])


@functools.cache
def _characters(font: str) -> frozenset[int]:
    """List the characters that a font's file holds; none where it cannot be drawn with. A line end needs no glyph."""
    try:
        face = FT2Font(font)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset({ord("\n"), *face.get_charmap()}) if face.scalable else frozenset()


@functools.cache
def _fallbacks(lacking: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Choose fonts that hold what another lacks, those with most of it first; and say what none holds."""
    held = {
        font.name: _characters(font.fname) & lacking
        for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname))
        if (font.style, font.weight) == ("normal", 400) and not font.name.startswith(NO_TEXT)
    }
    chosen: list[str] = []
    while lacking:
        best = max(held, key=lambda name: len(held[name] & lacking), default="")
        if not best or not held[best] & lacking:
            break
        chosen.append(best)
        lacking -= held[best]
    return tuple(chosen), lacking


def explanation_grid(
    frontend: Frontend,
    logmels: ArrayLike,
    standard: ArrayLike,
    concepts: ArrayLike,
    title: str,
    rows: Sequence[str] | None = None,
) -> Figure:
    """Draw input, standard heatmap and concept heatmaps, a clip per row (as Fig. 4.3).

    Parameters
    ----------
    frontend : Frontend
        What the axes' units are taken from.
    logmels, standard : array [R, F, T]
        Inputs and standard heatmaps.
    concepts : array [R, K, F, T]
        Concept heatmaps.
    title : str
        Of the figure.
    rows : sequence of str, optional
        R labels at the left.

    Returns
    -------
    Figure
        Each heatmap is titled with its sum of relevance; a row's heatmaps share one symmetric scale.
    """
    inputs, whole, parts = np.asarray(logmels), np.asarray(standard), np.asarray(concepts)
    n_rows, n_concepts = parts.shape[:2]
    figure = _figure(1.45 * (n_concepts + 2) + 1.3, 1.5 * n_rows + 0.9, title)
    if n_rows == 0:
        figure.text(0.5, 0.3, "no clip to show", ha="center", fontsize=MEDIUM)
        return figure
    for row, axes in enumerate(_rows(figure, n_rows, n_concepts + 1)):
        first, last = row == 0, row == n_rows - 1
        _spectrogram(axes[0], frontend, inputs[row], LOGMEL, (inputs.min(), inputs.max()))
        axes[0].set_title("log-mel input" if first else "", fontsize=MEDIUM)
        maps = np.concatenate([whole[row][None], parts[row]])  # [K + 1, F, T]
        limit = _limit(maps)
        names = ["standard", *(f"concept {number}" for number in range(1, n_concepts + 1))]
        titles = [(f"{name}\n" if first else "") + _sum(maps[place], place) for place, name in enumerate(names)]
        image = _mosaic(axes[1], frontend, maps, titles, RELEVANCE, (-limit, limit), last)
        _style_bar(figure.colorbar(image, cax=axes[2], extend="both"), "relevance")
        axes[0].set_ylabel("frequency [Hz]", fontsize=SMALL)
        axes[0].tick_params(labelbottom=last)
        if last:
            axes[0].set_xlabel("time [s]", fontsize=SMALL)
            axes[1].set_xlabel("time [s]", fontsize=SMALL)
        if rows is not None:
            axes[0].annotate(
                rows[row],
                (0, 0.5),
                xytext=(-42, 0),
                xycoords="axes fraction",
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="center",
                fontsize=MEDIUM,
                fontweight="bold",
            )
    return figure


def objects(frontend: Frontend, mixture: ArrayLike, stems: ArrayLike, names: Sequence[str], title: str) -> Figure:
    """Draw a clip and the sound objects in it (as Fig. 4.1).

    Parameters
    ----------
    frontend : Frontend
        What the axes' units are taken from.
    mixture : array [F, T]
        Log-mel spectrogram of the clip.
    stems : array [O, F, T]
        Log-mel spectrograms of its objects, at their level in the clip.
    names : sequence of str
        O names.
    title : str
        Of the figure.
    """
    panels = [np.asarray(mixture), *np.asarray(stems)]
    limits = (min(panel.min() for panel in panels), max(panel.max() for panel in panels))
    figure = _figure(1.9 * len(panels) + 0.9, 2.5, title)
    axes = figure.subplots(1, len(panels), squeeze=False)
    titles = ["clip", *(f"object {number}\n{name}" for number, name in enumerate(names, start=1))]
    for axis, panel, label in zip(axes[0], panels, titles, strict=True):
        image = _spectrogram(axis, frontend, panel, LOGMEL, limits)
        axis.set_title(_wrap(label, 24), fontsize=MEDIUM)
    _style_bar(figure.colorbar(image, ax=list(axes[0]), pad=0.01, aspect=18), "log10 magnitude")
    _label_outer(axes)
    return figure


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
    figure = _figure(2.3 * len(layers) + 1.8, len(classes) * (0.28 * tallest + 1.0) + 0.6, title)
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
        labels = [_wrap(name, 18) for name in names[cls]] if first else [""] * len(shares)
        axis.set_yticks(range(len(shares)), labels, parse_math=False)
        axis.tick_params(labelsize=SMALL, length=2, pad=2)
        axis.set_title(f"{cls}, {layer}: NMI {information:.2f}", fontsize=MEDIUM, parse_math=False)
    figure.supxlabel("concept", fontsize=MEDIUM)
    _style_bar(figure.colorbar(image, ax=list(axes.flat), pad=0.01, aspect=30), "% of the object's relevance")
    return figure


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
    figure = _figure(1.95 * len(layers) + 0.9, 1.5 * len(names) + 1.2, title)
    axes = figure.subplots(len(names), len(layers), squeeze=False, sharex=True)
    lines: dict[str, Any] = {}
    for (name, layer), starts in histories.items():
        axis = axes[names.index(name), layers.index(layer)]
        for number, (start, curve) in enumerate(starts):
            color = OTHERS[number % len(OTHERS)]
            (lines[start],) = axis.plot(range(len(curve)), curve, color=color, linewidth=1.1, alpha=0.85)
            axis.plot(len(curve) - 1, curve[-1], color=color, marker="o", markersize=2.5)
        _style_lines(axis)
    axes[0, 0].set_xscale("symlog", linthresh=1)  # all share it; a start counts as iteration 0
    axes[0, 0].set_xlim(0, 1.1 * max(len(curve) for starts in histories.values() for _, curve in starts))
    axes[0, 0].xaxis.set_major_formatter(ScalarFormatter())
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(_wrap(name, 16), fontsize=MEDIUM, parse_math=False)
    for column, layer in enumerate(layers):
        axes[0, column].set_title(layer, fontsize=MEDIUM)
        axes[-1, column].set_xlabel("iteration", fontsize=SMALL)
    figure.supylabel(quantity, fontsize=MEDIUM)
    if lines:
        figure.legend(lines.values(), lines, loc="outside lower center", ncols=min(len(lines), 6), fontsize=MEDIUM)
    return figure


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
    figure = _figure(3.1 * len(panels) + 0.3, 3.5, title)
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
        _style_lines(axis)
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
    figure = _figure(9.6, 2.9 * n_rows + 0.8, title)
    axes = list(figure.subplots(n_rows, 3, squeeze=False).flat)
    handles: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(panel.title, fontsize=MEDIUM)
        axis.set_xticks(range(len(layers)), layers)
        axis.set_xlim(-0.5, len(layers) - 0.5)
        _style_lines(axis)
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


@dataclass(frozen=True)
class Card:
    """What is drawn of one concept.

    Attributes
    ----------
    text : str
        Its name and numbers.
    profile : array [F, T]
        Mean positive relevance.
    logmels, heatmaps : array [m, F, T]
        Clips in which it weighs most, and its relevance in them.
    captions : sequence of str
        m titles.
    """

    text: str
    profile: ArrayLike
    logmels: ArrayLike
    heatmaps: ArrayLike
    captions: Sequence[str]


def cards(frontend: Frontend, concepts: Sequence[Card], title: str) -> Figure:
    """Draw concepts, one per row: numbers, mean profile with its marginals, and clips with the concept's relevance.

    Parameters
    ----------
    frontend : Frontend
        What the axes' units are taken from.
    concepts : sequence of Card
        All of equally many clips.
    title : str
        Of the figure.

    Returns
    -------
    Figure
        Clips are drawn in grey, the darker the louder, with relevance in orange (against the class: blue) on them;
        the clips of a row share one scale.
    """
    n_rows, n_clips = len(concepts), len(concepts[0].captions)
    columns = [0.95, 0.3, 1.2, 0.08, *[1.0] * n_clips]
    figure = _figure(1.8 * sum(columns) + 1.0, 2.05 * n_rows + 1.0, title)
    explained = "clips: those in which the concept weighs most; orange speaks for the class, blue against it"
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    # In inches, as figures of many concepts are tall.
    figure.suptitle(title, y=1 - 0.15 / height, fontsize=LARGE, parse_math=False)
    figure.text(0.98, 1 - 0.5 / height, explained, ha="right", fontsize=SMALL)
    grid = figure.add_gridspec(
        n_rows,
        len(columns),
        width_ratios=columns,
        left=0.25 / width,
        right=1 - 0.15 / width,
        bottom=0.45 / height,
        top=1 - 0.9 / height,
        wspace=0.16,
        hspace=0.38,
    )
    for row, card in enumerate(concepts):
        text = figure.add_subplot(grid[row, 0])
        text.set_axis_off()
        name, _, numbers = card.text.partition("\n")
        text.text(0, 1, name, transform=text.transAxes, va="top", fontsize=LARGE, fontweight="bold")
        text.text(0, 0.84, numbers, transform=text.transAxes, va="top", fontsize=SMALL, linespacing=1.35)
        last = row == n_rows - 1
        _profile(
            figure,
            grid[row, 2],
            frontend,
            np.asarray(card.profile),
            "mean positive relevance" if row == 0 else "",
            last,
        )
        maps = np.asarray(card.heatmaps)
        limit = _limit(maps)
        for number, (logmel, heatmap) in enumerate(zip(np.asarray(card.logmels), maps, strict=True)):
            axis = figure.add_subplot(grid[row, 4 + number])
            low, high = logmel.min(), logmel.max()
            _spectrogram(axis, frontend, logmel, "Greys", (low, high + 0.6 * (high - low)))
            _overlay(axis, heatmap, limit)
            axis.set_title(card.captions[number], fontsize=SMALL)
            axis.tick_params(labelbottom=last, labelleft=number == 0)
            axis.set_xlabel("time [s]" if last else "", fontsize=SMALL)
    return figure


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
    figure = _figure(len(methods) * (side + margin), len(matrices) * (side + 0.9) + 0.9, title)
    axes = figure.subplots(len(matrices), len(methods), squeeze=False)
    for row, (layer, by_method) in enumerate(matrices.items()):
        shared = np.concatenate([np.ravel(np.asarray(matrix, dtype=float)) for matrix in by_method.values()])
        for axis, method in zip(axes[row], methods, strict=True):
            if method not in by_method:
                axis.set_axis_off()
                axis.set_title(f"{layer}, {method}: not computed", fontsize=MEDIUM)
                continue
            _table(axis, np.asarray(by_method[method], dtype=float), names, side, _range(shared))
            *per_class, overall = gains[layer, method]
            axis.set_title(f"{layer}, {method}\nown − others: {_bar(overall)}", fontsize=MEDIUM)
            for place, gain in enumerate(per_class):
                frame = (place - 0.47, place - 0.47)
                axis.add_patch(Rectangle(frame, 0.94, 0.94, fill=False, edgecolor=VERMILION, linewidth=1.6))
                axis.annotate(
                    _bar(gain),
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
    figure = _figure(len(panels) * (4.2 + 0.07 * longest), 3.9, title)
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
        _style_lines(axis)
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
    figure = _figure(8.4, 3.2, title)
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
        _style_lines(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=MEDIUM)
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
    side = max(2.2, 0.48 * len(names))
    margin = 1.0 + 0.06 * max(map(len, names))
    figure = _figure(side + margin, side + margin, title)
    axis = figure.subplots()
    _table(axis, shares, names, side, (0, 100))
    axis.set_xlabel("predicted class", fontsize=MEDIUM)
    axis.set_ylabel("true class", fontsize=MEDIUM)
    return figure


def _figure(width: float, height: float, title: str) -> Figure:
    """Create a figure of some inches, wide enough for its title."""
    figure = Figure(figsize=(max(width, 0.088 * len(title) + 0.4), height), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=LARGE, parse_math=False)  # a class may be called "$"
    return figure


def _rows(figure: Figure, n_rows: int, n_maps: int) -> Iterator[tuple[Axes, Axes, Axes]]:
    """Place, row by row, a panel, a mosaic of as wide panels, and a colour bar, at fixed inches.

    A grid of equal panels needs no solver, which would take longer than the drawing.
    """
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    left, top = 0.75, 0.75
    panel = (width - left - 0.62) / ((1 + GAP) * (n_maps + 1) + 0.07)
    tall = (height - top - 0.42) / (n_rows + 0.24 * (n_rows - 1))
    mosaic = (n_maps + GAP * (n_maps - 1)) * panel
    for row in range(n_rows):
        bottom = height - top - tall - 1.24 * tall * row
        spans = (left, panel), (left + (1 + GAP) * panel, mosaic), (width - 0.62 - 0.07 * panel, 0.07 * panel)
        first, second, third = (
            figure.add_axes((start / width, bottom / height, wide / width, tall / height)) for start, wide in spans
        )
        yield first, second, third


def _mosaic(
    axis: Axes,
    frontend: Frontend,
    maps: NDArray[Any],
    titles: Sequence[str],
    colors: str,
    limits: tuple[float, float],
    timed: bool,
) -> AxesImage:
    """Draw maps [M, F, T] side by side as one image: M panels of their own would take M times as long."""
    n_mels, n_frames = maps.shape[1:]
    step = n_frames + max(1, round(GAP * n_frames))
    tiles = np.full((n_mels, step * len(maps) - (step - n_frames)), np.nan)
    for number, values in enumerate(maps):
        tiles[:, step * number : step * number + n_frames] = values
    image = axis.imshow(
        tiles, origin="lower", aspect="auto", cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    axis.spines[:].set_visible(False)
    axis.set_yticks([])
    starts = step * np.arange(len(maps)) - 0.5
    axis.add_collection(
        PatchCollection(
            [Rectangle((start, -0.5), n_frames, n_mels) for start in starts],
            facecolor="none",
            edgecolor="black",
            linewidth=0.8,
            clip_on=False,
        )
    )
    for start, title in zip(starts, titles, strict=True):
        axis.annotate(
            title,
            (start + n_frames / 2, n_mels - 0.5),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=MEDIUM,
        )
    axis.set_xticks([])
    if timed:
        frame = frontend.hop / frontend.sample_rate
        seconds = np.asarray(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, (n_frames - 1) * frame))
        seconds = seconds[(seconds >= 0) & (seconds <= (n_frames - 1) * frame)]
        places = [(step * number + second / frame, second) for number in range(len(maps)) for second in seconds]
        axis.set_xticks([place for place, _ in places], [f"{second:g}" for _, second in places])
        axis.tick_params(labelsize=SMALL, length=2, pad=2)
    return image


def _spectrogram(
    axis: Axes, frontend: Frontend, values: NDArray[Any], colors: str, limits: tuple[float, float]
) -> AxesImage:
    """Draw [F, T] with low frequencies at the bottom, in seconds and Hz."""
    n_mels, n_frames = values.shape
    frame = frontend.hop / frontend.sample_rate
    extent = (-0.5 * frame, (n_frames - 0.5) * frame, -0.5, n_mels - 0.5)
    image = axis.imshow(
        values,
        origin="lower",
        aspect="auto",
        cmap=colors,
        vmin=limits[0],
        vmax=limits[1],
        extent=extent,
        interpolation="nearest",
    )
    centres = np.asarray(frontend.mel_frequencies)
    ticks = [hertz for hertz in TICKS_HZ if centres[0] <= hertz <= centres[-1]]
    axis.set_yticks(np.interp(ticks, centres, np.arange(n_mels)), [str(hertz) for hertz in ticks])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axis.tick_params(labelsize=SMALL, length=2, pad=2)
    return image


def _label_outer(axes: NDArray[Any]) -> None:
    """Label the outer axes only; all have the same limits (shared axes would be slow in large grids)."""
    for axis in axes[-1]:
        axis.set_xlabel("time [s]", fontsize=SMALL)
    for axis in axes[:, 0]:
        axis.set_ylabel("frequency [Hz]", fontsize=SMALL)
    for axis in axes[:-1].flat:
        axis.tick_params(labelbottom=False)
    for axis in axes[:, 1:].flat:
        axis.tick_params(labelleft=False)


def _limit(maps: NDArray[Any]) -> float:
    """Bound of a symmetric colour scale that single extreme cells do not flatten."""
    limit = float(np.quantile(np.abs(maps[np.isfinite(maps)]), 0.995)) if np.isfinite(maps).any() else 0.0
    return limit if limit > 0 else 1.0


def _sum(heatmap: NDArray[Any], concept: int) -> str:
    # Plain text: a formula per panel takes as long to set as the panel to draw.
    index = "" if concept == 0 else ",ₖ₌" + str(concept).translate(SUBSCRIPTS)
    return f"Σᵢ Rᵢ{index} = {heatmap.sum(dtype=float):.2f}"


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest of the values that are numbers."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _table(axis: Axes, values: NDArray[Any], names: Sequence[str], side: float, limits: tuple[float, float]) -> None:
    """Draw a square matrix with its numbers in the cells, `side` inches wide."""
    low, high = limits
    axis.imshow(values, cmap=AMOUNT, vmin=low, vmax=high if high > low else low + 1)
    digits = 1 if high >= 10 else 2 if high >= 1 else 3
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        color = "black" if value > (low + high) / 2 else "white"
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=SMALL, color=color)
    turned = max(map(len, names)) * len(names) > 10 * side
    across: dict[str, Any] = {"rotation": 45, "ha": "right"} if turned else {}
    axis.set_xticks(range(len(names)), names, parse_math=False, **across)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.tick_params(labelsize=SMALL, length=2, pad=2)


def _profile(
    figure: Figure, place: SubplotSpec, frontend: Frontend, values: NDArray[Any], title: str, last: bool
) -> None:
    """Draw [F, T] with its means over frequency above it and over time beside it."""
    inner = place.subgridspec(2, 2, width_ratios=[1, 0.22], height_ratios=[0.22, 1], wspace=0.06, hspace=0.06)
    axis = figure.add_subplot(inner[1, 0])
    _spectrogram(axis, frontend, values, AMOUNT, (0, max(float(values.max()), 1e-30)))
    axis.tick_params(labelbottom=last)
    axis.set_xlabel("time [s]" if last else "", fontsize=SMALL)
    axis.set_ylabel("frequency [Hz]", fontsize=SMALL)
    left, right, bottom, top = axis.images[0].get_extent()
    n_mels, n_frames = values.shape
    above = figure.add_subplot(inner[0, 0])
    frames = np.linspace(left, right, n_frames + 1)
    above.stairs(values.mean(axis=0), frames, fill=True, color=BLUE)
    above.set_xlim(left, right)
    above.set_title(title, fontsize=MEDIUM)
    beside = figure.add_subplot(inner[1, 1])
    beside.stairs(
        values.mean(axis=1), np.linspace(bottom, top, n_mels + 1), orientation="horizontal", fill=True, color=BLUE
    )
    beside.set_ylim(bottom, top)
    for marginal in (above, beside):
        marginal.set_axis_off()


def _overlay(axis: Axes, heatmap: NDArray[Any], limit: float) -> None:
    """Lay relevance over a spectrogram, the weaker the more transparent."""
    strength = np.clip(np.abs(heatmap) / limit, 0, 1) ** 0.7
    colors = np.where(heatmap[..., None] >= 0, to_rgb(VERMILION), to_rgb(BLUE))  # [F, T, 3]
    axis.imshow(
        np.concatenate([colors, strength[..., None]], axis=-1),
        origin="lower",
        aspect="auto",
        extent=axis.images[0].get_extent(),
        interpolation="nearest",
    )


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


def _line(place: int, count: int) -> tuple[str, str]:
    """Colour and style of one of so many curves: the first and the last stand out."""
    if place == 0:
        return BLACK, "-"
    if place == count - 1:
        return GREY, "--"
    colours = OTHERS[:6]
    return colours[(place - 1) % len(colours)], ("-", "-.", ":")[(place - 1) // len(colours) % 3]


def _bar(bar: Bar) -> str:
    """Write an estimate and its interval."""
    estimate, low, high = bar
    return f"{estimate:+.2f}" + (f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else "")


def _interval_line(axis: Axes, method: str, by_layer: Mapping[str, Bar], layers: Sequence[str], shift: float) -> Any:
    color, marker = METHODS.get(method, (BLACK, "X"))
    return _errorbars(axis, by_layer, layers, shift, color, marker, "-" if method in METHODS else ":")


def _style_bar(bar: Any, label: str) -> None:
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, length=2, pad=2)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def _style_lines(axis: Axes) -> None:
    axis.tick_params(labelsize=SMALL, length=2, pad=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#E5E5E5", linewidth=0.6)
    axis.set_axisbelow(True)


def _wrap(text: str, width: int) -> str:
    """Break a label at blanks so that no line exceeds `width` where words allow it."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    return "\n".join(lines)

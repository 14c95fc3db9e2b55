"""Scores with their intervals over layers and K."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.figures.style import BLACK, GREY, MARKERS, MEDIUM, OTHERS, SKY, new, style_lines
from earmark.statistics import ALL, DRAWS, Bar, Bars
from earmark.store.layout import INPUT_LAYER, STANDARD

FLIPPING = {
    "thesis": ("thesis score", "concepts distinct and relevant?"),
    "fair_zero": ("fair score, replaced by 0", "joint order faithful?"),
    "fair_floor": ("fair score, replaced by the minimum", "joint order faithful?"),
    "overlap": ("overlap", "concepts on the same cells?"),
    "ssim": ("structural similarity", "concepts of the same shape?"),
}
"""What a panel shows and asks, by metric."""

OBJECTS = {
    "nmi": ("mutual information / log O", "concepts tell objects apart?"),
    "capture": ("matched capture", "objects in their own concept?"),
    "rank_accuracy": ("rank accuracy", "concepts on the object's cells?"),
    "si_sdr": ("SI-SDR", "concepts sound like the object?"),
}

BESIDE = {
    "correlation": ("correlation of relevance", "with concepts there, at "),
    "nmi - nmi_other": ("information on sound objects", "less that of concepts there, at "),
}
"""What a panel shows, and beside what, by metric."""

COLOURS = tuple(colour for colour in OTHERS if colour not in (GREY, SKY, BLACK))
"""Of methods: those that mean neither a control nor a reference."""

DASHES = ("--", "-.", (0, (6, 2)), (0, (4, 1, 1, 1, 1, 1)))
"""Of levels, one after the other as the colours run out."""

Line = Mapping[str, Bar]
"""What is known of a method, by layer."""


def _over_layers(bars: Bars, layers: Sequence[str], method: str, k: int, metric: str) -> dict[str, Bar]:
    keys = {layer: (layer, method, k, ALL, metric) for layer in layers}
    return {layer: bars[key] for layer, key in keys.items() if key in bars}


def _title(metric: str, texts: tuple[str, str], units: Mapping[str, str]) -> str:
    """Say in two lines what a panel shows, in which unit, and what it asks."""
    what, question = texts
    return f"{what} [{units[metric]}]\n{question}" if units.get(metric) else f"{what}\n{question}"


def flipping(
    bars: Bars,
    layers: Sequence[str],
    methods: Sequence[str],
    k: int,
    across: Sequence[str],
    controls: Collection[str],
    units: Mapping[str, str],
) -> Figure | None:
    """Draw the scores of patch flipping over the layers (Table 4.4); None where there are none.

    Parameters
    ----------
    bars : Bars
        The table ``flipping``.
    layers : sequence of str
        From the input upwards.
    methods : sequence of str
        The first is compared with a standard heatmap of equal budget.
    k : int
        Number of concepts.
    across : sequence of str
        Methods that know no layer.
    controls : collection of str
        Methods of both kinds that explain nothing.
    units : mapping of metric to str
        Empty for pure numbers.
    """
    panels: dict[str, dict[str, Line]] = {}
    references: dict[str, dict[str, Line]] = {}
    levels: dict[str, dict[str, Bar]] = {}
    for metric, texts in FLIPPING.items():
        title = _title(metric, texts, units)
        lines = {method: _over_layers(bars, layers, method, k, metric) for method in methods}
        if metric == "thesis":
            budget = _over_layers(bars, layers, methods[0], k, "matched_budget")
            references[title] = {f"standard, budget of {methods[0]}": budget} if budget else {}
        panels[title] = {method: line for method, line in lines.items() if line}
        # A control of K = 1 says nothing about the thesis score at another K, and would flatten the rest.
        shown = [method for method in across if metric != "thesis" or method not in controls]
        keys = {method: (INPUT_LAYER, method, 1, ALL, metric) for method in shown}
        levels[title] = {method: bars[key] for method, key in keys.items() if key in bars}
    if not any((*panels.values(), *references.values())):
        return None
    text = f"Patch flipping, K = {k}: lower is better; bars: 95 % intervals"
    return scores_over_layers(panels, layers, references, levels, controls, text)


def recovered(
    bars: Bars,
    layers: Sequence[str],
    methods: Sequence[str],
    k: int,
    controls: Collection[str],
    units: Mapping[str, str],
) -> Figure | None:
    """Draw how well concepts recover known sound objects over the layers; None where that is not known.

    Parameters
    ----------
    bars : Bars
        The table ``ground_truth``.
    layers, methods, k, controls, units
        As in :func:`flipping`.
    """
    panels = {
        _title(metric, texts, units): {method: _over_layers(bars, layers, method, k, metric) for method in methods}
        for metric, texts in OBJECTS.items()
    }
    if not any(line for lines in panels.values() for line in lines.values()):
        return None
    return scores_over_layers(panels, layers, {}, {}, controls, f"Concepts and sound objects, K = {k}")


def beside(
    compared: Mapping[str, Bars],
    random: Mapping[str, Bars],
    other: str,
    layers: Sequence[str],
    methods: Sequence[str],
    k: int,
    controls: Collection[str],
) -> Figure | None:
    """Draw how far another data set's network finds concepts too, a panel per layer of it; None where that is unknown.

    Parameters
    ----------
    compared, random : mapping of layer of the other network to Bars
        The table ``beside``, and what random subspaces come to in it.
    other : str
        The other data set.
    layers, methods, k, controls
        As in :func:`flipping`.
    """
    panels: dict[str, Mapping[str, Line]] = {}
    references: dict[str, dict[str, Line]] = {}
    for metric, (title, less) in BESIDE.items():
        for layer, bars in compared.items():
            lines = {method: _over_layers(bars, layers, method, k, metric) for method in methods}
            known: dict[str, Line] = {method: line for method, line in lines.items() if line}
            if known:
                panel = f"{title}\n{less}{layer}"
                panels[panel] = known
                level = _over_layers(random.get(layer, {}), layers, next(iter(known)), k, metric)
                references[panel] = {f"{next(iter(known))} and random subspaces there": level} if level else {}
    if not panels:
        return None
    text = f"Concepts here and in {other}, K = {k}; bars: 95 % intervals"
    return scores_over_layers(panels, layers, references, {}, controls, text)


def scores_over_layers(
    panels: Mapping[str, Mapping[str, Line]],
    layers: Sequence[str],
    references: Mapping[str, Mapping[str, Line]],
    levels: Mapping[str, Mapping[str, Bar]],
    controls: Collection[str],
    title: str,
) -> Figure:
    """Draw scores with their intervals over the layers, a panel per score.

    Parameters
    ----------
    panels : mapping of score to mapping of method to mapping of layer to Bar
        What is drawn; a method's missing layers are skipped.
    layers : sequence of str
        From the input upwards.
    references : mapping of score to mapping of description to mapping of layer to Bar
        What methods are compared with, in black.
    levels : mapping of score to mapping of method to Bar
        Methods that know no layer, drawn across, all of K = 1.
    controls : collection of str
        Methods drawn in the controls' colours.
    title : str
        Of the figure.
    """
    figure = new(3.1 * len(panels) + 0.3, 3.5, title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    handles: dict[str, Any] = {}
    looks = _lines(dict.fromkeys(name for methods in panels.values() for name in methods), controls)
    strokes = _levels(dict.fromkeys(name for of_score in levels.values() for name in of_score), controls)
    for axis, (score, methods) in zip(axes, panels.items(), strict=True):
        beside = references.get(score, {})
        drawn = [
            *((name, by_layer, looks[name]) for name, by_layer in methods.items()),
            *((name, by_layer, (BLACK, "X", ":")) for name, by_layer in beside.items()),
        ]
        for place, (name, by_layer, look) in enumerate(drawn):
            shift = 0.5 * ((place + 0.5) / len(drawn) - 0.5)
            handles[name] = _errorbars(axis, by_layer, layers, shift, *look)
        for method, (estimate, low, high) in levels.get(score, {}).items():
            color, dashes = strokes[method]
            handles[f"{method} (K = 1)"] = axis.axhline(estimate, color=color, linestyle=dashes, linewidth=1.2)
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


AFFINITIES = {f"affinity_{kind}": words for kind, words in DRAWS.items()}
"""Affinities over several kinds of draws, in words."""


NUMBER = "effective_number"

NEXT_TO = 0.9
"""Part of the greatest number of concepts in effect that is as good as it."""


def choice_panels(
    flipped: Bars,
    concepts: Bars,
    objects: Bars,
    stable: Bars,
    random: Bars,
    again: Bars,
    chosen_by: str,
    layers: Sequence[str],
    ks: Sequence[int],
    method: str,
) -> list[Panel]:
    """Collect what the choice of K and layer is made by, and the score on test clips, which must not decide it.

    Parameters
    ----------
    flipped, concepts, objects, stable : Bars
        The tables ``flipping``, ``concepts``, ``ground_truth`` and ``stability``.
    random : Bars
        What random subspaces come to in the last one.
    again : Bars
        The table ``agreement``.
    chosen_by : str
        How ``ground_truth`` names the information on validation clips.
    layers, ks, method
        The grid of one method.
    """

    def panel(title: str, bars: Bars, metric: str, against: Bars | None = None, other: str = "") -> Panel:
        lines = {k: _over_layers(bars, layers, method, k, metric) for k in ks}
        levels = {k: _over_layers(against or {}, layers, method, k, other or metric) for k in ks}
        return Panel(
            title,
            {k: line for k, line in lines.items() if line},
            {k: {layer: estimate for layer, (estimate, _, _) in level.items()} for k, level in levels.items()},
        )

    return [
        panel(
            "objective on validation pairs\ndotted: on training pairs",
            *(stable, "objective_held_out", stable, "objective_training"),
        ),
        panel("concepts in effect\nas many as K, or fewer", concepts, NUMBER),
        panel("fair score, test clips (not to choose by)\nlower: joint order faithful", flipped, "fair_zero"),
        panel("information on objects, validation clips\nhigher: concepts are objects", objects, chosen_by),
        *(
            panel(f"affinity over {name}\ndotted: random subspaces", stable, metric, random)
            for metric, name in AFFINITIES.items()
        ),
        panel("found again in other networks\npart of them, mean over concepts", again, "found_again"),
    ]


def proposed(concepts: Bars, layer: str, ks: Sequence[int], method: str) -> int | None:
    """Propose how many concepts to look for at a layer.

    Returns
    -------
    int or None
        The smallest K with next to as many concepts in effect as any: more would only cut them into pieces. None where
        their number is not known.
    """
    numbers = {k: _over_layers(concepts, [layer], method, k, NUMBER) for k in sorted(ks)}
    known = {k: found[layer][0] for k, found in numbers.items() if layer in found}
    return next((k for k, number in known.items() if number >= NEXT_TO * max(known.values())), None)


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


def _lines(names: Iterable[str], controls: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Give every method its colour, marker and style, controls in grey; 40 methods differ in one of the two."""
    looks: dict[str, tuple[str, str, str]] = {}
    methods = zip(cycle(COLOURS), cycle(MARKERS), strict=False)  # 5 and 8 of them: they run out of step
    for name in names:
        looks[name] = (GREY, "D", "-") if name in controls else (*next(methods), "-")
    return looks


def _levels(names: Iterable[str], controls: Collection[str]) -> dict[str, tuple[str, Any]]:
    """Give every level its colour and dashes: the standard explanation's is black, those of controls are sky blue."""
    others, of_controls = cycle(product(DASHES, COLOURS)), cycle(DASHES)
    looks: dict[str, tuple[str, Any]] = {}
    for name in names:
        if name == STANDARD:
            looks[name] = (BLACK, "--")
        elif name in controls:
            looks[name] = (SKY, next(of_controls))
        else:
            dashes, color = next(others)
            looks[name] = (color, dashes)
    return looks

"""Concepts as cards: numbers, profile, and the clips in which each weighs most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from numpy.typing import ArrayLike, NDArray

from earmark.figures.heatmaps import axis_labels, spectrogram
from earmark.figures.style import AMOUNT, BLUE, LARGE, MEDIUM, SMALL, VERMILION, limit_of, new
from earmark.sound.base import Frontend
from earmark.statistics import DRAWS, Bar


@dataclass(frozen=True)
class Card:
    """What is drawn of one concept.

    Attributes
    ----------
    text : str
        Its name and numbers.
    profile : array [F, T]
        Mean positive relevance.
    inputs, heatmaps : array [m, F, T]
        Pictures of clips in which it weighs most, and its relevance in them.
    captions : sequence of str
        m titles.
    """

    text: str
    profile: ArrayLike
    inputs: ArrayLike
    heatmaps: ArrayLike
    captions: Sequence[str]


@dataclass(frozen=True)
class Affinity:
    """How often a concept is found again, what random subspaces come to, and whether that is too little."""

    bar: Bar
    random: float
    unstable: bool


def text(concept: int, share: Bar, remarks: Sequence[str], affinities: Mapping[str, Affinity]) -> str:
    """Say what share of the relevance a concept has, what is remarkable, and how stable it is by kinds of draws."""
    lines = [f"concept {concept}", f"share of relevance {_percent(share)}", *remarks]
    for kind, found in affinities.items():
        estimate, low, high = found.bar
        bounds = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else ""
        mark = ", unstable" if found.unstable else ""
        lines += ["", f"affinity over {DRAWS[kind]}", f"{estimate:.2f}{bounds}{mark}"]
    levels = dict.fromkeys(f"{found.random:.2f}" for found in affinities.values())
    return "\n".join([*lines, *(line for level in levels for line in ("", f"of random subspaces {level}"))])


def _percent(share: Bar) -> str:
    if not math.isfinite(share[0]):
        return "not determined"
    estimate, low, high = (100 * value for value in share)
    return f"{estimate:.0f} %" + (f" [{low:.0f}, {high:.0f}]" if math.isfinite(low) else "")


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
    figure = new(1.8 * sum(columns) + 1.0, 2.05 * n_rows + 1.0, title)
    explained = "clips: those in which the concept weighs most; orange speaks for the class, blue against it"
    figure.set_layout_engine(None)
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
        limit = limit_of(maps)
        for number, (picture, heatmap) in enumerate(zip(np.asarray(card.inputs), maps, strict=True)):
            axis = figure.add_subplot(grid[row, 4 + number])
            low, high = picture.min(), picture.max()
            spectrogram(axis, frontend, picture, "Greys", (low, high + 0.6 * (high - low)))
            _overlay(axis, heatmap, limit)
            axis.set_title(card.captions[number], fontsize=SMALL)
            axis.tick_params(labelbottom=last, labelleft=number == 0)
            axis.set_xlabel(axis_labels(frontend)[0] if last else "", fontsize=SMALL)
    return figure


def _profile(
    figure: Figure, place: SubplotSpec, frontend: Frontend, values: NDArray[Any], title: str, last: bool
) -> None:
    """Draw [F, T] with its means over frequency above it and over time beside it."""
    inner = place.subgridspec(2, 2, width_ratios=[1, 0.22], height_ratios=[0.22, 1], wspace=0.06, hspace=0.06)
    axis = figure.add_subplot(inner[1, 0])
    spectrogram(axis, frontend, values, AMOUNT, (0, max(float(values.max()), 1e-30)))
    axis.tick_params(labelbottom=last)
    along, up = axis_labels(frontend)
    axis.set_xlabel(along if last else "", fontsize=SMALL)
    axis.set_ylabel(up, fontsize=SMALL)
    left, right, bottom, top = axis.images[0].get_extent()
    n_bands, n_frames = values.shape
    above = figure.add_subplot(inner[0, 0])
    frames = np.linspace(left, right, n_frames + 1)
    above.stairs(values.mean(axis=0), frames, fill=True, color=BLUE)
    above.set_xlim(left, right)
    above.set_title(title, fontsize=MEDIUM)
    beside = figure.add_subplot(inner[1, 1])
    beside.stairs(
        values.mean(axis=1), np.linspace(bottom, top, n_bands + 1), orientation="horizontal", fill=True, color=BLUE
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

"""Spectrograms and relevance on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from earmark.figures.style import (
    GAP,
    LOUDNESS,
    MEDIUM,
    RELEVANCE,
    SMALL,
    SUBSCRIPTS,
    TICKS_HZ,
    limit_of,
    new,
    style_bar,
    wrap,
)
from earmark.sound.base import Frontend


def explanation_grid(
    frontend: Frontend,
    inputs: ArrayLike,
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
    inputs, standard : array [R, F, T]
        Pictures of inputs, and standard heatmaps; of at least one clip.
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
    pictures, whole, parts = np.asarray(inputs), np.asarray(standard), np.asarray(concepts)
    n_rows, n_concepts = parts.shape[:2]
    figure = new(1.45 * (n_concepts + 2) + 1.3, 1.5 * n_rows + 0.9, title)
    for row, axes in enumerate(_rows(figure, n_rows, n_concepts + 1)):
        first, last = row == 0, row == n_rows - 1
        spectrogram(axes[0], frontend, pictures[row], LOUDNESS, (pictures.min(), pictures.max()))
        axes[0].set_title(f"{frontend.title} input" if first else "", fontsize=MEDIUM)
        maps = np.concatenate([whole[row][None], parts[row]])  # [K + 1, F, T]
        limit = limit_of(maps)
        names = ["standard", *(f"concept {number}" for number in range(1, n_concepts + 1))]
        titles = [(f"{name}\n" if first else "") + _sum(maps[place], place) for place, name in enumerate(names)]
        image = _mosaic(axes[1], frontend, maps, titles, RELEVANCE, (-limit, limit), last)
        style_bar(figure.colorbar(image, cax=axes[2], extend="both"), "relevance")
        along, up = axis_labels(frontend)
        axes[0].set_ylabel(up, fontsize=SMALL)
        axes[0].tick_params(labelbottom=last)
        if last:
            axes[0].set_xlabel(along, fontsize=SMALL)
            axes[1].set_xlabel(along, fontsize=SMALL)
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


def nothing(title: str, words: str) -> Figure:
    """Say in the place of a picture why there is none."""
    figure = new(4.2, 0.9, title)
    figure.text(0.5, 0.3, words, ha="center", fontsize=MEDIUM)
    return figure


def objects(frontend: Frontend, mixture: ArrayLike, stems: ArrayLike, names: Sequence[str], title: str) -> Figure:
    """Draw a clip and the sound objects in it (as Fig. 4.1).

    Parameters
    ----------
    frontend : Frontend
        What the axes' units are taken from.
    mixture : array [F, T]
        Picture of the clip.
    stems : array [O, F, T]
        Pictures of its objects, at their level in the clip.
    names : sequence of str
        O names.
    title : str
        Of the figure.
    """
    panels = [np.asarray(mixture), *np.asarray(stems)]
    limits = (min(panel.min() for panel in panels), max(panel.max() for panel in panels))
    figure = new(1.9 * len(panels) + 0.9, 2.5, title)
    axes = figure.subplots(1, len(panels), squeeze=False)
    titles = ["clip", *(f"object {number}\n{name}" for number, name in enumerate(names, start=1))]
    for axis, panel, label in zip(axes[0], panels, titles, strict=True):
        image = spectrogram(axis, frontend, panel, LOUDNESS, limits)
        axis.set_title(wrap(label, 24), fontsize=MEDIUM)
    style_bar(figure.colorbar(image, ax=list(axes[0]), pad=0.01, aspect=18), frontend.unit)
    _label_outer(axes, frontend)
    return figure


def _rows(figure: Figure, n_rows: int, n_maps: int) -> Iterator[tuple[Axes, Axes, Axes]]:
    """Place, row by row, a panel, a mosaic of as wide panels, and a colour bar, at fixed inches.

    A grid of equal panels needs no solver, which would take longer than the drawing.
    """
    figure.set_layout_engine(None)
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
    n_bands, n_frames = maps.shape[1:]
    step = n_frames + max(1, round(GAP * n_frames))
    tiles = np.full((n_bands, step * len(maps) - (step - n_frames)), np.nan)
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
            [Rectangle((start, -0.5), n_frames, n_bands) for start in starts],
            facecolor="none",
            edgecolor="black",
            linewidth=0.8,
            clip_on=False,
        )
    )
    for start, title in zip(starts, titles, strict=True):
        axis.annotate(
            title,
            (start + n_frames / 2, n_bands - 0.5),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=MEDIUM,
        )
    axis.set_xticks([])
    if timed:
        first, frame = _columns(frontend)
        last = first + (n_frames - 1) * frame
        seconds = np.asarray(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(first, last))
        seconds = seconds[(seconds >= first) & (seconds <= last)]
        places = [
            (step * number + (second - first) / frame, second) for number in range(len(maps)) for second in seconds
        ]
        axis.set_xticks([place for place, _ in places], [f"{second:g}" for _, second in places])
        axis.tick_params(labelsize=SMALL, length=2, pad=2)
    return image


def spectrogram(
    axis: Axes, frontend: Frontend, values: NDArray[Any], colors: str, limits: tuple[float, float]
) -> AxesImage:
    """Draw [F, T] with low frequencies at the bottom, in seconds and Hz; else in columns and rows."""
    n_bands, n_frames = values.shape
    first, frame = _columns(frontend)
    extent = (first - 0.5 * frame, first + (n_frames - 0.5) * frame, -0.5, n_bands - 0.5)
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
    if frontend.frequencies is not None:
        centres = np.asarray(frontend.frequencies)
        ticks = [hertz for hertz in TICKS_HZ if centres[0] <= hertz <= centres[-1]]
        axis.set_yticks(np.interp(ticks, centres, np.arange(n_bands)), [str(hertz) for hertz in ticks])
        axis.yaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axis.tick_params(labelsize=SMALL, length=2, pad=2)
    return image


def axis_labels(frontend: Frontend) -> tuple[str, str]:
    """Name the axes of a heatmap, along and up."""
    return ("column", "row") if frontend.times is None else ("time [s]", "frequency [Hz]")


def _columns(frontend: Frontend) -> tuple[float, float]:
    """Say where the first column lies, and how far apart columns are: in seconds, or counted."""
    if frontend.times is None:
        return 0.0, 1.0
    first, last = float(frontend.times[0]), float(frontend.times[-1])
    return first, (last - first) / max(len(frontend.times) - 1, 1) or 1.0


def _label_outer(axes: NDArray[Any], frontend: Frontend) -> None:
    """Label the outer axes only; all have the same limits (shared axes would be slow in large grids)."""
    along, up = axis_labels(frontend)
    for axis in axes[-1]:
        axis.set_xlabel(along, fontsize=SMALL)
    for axis in axes[:, 0]:
        axis.set_ylabel(up, fontsize=SMALL)
    for axis in axes[:-1].flat:
        axis.tick_params(labelbottom=False)
    for axis in axes[:, 1:].flat:
        axis.tick_params(labelleft=False)


def _sum(heatmap: NDArray[Any], concept: int) -> str:
    # Plain text: a formula per panel takes as long to set as the panel to draw.
    index = "" if concept == 0 else ",ₖ₌" + str(concept).translate(SUBSCRIPTS)
    return f"Σᵢ Rᵢ{index} = {heatmap.sum(dtype=float):.2f}"

"""Draw a clip of every class of examples/planted.yaml, the cause outlined, and what explainers make of it.

    make run ARGS="--configfile examples/planted.yaml"
    .venv/bin/python -m examples.planted.figure

Above each heatmap stands how well it finds the cells of the cause, over all clips of the class (average precision).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earmark.data import dataset
from earmark.data.dataset import ClassInfo, DataSet, stems_of
from earmark.explainers import explanation
from earmark.figures.heatmaps import axis_labels, spectrogram
from earmark.figures.style import LOUDNESS, MEDIUM, RELEVANCE, SMALL, new, save
from earmark.metrics.objects import object_cells
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables.written import Tables

SPLIT, SCORE = "main", "ap"

SHOWN = ("energy", "saliency", "guided-backprop", "gradcam", "occlusion", "slime", "integrated-gradients")

LAYERS = {"gradcam": "detectors"}
"""Where methods work that have a layer."""


def place(method: str) -> tuple[str, str, int]:
    """Name the layer, the method and K of an explanation."""
    return LAYERS.get(method, INPUT_LAYER), method, 1


def cause(source: DataSet, clip: int, cls: ClassInfo) -> torch.Tensor:
    """Say which cells of a clip are those of the sound that its class is called after: bool `[F, T]`."""
    stems = stems_of(source, [clip])
    owned = object_cells(source.frontend, source.waveforms([clip]), stems)[0]  # [O, F, T]
    return owned[source.object_names(cls).index(cls.name)]


def outline(axis: Axes, cells: torch.Tensor) -> None:
    """Draw a line around cells `[F, T]`, on an axis that shows them."""
    left, right, bottom, top = axis.get_images()[0].get_extent()
    fine = np.kron(np.pad(cells.numpy(), 1).astype(float), np.ones((8, 8)))  # so that the line keeps to their edges
    rows, columns = cells.shape
    wide, tall = (right - left) / columns, (top - bottom) / rows
    across = left - wide + wide * (np.arange(fine.shape[1]) + 0.5) / 8
    up = bottom - tall + tall * (np.arange(fine.shape[0]) + 0.5) / 8
    axis.contour(across, up, fine, levels=[0.5], colors="white", linewidths=1.2)
    axis.contour(across, up, fine, levels=[0.5], colors="black", linewidths=0.5)


def draw(layout: Layout) -> Figure:
    """Draw a row for every class: its first clip, and heatmaps of it."""
    source = dataset.open_dataset(layout)
    found = Tables(layout.tables).bars("masking")
    title = "What the network answers to (outlined), and what explainers find; average precision, mean over the class"
    figure = new(1.55 * (len(SHOWN) + 1) + 0.5, 1.45 * len(source.classes) + 0.8, title)
    axes = figure.subplots(len(source.classes), len(SHOWN) + 1, sharex=True, sharey=True)
    along, up = axis_labels(source.frontend)
    for row, cls in zip(axes, source.classes, strict=True):
        shown = {
            method: explanation.read(layout.concept(SPLIT, *place(method), cls.slug) / explanation.NAME)
            for method in SHOWN
        }
        clip = int(shown[SHOWN[0]].clips[0])
        picture = source.frontend.picture(source.inputs([clip]))[0].numpy()
        spectrogram(row[0], source.frontend, picture, LOUDNESS, (picture.min(), picture.max()))
        outline(row[0], cause(source, clip, cls))
        row[0].set_ylabel(f"{cls.name}\n{up}", fontsize=SMALL)
        row[0].set_title(source.frontend.title, fontsize=MEDIUM)
        for axis, (method, maps) in zip(row[1:], shown.items(), strict=True):
            cells = maps.of([clip]).heatmaps[0, 0, 0].numpy()
            limit = np.abs(cells).max() or 1.0  # a quantile would be less than a whisper's few cells
            spectrogram(axis, source.frontend, cells, RELEVANCE, (-limit, limit))
            axis.set_title(f"{method} {found[*place(method), cls.slug, SCORE][0]:.2f}", fontsize=SMALL)
    for axis in axes[-1]:
        axis.set_xlabel(along, fontsize=SMALL)
    return figure


def main() -> None:
    """Draw the results of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=Path("results/planted.png"))
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results (default results)")
    arguments = parser.parse_args()
    save(draw(Layout(arguments.results, "planted")), arguments.target)


if __name__ == "__main__":
    main()

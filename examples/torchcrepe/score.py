"""Hold explanations of pitches against the tones that are in the recordings of examples/torchcrepe.yaml.

    make run ARGS="--configfile examples/torchcrepe.yaml"
    .venv/bin/python -m examples.torchcrepe.score

Printed are, of the recordings whose pitch the network hears, means over recordings of each pitch and then over pitches,
with 95 % intervals over recordings; differences are taken recording by recording.

`share`: what part of the positive relevance lies on the cells in which the tone is louder than the noise.
`AUC`: how often a cell of these has more relevance than another one.

What relevance must beat: the recording's own energy, and noise, whose share is the tone's part of the cells.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import dataset
from earmark.data.dataset import stems_of
from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.metrics.objects import auc, object_cells, relevance_on
from earmark.statistics import Clusters, bootstrap
from earmark.store.layout import INPUT_LAYER, STANDARD, Layout

DATASET, SPLIT = "torchcrepe", "main"
NOISE = "noise~0"
STEMS = ("tone", "noise")
COLUMNS = ("share", "AUC")
WIDTH = 26
"""Letters of a column."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What is known of n recordings.

    Attributes
    ----------
    pitch : list of str [n]
        Slugs of their pitches.
    below : array of bool [n]
        Whether the tone is softer than the noise.
    values : dict of str to array [n, 2]
        Share and AUC, by what is held against the tone.
    """

    pitch: list[str]
    below: NDArray[np.bool_]
    values: dict[str, Values]


def told(maps: torch.Tensor, tones: torch.Tensor) -> Values:
    """Measure share and AUC, ``[n, 2]``, of maps ``[n, F, T]`` and the tone's cells, bool ``[n, F, T]``."""
    shares = relevance_on(maps[:, None], tones[:, None])[:, 0, 0] / maps.clamp_min(0).sum(dim=(1, 2))  # [n]
    ranked = torch.stack([auc(one, cells[None])[0] for one, cells in zip(maps, tones, strict=True)])  # [n]
    return torch.stack([shares, ranked], dim=1).double().numpy()


def scored(results: Path) -> Scored:
    """Score the standard explanation of every scored recording, its energy, and noise.

    Raises
    ------
    EarmarkError
        If there is no explanation.
    """
    layout = Layout(results, DATASET)
    folder = layout.method(SPLIT, INPUT_LAYER, STANDARD, 1)
    slugs = sorted(path.parent.name for path in folder.glob(f"*/{explanation.NAME}"))
    if not slugs:
        raise EarmarkError(f'{folder} has no explanation: make run ARGS="--configfile examples/torchcrepe.yaml"')
    source = dataset.open_dataset(layout)
    pitch: list[str] = []
    below: list[NDArray[np.bool_]] = []
    values: dict[str, list[Values]] = {}
    for slug in slugs:
        whole, noise = (
            explanation.read(layout.concept(SPLIT, INPUT_LAYER, method, 1, slug) / explanation.NAME)
            for method in (STANDARD, NOISE)
        )
        whole, noise = whole.only(whole.scored), noise.only(noise.scored)
        clips = whole.clips.tolist()
        if not clips:
            continue
        objects = source.object_names(next(cls for cls in source.classes if cls.slug == slug))
        stems = stems_of(source, clips)[:, [objects.index(name) for name in STEMS]]  # [n, 2, S]
        waves = source.waveforms(clips)
        tones = object_cells(source.frontend, waves, stems)[:, 0]  # [n, F, T]
        level = stems.square().sum(dim=2)  # [n, 2]
        for name, maps in (
            (STANDARD, whole.heatmaps[:, 0, 0]),
            ("energy", source.frontend.energies(waves)),
            ("noise", noise.of(clips).heatmaps[:, 0, 0]),
        ):
            values.setdefault(name, []).append(told(maps, tones))
        pitch += [slug] * len(clips)
        below.append((level[:, 0] < level[:, 1]).numpy())
    return Scored(pitch, np.concatenate(below), {name: np.concatenate(parts) for name, parts in values.items()})


def lines(found: Scored) -> list[str]:
    """Write a row for each of what was scored, and for the differences."""
    rows = dict(found.values)
    rows |= {f"{STANDARD} less {name}": rows[STANDARD] - rows[name] for name in list(rows) if name != STANDARD}
    which = {"all": np.full(len(found.pitch), True), "tone softer than noise": found.below}
    written = []
    for title, kept in which.items():
        head = f"{title}: {int(kept.sum())}"
        written.append(f"{head:{WIDTH}}" + "".join(column.rjust(WIDTH) for column in COLUMNS))
        clusters = Clusters.of(np.flatnonzero(kept), np.array(found.pitch)[kept])
        for name, values in rows.items() if kept.any() else ():
            bounds = bootstrap(values[kept], clusters)
            cells = [f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]".rjust(WIDTH) for one in bounds]
            written.append(f"{name:{WIDTH}}" + "".join(cells))
    return written


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    try:
        print("\n".join(lines(scored(arguments.results))))
    except EarmarkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

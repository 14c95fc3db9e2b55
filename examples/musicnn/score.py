"""Hold explanations of `guitar` against the guitars that are in the mixtures of examples/musicnn.yaml.

    make run ARGS="--configfile examples/musicnn.yaml --config run=[musicnn-mixtures]"
    .venv/bin/python examples/musicnn/score.py

Printed are, of the clips that the network gives the tag, means with 95 % intervals over clips; differences are taken
clip by clip. Clips have two guitars and eleven loops of drums in common, which the intervals do not know of.

`AUC`: how often a cell of the guitar has more relevance than a cell that is not of the guitar.
`share`: what part of the positive relevance lies on the guitar's cells; that of noise is the guitar's part of cells.
`NMI`: how much concepts tell the two stems apart, by all clips together.
`SI-SDR`: how close what is heard of the map comes to the guitar's stem, in dB.

Which of a method's concepts stands for the guitar is chosen for each clip on all other clips, by `AUC`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from earmark.data import dataset
from earmark.data.dataset import DataSet
from earmark.errors import EarmarkError
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.metrics.objects import auc, information, object_cells, relevance_on
from earmark.metrics.sound import si_sdr
from earmark.sound.masks import apply_masks, render
from earmark.statistics import Clusters, Interval, bootstrap, bootstrap_sums, percentiles
from earmark.store.layout import INPUT_LAYER, STANDARD, Layout

DATASET, SPLIT, TAG = "musicnn-mixtures", "main", "guitar"
STEMS = ("guitar", "drums")
GUITAR = STEMS.index(TAG)

NOISE = "noise~0"
COLUMNS = ("AUC", "share", "NMI", "SI-SDR")
WIDTH = 24
"""Letters of a column."""

Values = NDArray[np.float64]
Heard = Callable[[int], torch.Tensor]
"""Renders the maps of a clip, by its place among the clips, as sounds ``[K, S]``."""


@dataclass(frozen=True)
class Truth:
    """What is known of n clips.

    Attributes
    ----------
    source : DataSet
        Whose clips these are.
    mixtures : Tensor [n, S]
    stems : Tensor [n, O, S]
        Guitar and drums, at their level in the mixture.
    cells : Tensor of bool [n, O, F, T]
        Which cells of the network's own front end they dominate.
    """

    source: DataSet
    mixtures: torch.Tensor
    stems: torch.Tensor
    cells: torch.Tensor


@dataclass(frozen=True)
class Scores:
    """Of one explanation of n clips, or of its difference to another.

    Attributes
    ----------
    auc, share, heard : array [n]
        The AUC, the share of positive relevance on the guitar, and the SI-SDR; NaN where nothing can be measured.
    told : Interval or None
        The NMI of the concepts; None of a single map, which tells nothing apart.
    """

    auc: Values
    share: Values
    heard: Values
    told: Interval | None = None

    def over(self, other: "Scores") -> "Scores":
        """Take another explanation's scores off, clip by clip."""
        return Scores(self.auc - other.auc, self.share - other.share, self.heard - other.heard)


def stem(folder: Path, name: str, start: int, samples: int, rate: int) -> torch.Tensor:
    """Cut a clip ``[samples]`` out of a stem.

    Raises
    ------
    EarmarkError
        If there is no such stem, or it is not the one that was mixed.
    """
    path = folder / name
    if not path.is_file():
        raise EarmarkError(f"{path} is missing: make the mixtures and their stems with examples/musicnn/sounds.py")
    sound, found = soundfile.read(path, dtype="float32")
    if found != rate or len(sound) < start + samples:
        raise EarmarkError(f"{path} is no stem of the clip: make both again with examples/musicnn/sounds.py")
    return torch.from_numpy(sound[start : start + samples])


def truth(source: DataSet, clips: Sequence[int], folder: Path) -> Truth:
    """Read clips and their stems, of which `folder` holds a folder each."""
    where = source.clips.iloc[list(clips)]
    starts = where["offset"] - where["recording_offset"]
    size = source.clip_samples, source.frontend.sample_rate
    stems = torch.stack(
        [
            torch.stack([stem(folder / part, path, start, *size) for part in STEMS])
            for path, start in zip(where["path"], starts, strict=True)
        ]
    )  # [n, O, S]
    mixtures = source.waveforms(clips)
    return Truth(source, mixtures, stems, object_cells(source.frontend, mixtures, stems))


def best(scores: torch.Tensor) -> torch.Tensor:
    """Choose a concept for each clip, that which scores ``[n, K]`` best on all other clips: ``[n]``."""
    known = scores.nan_to_num(0.5)
    return (known.sum(dim=0) - known).argmax(dim=1)


def nmi(maps: torch.Tensor, known: Truth) -> Interval:
    """Measure what concepts ``[n, K, F, T]`` tell of the stems, by their relevance in all clips together."""
    relevance = relevance_on(maps, known.cells).double().numpy()  # [n, K, O]
    whole, drawn = bootstrap_sums(
        relevance,
        Clusters.of(np.arange(len(relevance))),
        lambda sums: information(torch.from_numpy(np.asarray(sums))).numpy(),
    )
    return Interval(float(whole[0]), *map(float, percentiles(drawn[:, 0])))


def scored(maps: torch.Tensor, known: Truth, heard: Heard | None) -> Scores:
    """Score maps ``[n, K, F, T]`` of clips; without `heard`, nothing of them is listened to."""
    guitars = known.cells[:, GUITAR]  # [n, F, T]
    ranked = auc(maps, guitars[:, None, None].expand(*maps.shape[:2], 1, *maps.shape[2:]))[..., 0]  # [n, K]
    shares = relevance_on(maps, guitars[:, None])[..., 0] / maps.clamp_min(0).sum(dim=(2, 3))  # [n, K]
    chosen = best(ranked).unsqueeze(1)  # [n, 1]
    ratios = np.full(len(maps), np.nan)
    for row, concept in enumerate(chosen[:, 0].tolist() if heard else ()):
        sound = heard(row)[concept]
        ratios[row] = float(si_sdr(sound[None], known.stems[row, GUITAR][None])[0, 0])
    told = nmi(maps, known) if maps.shape[1] > 1 else None
    return Scores(ranked.gather(1, chosen)[:, 0].numpy(), shares.gather(1, chosen)[:, 0].numpy(), ratios, told)


def rendering(found: Explanation, standard: Explanation, known: Truth) -> Heard:
    """Return what renders an explanation's maps as `sonify` does."""

    def heard(row: int) -> torch.Tensor:
        maps, whole = found.heatmaps[row], standard.heatmaps[row, 0]
        around = explanation.bypass(maps, whole)
        return render(known.source.frontend, known.mixtures[row], whole, maps, bypass=around)

    return heard


def controls(known: Truth, noise: Explanation) -> Iterator[tuple[str, Scores]]:
    """Score what explains nothing: the clip's own energy, with the clip as its sound, noise, and the guitar's cells."""
    frontend = known.source.frontend
    yield (
        "energy: the mixture",
        scored(frontend.energies(known.mixtures).unsqueeze(1), known, lambda row: known.mixtures[row : row + 1]),
    )
    yield "noise", scored(noise.heatmaps[:, :, 0], known, None)
    own = known.cells[:, GUITAR : GUITAR + 1].float()  # [n, 1, F, T]
    yield "the guitar's cells", scored(own, known, lambda row: apply_masks(frontend, known.mixtures[row], own[row]))


def places(layout: Layout) -> list[tuple[str, str, int]]:
    """List the layers, methods and numbers of concepts that the tag is explained by.

    Raises
    ------
    EarmarkError
        If there is none.
    """
    found = layout.split(SPLIT).glob(f"*/*/K~*/{TAG}/{explanation.NAME}")
    named = [path.parts[-5:-2] for path in sorted(found)]
    listed = [(layer, method, int(k.removeprefix("K~"))) for layer, method, k in named if layer != INPUT_LAYER]
    if not listed:
        raise EarmarkError(
            f"{layout.split(SPLIT)} has no concepts of {TAG}: "
            f'make run ARGS="--configfile examples/musicnn.yaml --config run=[{DATASET}]"'
        )
    return listed


def table(results: Path, folder: Path) -> tuple[int, list[tuple[str, Scores]]]:
    """Score everything that the tag is explained by; also the number of clips."""
    layout = Layout(results, DATASET)

    def read(layer: str, method: str, k: int) -> Explanation:
        found = explanation.read(layout.concept(SPLIT, layer, method, k, TAG) / explanation.NAME)
        return found.only(found.scored)

    listed = places(layout)
    standard = read(INPUT_LAYER, STANDARD, 1)
    known = truth(dataset.open_dataset(layout), standard.clips.tolist(), folder)
    whole = scored(standard.heatmaps[:, :, 0], known, rendering(standard, standard, known))
    rows = [*controls(known, read(INPUT_LAYER, NOISE, 1)), (STANDARD, whole)]
    for layer, method, k in listed:
        found = read(layer, method, k)
        scores = scored(found.heatmaps[:, :, 0], known, rendering(found, standard, known))
        rows += [(f"{layer} {method}", scores), ("  over standard", scores.over(whole))]
    return len(standard.clips), rows


def interval(values: Values) -> Interval | None:
    """Average over the clips that can be measured; None where there is none."""
    finite = values[np.isfinite(values)]
    return bootstrap(finite[:, None], Clusters.of(np.arange(len(finite))))[0] if len(finite) else None


def cell(found: Interval | None, digits: int) -> str:
    """Write an interval."""
    if found is None:
        return "-".rjust(WIDTH)
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]".rjust(WIDTH)


def line(name: str, scores: Scores) -> str:
    """Write a row of the table; behind it, how many clips have no sound to measure, where some have one."""
    means = [cell(interval(scores.auc), 3), cell(interval(scores.share), 3), cell(scores.told, 3)]
    silent = int((~np.isfinite(scores.heard)).sum())
    remark = f"  ({silent} clips silent)" if 0 < silent < len(scores.heard) else ""
    return f"{name:{WIDTH}}" + "".join(means) + cell(interval(scores.heard), 1) + remark


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--stems", type=Path, default=Path("recordings/musicnn/stems"))
    arguments = parser.parse_args()
    try:
        count, rows = table(arguments.results, arguments.stems)
    except EarmarkError as error:
        sys.exit(str(error))
    print(f"{TAG}: {count} mixtures; mean over clips with its 95 % interval over clips")
    print(" " * WIDTH + "".join(column.rjust(WIDTH) for column in COLUMNS))
    print("\n".join(line(name, scores) for name, scores in rows))


if __name__ == "__main__":
    main()

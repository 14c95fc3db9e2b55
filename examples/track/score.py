"""Hold what `make track` made of the track of examples/track/make.py against when its stems play.

    .venv/bin/python examples/track/score.py results/band/main/conv3/info/K~4/tracks/track

Printed is for every class that the track was explained for:

`sum`: what the sounds of the concepts lack of the standard explanation's, in dB of that.
`joins`: spectral flux around the beginnings of clips, over that elsewhere; of the concepts' sounds and of the track
itself, whose beats may fall on them. Intervals are over joins.
`AUC`: how often a concept's score is larger in a tenth of a second in which a stem plays than in one in which it does
not. Which concept stands for a stem is chosen on every other stretch of ten seconds, and judged on the rest, and the
other way round; intervals are over stretches. Beside it stands what the loudness of the track tells.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.stats import rankdata

from earmark.errors import EarmarkError

STRETCH = 10
DRAWS = 500
WINDOW, HOP = 512, 128
"""Samples, of the spectra whose flux is measured."""

NEAR = 2
"""Frames around a join."""

Values = NDArray[np.float64]


def auc(scores: Values, playing: NDArray[np.bool_]) -> float:
    """Say how often a score ``[n]`` is larger where a stem plays; equal ones count half."""
    own = int(playing.sum())
    wins = rankdata(scores)[playing].sum() - own * (own + 1) / 2
    return float(wins / (own * (len(scores) - own))) if 0 < own < len(scores) else float("nan")


def judged(scores: Values, playing: NDArray[np.bool_], half: NDArray[np.bool_]) -> float:
    """AUC on one half of the track of the one of scores ``[K, n]`` that has the largest on the other half."""
    best = max(scores, key=lambda own: auc(own[~half], playing[~half]))
    return auc(best[half], playing[half])


def crossed(scores: Values, playing: NDArray[np.bool_], stretch: NDArray[np.int64]) -> float:
    """Judge either half by what was chosen on the other one, and average."""
    odd = stretch % 2 == 1
    found = [judged(scores, playing, half) for half in (odd, ~odd)]
    told = [value for value in found if not np.isnan(value)]  # a stem may play in all stretches of a half, or in none
    return float(np.mean(told)) if told else float("nan")


def interval(scores: Values, playing: NDArray[np.bool_], stretch: NDArray[np.int64]) -> tuple[float, float, float]:
    """Estimate, and resample whole stretches of each half."""
    rng, found = np.random.default_rng(0), []
    members = [np.flatnonzero(stretch == number) for number in range(stretch.max() + 1)]
    for _ in range(DRAWS):
        drawn = [rng.choice(np.arange(parity, len(members), 2), len(members[parity::2])) for parity in (0, 1)]
        rows = np.concatenate([members[number] for part in drawn for number in part])
        found.append(crossed(scores[:, rows], playing[rows], stretch[rows]))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return crossed(scores, playing, stretch), float(low), float(high)


def flux(sound: Values, rate: int) -> Values:
    """Measure how much spectra rise from one frame to the next, over the whole sound's mean."""
    window = np.hanning(WINDOW)
    spectra = np.abs(ShortTimeFFT(window, HOP, rate).stft(sound))
    rise = np.maximum(np.diff(spectra, axis=1), 0).sum(axis=0)
    return np.asarray(rise / rise.mean())


def at_joins(sound: Values, rate: int, joins: Values) -> tuple[float, float, float]:
    """Flux around joins over that elsewhere, with an interval over joins."""
    rise = flux(sound, rate)
    places = np.round(joins * rate / HOP).astype(int)
    near = np.clip(places[:, None] + np.arange(-NEAR, NEAR + 1), 0, len(rise) - 1)
    elsewhere = np.delete(rise, np.unique(near)).mean()
    ratios = rise[near].mean(axis=1) / elsewhere
    rng = np.random.default_rng(0)
    drawn = [rng.choice(ratios, len(ratios)).mean() for _ in range(DRAWS)]
    return float(ratios.mean()), *map(float, np.percentile(drawn, [2.5, 97.5]))


def written(value: tuple[float, float, float]) -> str:
    """Write an estimate with its interval."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*value)


def score(folder: Path, entries: Path) -> None:
    """Print what one class's explanation comes to.

    Raises
    ------
    EarmarkError
        If a file is missing.
    """
    for path in (folder / "score.csv", entries):
        if not path.is_file():
            raise EarmarkError(f"{path} is missing")
    names = sorted(path.stem for path in folder.glob("*.flac"))
    read = {name: soundfile.read(folder / f"{name}.flac") for name in names}
    sounds, rate = {name: sound for name, (sound, _) in read.items()}, read["input"][1]
    parts = [name for name in names if name.startswith(("concept", "bypass"))]
    lacking = sounds["standard"] - sum(sounds[name] for name in parts)
    ratio = np.sqrt(np.mean(lacking**2) / np.mean(sounds["standard"] ** 2))
    print(f"{folder.name}: sum {20 * np.log10(ratio):.0f} dB")

    logits = pd.read_csv(folder / "logits.csv")["second"].to_numpy()
    joins = logits[1:-1] - (logits[0] if len(logits) else 0)  # the first clip begins with the track
    print(f"joins: {len(joins)} of them; the track {written(at_joins(sounds['input'], rate, joins))}")
    for name in [*parts, "standard"]:
        if sounds[name].any():
            print(f"  {name:10s} {written(at_joins(sounds[name], rate, joins))}")

    table = pd.read_csv(folder / "score.csv").pivot(index="concept", columns="second", values="relevance")
    seconds, scores = table.columns.to_numpy(np.float64), table.to_numpy(np.float64)
    stretch = (seconds // STRETCH).astype(int)
    loudness = np.array([np.mean(sounds["input"][_span(one, seconds, rate)] ** 2) for one in seconds])[None]
    print(f"AUC: {'stem':10s} {'concepts':22s} {'all together':22s} loudness")
    for stem, spans in _spans(entries).items():
        playing = np.any([(seconds >= start) & (seconds < end) for start, end in spans], axis=0)
        rivals = (scores, scores.sum(axis=0, keepdims=True), loudness)
        cells = [written(interval(one, playing, stretch)) for one in rivals]
        print(f"     {stem:10s} {cells[0]:22s} {cells[1]:22s} {cells[2]}")


def _span(second: float, seconds: Values, rate: int) -> slice:
    """Name the samples of a tenth of a second."""
    half = (seconds[1] - seconds[0]) / 2
    return slice(max(int((second - half) * rate), 0), int((second + half) * rate) + 1)


def _spans(entries: Path) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    with entries.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["stem"], []).append((float(row["start"]), float(row["end"])))
    return found


def main() -> None:
    """Score every class of a track's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="as `make track` wrote it: results/.../tracks/track")
    parser.add_argument("--entries", type=Path, default=Path("recordings/track/entries.csv"))
    arguments = parser.parse_args()
    try:
        classes = sorted(path.parent for path in arguments.folder.glob("*/score.csv"))
        if not classes:
            raise EarmarkError(f"{arguments.folder} holds no score.csv of a class: is it the folder of a track?")
        for folder in classes:
            score(folder, arguments.entries)
    except EarmarkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Make a track of three minutes out of the sounds of Sonic Pi, which are all CC0 (public domain), with its stems.

    sudo apt-get install sonic-pi-samples
    .venv/bin/python examples/track/make.py
    make track DATASET=band FILE=recordings/track/track.flac

`stems` holds what the track is the sum of, at its level in it, and `entries.csv` says when each stem plays. No tempo,
no key and no loop is matched to another: this is a test, no music.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from earmark.errors import EarmarkError

INSTALLED = Path("/usr/share/sonic-pi/samples")
RATE = 44100
PEAK = 0.9
FADE = 0.02
"""Seconds in which a stem comes and goes."""

STEMS = {
    "drums": ("loop_amen_full", None, ((0, 60), (100, 150))),
    "guitar": ("guit_em9", 1.5, ((30, 90), (130, 180))),
    "bass": ("bass_woodsy_c", 0.6, ((15, 50), (90, 140))),
    "choir": ("ambi_choir", None, ((70, 120),)),
    "piano": ("ambi_piano", None, ((60, 80), (145, 175))),
    "tabla": ("loop_tabla", None, ((110, 180),)),
}
"""Sound, seconds after which it is struck again (None: when it has ended), and when it plays, in seconds."""

SECONDS = 180


def loaded(path: Path) -> NDArray[np.float64]:
    """Read a sound: the mean of its channels at `RATE`, ``[n]``.

    Raises
    ------
    EarmarkError
        If it is missing.
    """
    if not path.is_file():
        raise EarmarkError(f"{path} is missing: sudo apt-get install sonic-pi-samples")
    sound, rate = soundfile.read(path, always_2d=True)
    return np.asarray(soxr.resample(sound.mean(axis=1), rate, RATE))


def played(sound: NDArray[np.float64], period: float | None, spans: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """Play a sound ``[n]`` over and over in some spans of time, as loud on the average as any other stem there."""
    stem = np.zeros(SECONDS * RATE)
    step = len(sound) if period is None else int(period * RATE)
    for start, end in spans:
        length = (end - start) * RATE
        part = np.zeros(length + len(sound))
        for place in range(0, length, step):
            part[place : place + len(sound)] += sound
        edge = np.minimum(np.arange(length), np.arange(length)[::-1]) / (FADE * RATE)
        stem[start * RATE : end * RATE] += part[:length] * np.minimum(edge, 1)
    heard = np.concatenate([stem[start * RATE : end * RATE] for start, end in spans])
    return stem / np.sqrt(np.mean(heard**2))


def make(samples: Path, target: Path) -> str:
    """Write the track, its stems and when these play; return a sentence that says so."""
    stems = {name: played(loaded(samples / f"{sound}.flac"), *rest) for name, (sound, *rest) in STEMS.items()}
    gain = PEAK / np.abs(sum(stems.values())).max()
    (target / "stems").mkdir(parents=True, exist_ok=True)
    for name, stem in stems.items():
        soundfile.write(target / "stems" / f"{name}.flac", gain * stem, RATE, "PCM_24")
    soundfile.write(target / "track.flac", gain * sum(stems.values()), RATE, "PCM_24")
    with (target / "entries.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("stem", "start", "end"))
        rows.writerows((name, *span) for name, (_, _, spans) in STEMS.items() for span in spans)
    return f"{target}: a track of {SECONDS} s and its {len(stems)} stems"


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/track"))
    parser.add_argument("--samples", type=Path, default=INSTALLED, help=f"folder of sounds (default {INSTALLED})")
    arguments = parser.parse_args()
    try:
        print(make(arguments.samples, arguments.target))
    except EarmarkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Make recordings for examples/musicnn.yaml out of the sounds of Sonic Pi, which are all CC0 (public domain).

    sudo apt-get install sonic-pi-samples
    .venv/bin/python examples/musicnn/sounds.py

`clips` holds the sounds themselves, those shorter than a clip repeated. `mixtures` holds a guitar over a drum loop
each, and `stems/guitar` and `stems/drums` hold what was mixed, under the same names and at its level in the mixture;
`mixtures.csv` says what was drawn.
"""

import argparse
import csv
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from earmark.errors import EarmarkError

INSTALLED = Path("/usr/share/sonic-pi/samples")

SECONDS = 3
RATE = 16000
SAMPLES = SECONDS * RATE
PEAK = 0.9

GUITARS = ("guit_em9", "guit_e_fifths")
"""The two chords; `MTT_vgg` calls neither the slide nor the harmonics a guitar."""

DRUMS = (
    *("loop_amen", "loop_amen_full", "loop_breakbeat", "loop_compus", "loop_mehackit1", "loop_mehackit2"),
    *("loop_mika", "loop_perc1", "loop_perc2", "loop_safari", "loop_tabla"),
)
"""The loops of drums and little else."""

PERIODS = (0.75, 1.5)
"""Range of the seconds after which a guitar is struck again: the network hears it in its strokes."""

LEVELS = (-6.0, 6.0)
"""Range of the guitar's level over the drums', in dB of mean squares."""


@dataclass(frozen=True)
class Mixture:
    """A guitar over drums.

    Attributes
    ----------
    guitar, drums : numpy.ndarray
        Their sounds at their level in the mixture, which is their sum, ``[SAMPLES]``.
    drawn : dict
        Names of the sounds; first stroke and period of the guitar, in samples; first sample of the drums; level in dB.
    """

    guitar: np.ndarray
    drums: np.ndarray
    drawn: Mapping[str, str | int | float]


def repeated(sound: np.ndarray, samples: int) -> np.ndarray:
    """Repeat a sound ``[n]`` or ``[n, channels]`` whole times until it has at least `samples`."""
    return np.concatenate([sound] * math.ceil(samples / len(sound)))


def struck(sound: np.ndarray, first: int, period: int) -> np.ndarray:
    """Start a sound ``[n]`` again and again, from a first sample on, and let it ring on: ``[SAMPLES]``."""
    strokes = np.zeros(SAMPLES)
    for start in range(first, SAMPLES, period):
        rest = sound[: SAMPLES - start]
        strokes[start : start + len(rest)] += rest
    return strokes


def level(sound: np.ndarray) -> float:
    """Return the mean square of a sound in dB."""
    return 10 * math.log10(np.mean(np.square(sound, dtype=np.float64)))


def mixed(guitars: Mapping[str, np.ndarray], drums: Mapping[str, np.ndarray], rng: np.random.Generator) -> Mixture:
    """Draw a guitar, a loop, when they are heard and how loud they are, and mix them to a peak of `PEAK`.

    Parameters
    ----------
    guitars, drums : mapping
        Names to sounds ``[n]`` at `RATE`.
    rng : numpy.random.Generator
        For all that is drawn.
    """
    chord, loop = (str(rng.choice(sorted(names))) for names in (guitars, drums))
    period = int(RATE * rng.uniform(*PERIODS))
    first, turn = int(rng.integers(period)), int(rng.integers(len(drums[loop])))
    above = float(rng.uniform(*LEVELS))
    guitar = struck(guitars[chord], first, period)
    beat = repeated(np.roll(drums[loop], -turn), SAMPLES)[:SAMPLES]
    guitar *= 10 ** ((above + level(beat) - level(guitar)) / 20)
    gain = PEAK / np.abs(guitar + beat).max()
    drawn = {"guitar": chord, "drums": loop, "first": first, "period": period, "turn": turn, "level": round(above, 3)}
    return Mixture(guitar * gain, beat * gain, drawn)


def loaded(folder: Path, name: str) -> np.ndarray:
    """Read a sound: the mean of its channels at `RATE`, ``[n]``."""
    sound, rate = soundfile.read(folder / f"{name}.flac", always_2d=True)
    return soxr.resample(sound.mean(axis=1), rate, RATE)


def write_clips(samples: Path, target: Path) -> int:
    """Write every sound to a folder, at least `SECONDS` long; return how many."""
    target.mkdir(parents=True, exist_ok=True)
    paths = sorted(samples.glob("*.flac"))
    for path in paths:
        sound, rate = soundfile.read(path, dtype="int32", always_2d=True)
        subtype = soundfile.info(path).subtype
        soundfile.write(target / path.name, repeated(sound, SECONDS * rate), rate, subtype=subtype)
    return len(paths)


def write_mixtures(samples: Path, target: Path, count: int, seed: int) -> None:
    """Write mixtures, their stems and what was drawn to a folder."""
    guitars, drums = ({name: loaded(samples, name) for name in names} for names in (GUITARS, DRUMS))
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        mixture = mixed(guitars, drums, rng)
        name = f"{number:03d}.wav"
        sounds = {
            "mixtures": mixture.guitar + mixture.drums,
            "stems/guitar": mixture.guitar,
            "stems/drums": mixture.drums,
        }
        for part, sound in sounds.items():
            (target / part).mkdir(parents=True, exist_ok=True)
            soundfile.write(target / part / name, sound, RATE, subtype="FLOAT")
        rows.append({"mixture": name, **mixture.drawn})
    with (target / "mixtures.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def make(samples: Path, target: Path, count: int, seed: int) -> str:
    """Write clips, mixtures and stems; return a sentence that says so.

    Raises
    ------
    EarmarkError
        If a sound that is mixed is missing.
    """
    missing = [name for name in (*GUITARS, *DRUMS) if not (samples / f"{name}.flac").is_file()]
    if missing:
        raise EarmarkError(f"{samples} holds no {missing[0]}.flac: sudo apt-get install sonic-pi-samples")
    clips = write_clips(samples, target / "clips")
    write_mixtures(samples, target, count, seed)
    return f"{target}: {clips} clips, {count} mixtures of a guitar and drums with their stems"


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/musicnn"))
    parser.add_argument("--samples", type=Path, default=INSTALLED, help=f"folder of sounds (default {INSTALLED})")
    parser.add_argument("--mixtures", type=int, default=160, help="how many (default 160)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        print(make(arguments.samples, arguments.target, arguments.mixtures, arguments.seed))
    except EarmarkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Make recordings for examples/torchcrepe.yaml: tones of known pitch in noise, 64 ms each.

    .venv/bin/python -m examples.torchcrepe.tones

`clips` holds a folder of recordings for each pitch, `stems` the tone and the noise of every recording at their level
in it; `tones.csv` says what was drawn.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from examples.torchcrepe.convert import hertz, name
from examples.torchcrepe.network import SAMPLES

RATE = 16000
PEAK = 0.9

PLAYED = (120, 150, 180, 210, 240, 270)
"""Outputs of the network whose pitches are played, half an octave apart."""

HARMONICS = 8

SLOPES = (0.5, 1.5)
"""Range of the power of a harmonic's number that its amplitude falls by."""

LEVELS = (-5.0, 10.0)
"""Range of the tone's level over the noise's, in dB of mean squares."""


@dataclass(frozen=True)
class Recording:
    """A tone in noise.

    Attributes
    ----------
    tone, noise : numpy.ndarray
        At their level in the recording, which is their sum, ``[SAMPLES]``.
    drawn : dict
        Pitch in Hz, slope of the harmonics' amplitudes, level in dB.
    """

    tone: np.ndarray
    noise: np.ndarray
    drawn: Mapping[str, float]


def recorded(pitch: float, rng: np.random.Generator) -> Recording:
    """Draw harmonics of a pitch in Hz, white noise, and how loud they are; their sum has a peak of `PEAK`."""
    numbers = np.arange(1, HARMONICS + 1)[:, None]  # [H, 1]
    slope, above = rng.uniform(*SLOPES), rng.uniform(*LEVELS)
    phases = rng.uniform(0.0, 2 * np.pi, numbers.shape)
    waves = np.cos(2 * np.pi * pitch * numbers * np.arange(SAMPLES) / RATE + phases)  # [H, SAMPLES]
    tone, noise = (numbers**-slope * waves).sum(axis=0), rng.normal(size=SAMPLES)
    noise *= np.sqrt(np.mean(tone**2) / np.mean(noise**2)) * 10 ** (-above / 20)
    gain = PEAK / np.abs(tone + noise).max()
    return Recording(gain * tone, gain * noise, {"pitch": pitch, "slope": round(slope, 3), "level": round(above, 3)})


def make(target: Path, count: int, seed: int) -> None:
    """Write recordings, `count` of each pitch, their stems and what was drawn to a folder."""
    rng = np.random.default_rng(seed)
    rows = []
    for pitch in PLAYED:
        for number in range(count):
            recording = recorded(hertz(pitch), rng)
            place = f"{name(pitch)}/{number:03d}"
            for path, sound in (
                (f"clips/{place}.wav", recording.tone + recording.noise),
                (f"stems/{place}/tone.wav", recording.tone),
                (f"stems/{place}/noise.wav", recording.noise),
            ):
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(target / path, sound, RATE, subtype="FLOAT")
            rows.append({"recording": f"{place}.wav", **recording.drawn})
    with (target / "tones.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/torchcrepe"))
    parser.add_argument("--recordings", type=int, default=75, help="of each pitch (default 75)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make(arguments.target, arguments.recordings, arguments.seed)
    print(f"{arguments.target}: {arguments.recordings} tones in noise of each of {len(PLAYED)} pitches")


if __name__ == "__main__":
    main()

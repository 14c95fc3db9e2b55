"""Write recordings of known causes, and their sound objects, for examples/planted.yaml.

    .venv/bin/python -m examples.planted.recordings

Each is of one class of `network.py`, and holds an object called as the class, without which the network does not
answer so; bells far louder than a whisper; half a chord, which is none; and a little noise.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from examples.planted.network import CLASSES, RATE
from numpy.typing import NDArray

SAMPLES = 15120
"""Of a recording, which is one clip."""

PARTIALS = (1030, 1900, 3500, 5700)
"""Of a bell, in Hz."""

NOISE = 3e-5
"""Standard deviation of what is to be heard everywhere, in parts of the peak."""

PEAK = 0.9

Sound = NDArray[np.float64]


def seconds_of(length: float) -> Sound:
    """Say when the samples of a sound of some seconds are."""
    return np.arange(round(length * RATE)) / RATE


def edges(time: Sound, seconds: float) -> Sound:
    """Let a sound rise and fall within some seconds, so softly that it stays in its band."""
    ramp = np.clip(np.minimum(time, time[-1] - time) / seconds, 0, 1)
    return np.sin(np.pi / 2 * ramp) ** 2


def tone(hertz: float, seconds: float) -> Sound:
    """Make a tone that rises and falls within 10 ms."""
    time = seconds_of(seconds)
    return np.sin(2 * np.pi * hertz * time) * edges(time, 0.01)


def chord(seconds: float) -> Sound:
    """Play two tones together."""
    return (tone(1400, seconds) + tone(2600, seconds)) / 2


def bell(rng: np.random.Generator) -> Sound:
    """Strike a bell, which is faint after a third of a second."""
    time = seconds_of(0.35)
    hertz = rng.uniform(0.98, 1.02) * np.array(PARTIALS)
    partials = np.sin(2 * np.pi * (np.outer(hertz, time) + rng.uniform(size=(len(hertz), 1))))
    sound = edges(time, 0.02) * np.exp(-time / rng.uniform(0.06, 0.12)) * partials.sum(axis=0)
    return sound / np.abs(sound).max()


def bells(rng: np.random.Generator) -> Sound:
    """Strike bells `[S]`, three to six, no two recordings alike."""
    strikes = [placed(bell(rng), rng.uniform(0, 0.55), rng.uniform(-9, 0)) for _ in range(rng.integers(3, 7))]
    sound = np.sum(strikes, axis=0)
    return sound / np.abs(sound).max()


def rumble(rng: np.random.Generator) -> Sound:
    """Make noise below 900 Hz, as long as a recording."""
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    band = np.clip((hertz - 40) / 20, 0, 1) * np.clip((900 - hertz) / 50, 0, 1)
    sound = np.fft.irfft(band * np.fft.rfft(rng.standard_normal(SAMPLES)), SAMPLES)
    return sound / np.abs(sound).max()


def placed(sound: Sound, start: float, decibels: float) -> Sound:
    """Put a sound into silence `[S]`, so many seconds after its begin."""
    whole = np.zeros(SAMPLES)
    first = round(start * RATE)
    whole[first : first + len(sound)] = 10 ** (decibels / 20) * sound
    return whole


def recording(cls: str, seed: int, number: int) -> dict[str, Sound]:
    """Make the objects `[S]` of a recording, by name; they sum to it."""
    rng = np.random.default_rng([seed, CLASSES.index(cls), number])
    if cls == "rumble":
        objects = {cls: rumble(rng), "bells": placed(bell(rng), rng.uniform(0, 0.55), -40)}
    else:
        objects = {"bells": bells(rng)}
    if cls == "calls":
        starts = rng.uniform(0.05, 0.3), rng.uniform(0.5, 0.75)
        objects[cls] = sum(placed(tone(4800, 0.08), start, rng.uniform(-24, -22)) for start in starts)
    if cls == "whisper":
        objects[cls] = placed(tone(6800, 0.06), rng.uniform(0.05, 0.8), rng.uniform(-34, -32))
    if cls == "chord":
        objects[cls] = placed(chord(0.9), rng.uniform(0.01, 0.03), -18)
    elif cls != "rumble":
        objects["half-chord"] = placed(chord(0.4), rng.uniform(0.05, 0.45), -18)
    objects["noise"] = NOISE * rng.standard_normal(SAMPLES)
    peak = np.abs(sum(objects.values())).max()
    return {name: PEAK / peak * sound for name, sound in objects.items()}


def write(folder: Path, count: int, seed: int) -> None:
    """Write so many recordings of every class below `recordings/`, and the objects of each below `stems/`."""
    for cls in CLASSES:
        for number in range(count):
            objects = recording(cls, seed, number)
            path, stems = folder / "recordings" / cls / f"{number:03d}.wav", folder / "stems" / cls / f"{number:03d}"
            for made in (path.parent, stems):
                made.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sum(objects.values()), RATE, subtype="PCM_24")
            for name, sound in objects.items():
                soundfile.write(stems / f"{name}.wav", sound, RATE, subtype="PCM_24")


def main() -> None:
    """Write recordings and stems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("recordings/planted"))
    parser.add_argument("--count", type=int, default=75, help="recordings of each class (default 75)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.count, arguments.seed)
    print(f"{arguments.folder}: {arguments.count} recordings of each of {', '.join(CLASSES)}")


if __name__ == "__main__":
    main()

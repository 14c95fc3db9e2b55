"""Mix strokes of Hydrogen's drum kits in pairs and keep both, for examples/benchmark.yaml.

Every stroke gives its class to mixtures with a stroke of every other kind of drum of the same kit, 5 dB below it: the
class is not which drums sound, but which is the louder. Both are written beside the mixture, which is their sum.
"""

import argparse
import itertools
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from drums import INSTALLED, KINDS, Kit, kits_in, listed

SECONDS = 0.945
"""Length of a mixture: a clip of config.yaml."""

LATEST = 0.2
"""Seconds within which either stroke begins."""

ABOVE_DB = 5.0
"""By how much the class's stroke is louder than the other, by the mean squares of what is active of each."""

ACTIVE = 0.01
"""Part of a stroke's peak above which a sample is active: -40 dB."""

PEAK = 0.9
"""Of a mixture, or of a stroke that is higher by itself, where the other cancels it: files are clipped at 1."""

FADE = 0.01
"""Seconds that fade out where a stroke outlasts the mixture."""


def stroke(path: Path, begin: float) -> tuple[np.ndarray, int]:
    """Read a stroke as one channel [n] that begins so many seconds late and is as long as a mixture, and its rate."""
    samples, rate = soundfile.read(path, always_2d=True)
    mono = samples.mean(axis=1)
    placed = np.zeros(round(SECONDS * rate))
    late = round(begin * rate)
    heard = mono[: len(placed) - late]
    placed[late : late + len(heard)] = heard
    fade = round(FADE * rate)
    placed[-fade:] *= np.linspace(1, 0, fade)
    return placed, rate


def loudness(samples: np.ndarray) -> float:
    """Measure the mean square of the active samples."""
    squares = np.square(samples)
    return float(squares[squares >= ACTIVE**2 * squares.max()].mean())


def mixed(loud: np.ndarray, soft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring two strokes to their levels in a mixture of peak `PEAK`."""
    soft = soft * np.sqrt(loudness(loud) / loudness(soft)) * 10 ** (-ABOVE_DB / 20)
    gain = PEAK / max(np.abs(sound).max() for sound in (loud + soft, loud, soft))
    return gain * loud, gain * soft


def mixtures(kit: Kit, seed: int) -> list[tuple[str, dict[str, np.ndarray], int]]:
    """Mix every stroke of a kit with one of every other kind: path of the mixture, strokes by kind, sampling rate."""
    found = []
    for (name, kind), kind_below in itertools.product(kit.recordings.items(), KINDS):
        others = [other for other, its_kind in kit.recordings.items() if its_kind == kind_below]
        if kind == kind_below or not others:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(f"{kit.slug}/{name}/{kind_below}".encode())])
        first, rate = stroke(kit.folder / name, rng.uniform(0, LATEST))
        second, its_rate = stroke(kit.folder / others[rng.integers(len(others))], rng.uniform(0, LATEST))
        if first.any() and second.any() and rate == its_rate:
            stems = dict(zip((kind, kind_below), mixed(first, second), strict=True))
            found.append((f"{kind}/{Path(kit.copy_of(name)).stem}__{kind_below}", stems, rate))
    return found


def main() -> None:
    """Write `target/KIND/KIT__NAME__OTHER.wav`, both strokes below `target-stems`, and the kits' licences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/drum-mixtures"))
    parser.add_argument("--kits", type=Path, default=INSTALLED, help=f"folder of kits (default {INSTALLED})")
    parser.add_argument("--seed", type=int, default=0, help="of which strokes meet, and when (default 0)")
    arguments = parser.parse_args()
    beside = arguments.target.with_name(f"{arguments.target.name}-stems")
    counts: Counter[str] = Counter()
    used = []
    for kit in kits_in(arguments.kits):
        made = mixtures(kit, arguments.seed)
        for path, stems, rate in made:
            files = {arguments.target / f"{path}.wav": sum(stems.values())}
            files |= {beside / path / f"{kind}.wav": samples for kind, samples in stems.items()}
            for file, samples in files.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(file, samples, rate, subtype="PCM_24")
            counts[path.split("/")[0]] += 1
        if made:
            used.append(kit)
    if not counts:
        sys.exit(f"{arguments.kits}: no kit has two of a {', a '.join(KINDS)}")
    listed(arguments.target, counts, used)


if __name__ == "__main__":
    main()

"""Made music: notes with overtones that set in at random and die away, over some hiss."""

from __future__ import annotations

import numpy as np


def music(seed: int, seconds: float, rate: int = 22050) -> np.ndarray:
    """Return one piece, float64 ``[n]``, peak .8."""
    rng = np.random.default_rng(seed)
    samples = 0.002 * rng.standard_normal(round(seconds * rate))
    time = np.arange(round(0.7 * rate)) / rate
    for start in np.sort(rng.integers(0, len(samples), round(9 * seconds))):
        part = samples[start : start + len(time)]
        hertz, decay = 110 * 2 ** (rng.integers(0, 37) / 12), rng.uniform(3, 12)
        for number in range(1, 6):
            wave = np.sin(2 * np.pi * hertz * number * time[: len(part)] + rng.uniform(0, 6))
            part += wave * np.exp(-decay * time[: len(part)]) / number
    return 0.8 * samples / np.abs(samples).max()

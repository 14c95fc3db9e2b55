"""Sounds as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor


def write(path: Path, sound: Tensor, sample_rate: int) -> None:
    """Write a sound ``[S]`` as 32-bit float WAV at its true level; its folder must be there."""
    from scipy.io import wavfile  # libsndfile stamps floating-point WAVs with the time

    wavfile.write(path, sample_rate, sound.numpy().astype(np.float32))

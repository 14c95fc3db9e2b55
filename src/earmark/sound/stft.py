"""Front end: waveform to spectrogram on the bins of the Fourier transform, and back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from earmark.sound.spectrogram import Spectrogram


@dataclass(frozen=True)
class Stft(Spectrogram):
    """Magnitude or power spectrograms with centred frames.

    Parameters
    ----------
    sample_rate : int
        Sampling rate of every waveform, in Hz.
    n_fft : int
        Samples of the window and of the Fourier transform, even.
    hop : int
        Samples between two frames.
    n_frames : int
        Frames of a clip.
    n_bins : int or None
        How many bins are kept, from 0 Hz on; None: all.
    window, padding, peak_scaling, spectrum, compression, offset, floor, gain, floor_db, top_db, mean, std, layout
        See :class:`earmark.sound.frames.Framed` and :class:`earmark.sound.spectrogram.Spectrogram`.
    """

    sample_rate: int
    n_fft: int
    hop: int
    n_frames: int
    n_bins: int | None = None
    window: str = "hamming"
    padding: str = "reflect"
    peak_scaling: bool = True
    spectrum: str = "magnitude"
    compression: str = "log10"
    offset: float = 1e-7
    floor: float = -4.0
    gain: float = 1.0
    floor_db: float = -100.0
    top_db: float | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    layout: str = "frequency-time"

    kind: ClassVar[str] = "stft"
    title: ClassVar[str] = "spectrogram"

    @property
    def n_rows(self) -> int:
        """Bins that are kept."""
        return self.spectrum_bins if self.n_bins is None else self.n_bins

    @functools.cached_property
    def frequencies(self) -> torch.Tensor:
        """Frequency of every kept bin in Hz, ``[F]``."""
        return self.bin_frequencies[: self.n_rows]

    def rows(self, bins: torch.Tensor) -> torch.Tensor:
        """Keep the lowest of the bins ``[..., n_bins, T]``: ``[..., F, T]``."""
        return bins[..., : self.n_rows, :]

    def lift(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, T]`` to all bins, ``[K, n_bins, T]``: those not kept take the last kept one's."""
        bins = torch.arange(self.spectrum_bins, device=masks.device)
        return masks[:, bins.clamp_max(self.n_rows - 1)]

"""Front end: waveform to spectrogram on the bins of the Fourier transform, and back."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from earmark.sound.spectrogram import Spectrogram


@dataclass(frozen=True)
class Stft(Spectrogram):
    """Magnitude or power spectrograms with centred frames.

    Parameters
    ----------
    n_bins : int or None
        How many bins are kept, from 0 Hz on; None: all.

    See :class:`earmark.sound.spectrogram.Spectrogram` for the others.
    """

    n_bins: int | None = field(default=None, kw_only=True)

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

    def binned(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, n]`` to all bins, ``[K, n_bins, n]``: those not kept take the last kept one's."""
        bins = torch.arange(self.spectrum_bins, device=masks.device)
        return masks[:, bins.clamp_max(self.n_rows - 1)]

"""Audio front end: waveform to log-mel spectrogram and back (thesis A.1).

One object serves training, attribution and sonification, so that all three see the same frames.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torchaudio.functional import melscale_fbanks

from earmark.plan import config


@dataclass(frozen=True)
class LogMel:
    """Log-mel front end with centred frames.

    Parameters
    ----------
    sample_rate : int
        Sampling rate of every waveform, in Hz.
    n_fft : int
        Samples of the Hamming window and of the Fourier transform.
    hop : int
        Samples between two frames.
    n_mels : int
        Bands of the HTK mel scale, from 0 Hz to the Nyquist frequency.
    n_frames : int
        Frames of a clip.
    offset : float
        Added to the mel magnitude before the logarithm (eq. A.2).
    floor : float
        Smallest value of the log10 magnitude (thesis A.1).
    """

    sample_rate: int
    n_fft: int
    hop: int
    n_mels: int
    n_frames: int
    offset: float
    floor: float

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> LogMel:
        """Build the front end of a data set.

        Parameters
        ----------
        block : mapping
            A data set's block of the configuration; missing keys take the schema's defaults.
        """
        return cls(**config.fill(block)["frontend"])

    @property
    def clip_samples(self) -> int:
        """Samples of a clip: exactly what its `n_frames` centred frames cover."""
        return (self.n_frames - 1) * self.hop

    @property
    def shape(self) -> tuple[int, ...]:
        """Channel, bands and frames of an input."""
        return (1, self.n_mels, self.n_frames)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of a heatmap: the input's."""
        return self.shape

    @property
    def n_bins(self) -> int:
        """Bins of the linear-frequency spectrum."""
        return self.n_fft // 2 + 1

    @property
    def clip_seconds(self) -> float:
        """Duration of a clip in seconds."""
        return self.clip_samples / self.sample_rate

    @functools.cached_property
    def window(self) -> torch.Tensor:
        """Periodic Hamming window (eq. 2.25), ``[n_fft]``."""
        return torch.hamming_window(self.n_fft, periodic=True)

    @functools.cached_property
    def filter_bank(self) -> torch.Tensor:
        """Triangular HTK filters without area normalisation (eq. 2.26, 2.27), ``[n_mels, n_bins]``."""
        bank = melscale_fbanks(
            self.n_bins, 0.0, self.sample_rate / 2, self.n_mels, self.sample_rate, norm=None, mel_scale="htk"
        )
        return bank.T.contiguous()

    @functools.cached_property
    def mel_frequencies(self) -> torch.Tensor:
        """Centre frequency of every band in Hz, ``[n_mels]`` (eq. 2.26, evenly spaced in mel)."""
        top = 2595.0 * torch.log10(torch.tensor(1.0 + self.sample_rate / 2 / 700.0, dtype=torch.float64))
        mels = torch.linspace(0.0, 1.0, self.n_mels + 2, dtype=torch.float64)[1:-1] * top
        return (700.0 * (10.0 ** (mels / 2595.0) - 1.0)).float()

    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform (eq. 2.21): ``[B, S]`` to complex ``[B, n_bins, T]``."""
        return torch.stft(
            waveforms,
            self.n_fft,
            self.hop,
            window=self.window.to(waveforms),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )

    def istft(self, spectra: torch.Tensor) -> torch.Tensor:
        """Overlap-add inverse (eq. 3.17): complex ``[B, n_bins, T]`` to ``[B, clip_samples]``."""
        return torch.istft(
            spectra,
            self.n_fft,
            self.hop,
            window=self.window.to(spectra.device, spectra.real.dtype),
            center=True,
            length=self.clip_samples,
        )

    def mel(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Mel magnitude spectrogram (eq. 2.27) at the waveforms' own level: ``[B, S]`` to ``[B, F, T]``."""
        return self.filter_bank.to(waveforms) @ self.stft(waveforms).abs()

    def compressed(self, mels: torch.Tensor) -> torch.Tensor:
        """Take log10 magnitudes (eq. A.2), at least `floor`, of any shape."""
        return torch.log10(mels + self.offset).clamp_min(self.floor)

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Log-mel spectrograms of clips, scaled by a peak (eq. A.1, A.2).

        Parameters
        ----------
        waveforms : torch.Tensor
            Clips ``[B, clip_samples]`` at `sample_rate`.
        like : torch.Tensor or None
            Clips ``[B, clip_samples]``, or one ``[clip_samples]`` for all, that are scaled to peak 1 by the same
            factor; None: each clip itself is. Where that is silent, nothing is scaled.

        Returns
        -------
        torch.Tensor
            ``[B, 1, n_mels, n_frames]``, log10 magnitude, at least `floor`.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        """
        return self.compressed(self.mel(self.normalised(waveforms, like))).unsqueeze(1)

    def normalised(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Scale clips ``[B, clip_samples]`` to peak 1 (eq. A.1), silent ones not at all; `like` as in a call.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] != self.clip_samples:
            raise ValueError(f"expected clips [B, {self.clip_samples}], got {list(waveforms.shape)}")
        peak = (waveforms if like is None else like).abs().amax(dim=-1, keepdim=True)  # [B, 1] or [1]
        return waveforms / torch.where(peak > 0, peak, 1.0)

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Multiply inputs and contexts ``[..., 1, F, T]``, cell by cell."""
        return inputs * contexts

    def lift(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, T]`` to the bins of the spectrum, ``[K, n_bins, T]``.

        A bin takes the mean of the bands that cover it, weighted by their filters; a bin that no filter covers
        (0 Hz and the Nyquist frequency) takes its neighbour's.
        """
        bank = self.filter_bank.to(masks)  # [F, n_bins]
        cover = bank.sum(dim=0)
        covered = torch.nonzero(cover > 0).squeeze(1)
        bins = torch.arange(len(cover))
        nearest = covered[(bins[:, None] - covered).abs().argmin(dim=1)]
        weights = (bank / torch.where(cover > 0, cover, 1.0))[:, nearest]  # [F, n_bins]
        return weights.T @ masks

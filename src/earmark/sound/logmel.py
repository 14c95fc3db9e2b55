"""Audio front end: waveform to log-mel spectrogram and back (thesis A.1).

One object serves training, attribution and sonification, so that all three see the same frames.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
from torchaudio.functional import melscale_fbanks

from earmark.errors import EarmarkError
from earmark.plan import config
from earmark.sound.spectrogram import Spectrogram

LINEAR_HZ, LOG_MEL = 1000.0, 15.0
"""Slaney's scale (Auditory Toolbox) is linear up to this frequency, which is this many mel, and logarithmic above."""

LOG_STEP = math.log(6.4) / 27
"""Its logarithmic step."""


@dataclass(frozen=True)
class LogMel(Spectrogram):
    """Log-mel front end with centred frames.

    Parameters
    ----------
    n_mels : int
        Bands, evenly spaced on the mel scale from `f_min` to `f_max`.
    mel_scale : {"htk", "slaney"}
        ``2595 log10(1 + f / 700)`` (eq. 2.26), or linear up to 1 kHz and logarithmic above.
    area_norm : bool
        Whether filters are divided by half their width in Hz, instead of peaking at 1.
    f_min : float
        Where the lowest filter begins, in Hz.
    f_max : float or None
        Where the highest ends; None: the Nyquist frequency.

    See :class:`earmark.sound.spectrogram.Spectrogram` for the others.
    """

    n_mels: int
    _: KW_ONLY
    mel_scale: str = "htk"
    area_norm: bool = False
    f_min: float = 0.0
    f_max: float | None = None

    kind: ClassVar[str] = "logmel"
    title: ClassVar[str] = "log-mel"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**Spectrogram.choices, "mel_scale": ("htk", "slaney")}

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> LogMel:
        """Build the front end of a data set.

        Parameters
        ----------
        block : mapping
            A data set's block of the configuration; missing keys take the schema's defaults.

        Raises
        ------
        EarmarkError
            If its front end is of another kind.
        """
        settings = config.fill(block)["frontend"]
        kind = settings.pop("kind")
        if kind != cls.kind:
            raise EarmarkError(f"log-mel spectrograms are needed here: set frontend.kind to {cls.kind}, not {kind}")
        return cls(**settings)

    @property
    def n_rows(self) -> int:
        """Bands."""
        return self.n_mels

    @property
    def highest(self) -> float:
        """Where the highest filter ends, in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    @functools.cached_property
    def filter_bank(self) -> torch.Tensor:
        """Triangular filters (eq. 2.26, 2.27), ``[n_mels, n_bins]``."""
        bank = melscale_fbanks(
            self.spectrum_bins,
            self.f_min,
            self.highest,
            self.n_mels,
            self.sample_rate,
            norm="slaney" if self.area_norm else None,
            mel_scale=self.mel_scale,
        )
        return bank.T.contiguous()

    @functools.cached_property
    def frequencies(self) -> torch.Tensor:
        """Centre frequency of every band in Hz, ``[n_mels]``, evenly spaced in mel."""
        edges = torch.tensor([self.f_min, self.highest], dtype=torch.float64)
        low, high = to_mel(edges, self.mel_scale)
        steps = torch.linspace(0.0, 1.0, self.n_mels + 2, dtype=torch.float64)[1:-1]
        return to_hertz(low + steps * (high - low), self.mel_scale).float()

    def rows(self, bins: torch.Tensor) -> torch.Tensor:
        """Sum bins ``[..., n_bins, T]`` to bands ``[..., F, T]``, weighted by the filters (eq. 2.27)."""
        return self.filter_bank.to(bins) @ bins

    def mel(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Mel spectrogram before compression, at the waveforms' own level: ``[B, S]`` to ``[B, F, T]``."""
        return self.amounts(self.stft(waveforms).abs())

    @functools.cached_property
    def _to_bins(self) -> torch.Tensor:
        """Share of every band in every bin, float64 ``[n_bins, n_mels]``; rows sum to 1."""
        bank = self.filter_bank.double()  # [F, n_bins]
        cover = bank.sum(dim=0)
        covered = torch.nonzero(cover > 0).squeeze(1)
        bins = torch.arange(len(cover))
        nearest = covered[(bins[:, None] - covered).abs().argmin(dim=1)]
        return (bank / torch.where(cover > 0, cover, 1.0))[:, nearest].T

    def binned(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, n]`` to the bins of the spectrum, ``[K, n_bins, n]``.

        A bin takes the mean of the bands that cover it, weighted by their filters; a bin that no filter covers
        (0 Hz, the Nyquist frequency, and what lies beyond `f_min` and `f_max`) takes its neighbour's.
        """
        return self._to_bins.to(masks) @ masks


def to_mel(hertz: torch.Tensor, scale: str) -> torch.Tensor:
    """Convert frequencies of any shape to mel, on the scale ``htk`` (eq. 2.26) or ``slaney``."""
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + hertz / 700.0)
    above = LOG_MEL + torch.log(hertz.clamp_min(LINEAR_HZ) / LINEAR_HZ) / LOG_STEP
    return torch.where(hertz < LINEAR_HZ, hertz * LOG_MEL / LINEAR_HZ, above)


def to_hertz(mels: torch.Tensor, scale: str) -> torch.Tensor:
    """Invert :func:`to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    above = LINEAR_HZ * torch.exp(LOG_STEP * (mels - LOG_MEL))
    return torch.where(mels < LOG_MEL, mels * LINEAR_HZ / LOG_MEL, above)

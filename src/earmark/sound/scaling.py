"""Sounds whose frequency axis is scaled while they last as long as before: a phase vocoder, then resampling.

A sound played `factor` times as slowly by the vocoder, and then as fast again by resampling, has all its frequencies
`factor` times as high, in the time that it took.
"""

from __future__ import annotations

import math

import numpy as np
import soxr
import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

WINDOW_SECONDS = 0.064
"""Of the vocoder's window: it tells harmonics from 65 Hz on apart."""

OVERLAP = 4
"""Windows that lie over each other."""

REACH = 2
"""A peak of the spectrum is at least as large as so many bins on either side (Laroche and Dolson 1999)."""


def scaled(waveforms: Tensor, factor: float, sample_rate: int) -> Tensor:
    """Multiply the frequencies of sounds, and leave their time alone.

    Parameters
    ----------
    waveforms : Tensor
        ``[B, S]``, silent beyond their ends.
    factor : float
        Of frequency, above 0; what comes to lie above half the sampling rate is lost.
    sample_rate : int
        In Hz.

    Returns
    -------
    Tensor
        ``[B, S]``, on the CPU and of the same type.
    """
    length = waveforms.shape[1]
    slow = stretched(waveforms.cpu().double(), factor, window_of(sample_rate))  # [B, about factor S]
    quick = [soxr.resample(row, factor, 1, quality="VHQ") for row in slow.numpy()]
    found = torch.from_numpy(np.stack(quick))  # [B, S], a sample more or less
    return pad(found, (0, max(0, length - found.shape[1])))[:, :length].to(waveforms.dtype)


def window_of(sample_rate: int) -> int:
    """Say how many samples the vocoder's window has, a power of 2."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * sample_rate)))


def stretched(waveforms: Tensor, factor: float, window: int) -> Tensor:
    """Let sounds take another time, their frequencies being left alone.

    Frames are taken where the slower sound has them, `hop` apart, of the sound. Each is turned so that its phases
    continue those of the frame before as they do in the sound itself, where a second frame is taken `hop` samples
    earlier. All bins about a peak of the spectrum are turned alike, as one partial (identity phase locking, Laroche
    and Dolson 1999, "Improved phase vocoder time-scale modification of audio", section III): else partials fall apart
    and voices lose 1 to 3 dB.

    Parameters
    ----------
    waveforms : Tensor
        ``[B, S]``, float64, silent beyond their ends.
    factor : float
        Of the duration, above 0.
    window : int
        Samples of the window, a power of 2.

    Returns
    -------
    Tensor
        ``[B, round(factor S)]``; for factor 1 the sounds themselves, to rounding.
    """
    hop = window // OVERLAP
    length = round(factor * waveforms.shape[1])
    centres = torch.arange(1 + -(-length // hop)) * (hop / factor)  # [T], samples of the sound
    taper = torch.hann_window(window, dtype=waveforms.dtype)
    margin = window // 2 + hop
    around = pad(waveforms, (margin, margin + window))

    def spectra(places: Tensor) -> Tensor:
        """Transform the frames about some samples ``[T]``: complex ``[T, B, bins]``."""
        return torch.fft.rfft(around.unfold(1, window, 1)[:, places + hop] * taper).transpose(0, 1)

    places = centres.round().long()
    frames, earlier = spectra(places), spectra(places - hop)
    peaks = nearest_peaks(frames.abs())  # [T, B, bins]
    turned = [frames[0]]
    for frame, before, peak in zip(frames[1:], earlier[1:], peaks[1:], strict=True):
        turn = turned[-1] * before.conj()  # [B, bins]
        size = turn.abs()
        turn = torch.where(size > 0, turn / torch.where(size > 0, size, 1.0), 1.0)
        turned.append(frame * turn.gather(1, peak))
    return torch.istft(torch.stack(turned, dim=2), window, hop, window=taper, center=True, length=length)


def nearest_peaks(magnitudes: Tensor) -> Tensor:
    """Name the bin of the peak that is nearest to each bin of spectra ``[T, B, bins]``, likewise.

    Where all is silent each bin is a peak.
    """
    bins = magnitudes.shape[2]
    place = torch.arange(bins)
    is_peak = magnitudes == max_pool1d(magnitudes, 2 * REACH + 1, stride=1, padding=REACH)
    below = torch.where(is_peak, place, -bins).cummax(dim=2).values
    above = torch.where(is_peak, place, 2 * bins).flip(2).cummin(dim=2).values.flip(2)
    return torch.where(place - below <= above - place, below, above)

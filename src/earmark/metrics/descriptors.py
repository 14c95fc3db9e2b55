"""What a sound is like, told by numbers and in a few words: where it lies, how it goes, what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SPAN = (0.1, 0.5, 0.9)
"""Parts of the power below the lower end of a sound's band, its middle and its upper end."""

BANDS = ((150.0, "bass"), (500.0, "low"), (2000.0, "mid"), (6000.0, "high"))
"""Words for the middle of a band, up to a frequency in Hz."""

TREBLE = "treble"
"""The word above them."""

LOUDEST = 0.1
"""Part of the frames, the loudest ones, whose share of the power tells onsets from what is steady."""

ONSETS, STEADY = 0.5, 0.2
"""Shares of the power in the loudest tenth of the frames: from one on a sound is onsets, up to the other steady."""

LONG, SHORT = 0.128, 0.032
"""Seconds of the windows that frequencies and times are told by."""

NOISY, TONAL = 0.45, 0.15
"""Densities from which on a sound is noisy, and up to which it is tonal."""

NARROW = 190.0
"""Hz: a tone's band is thought no narrower, which its window is."""


@dataclass(frozen=True)
class Description:
    """What some sounds have in common.

    Attributes
    ----------
    low, middle, high : float
        Hz below which a tenth, half and nine tenths of their power lie.
    loudest : float
        Share of the power in the loudest tenth of the frames, .1 to 1.
    density : float
        Part of the band from `low` to `high` that is filled, frame by frame, weighted by power: exp of the entropy of
        the power over bins, by the band's bins. Near 0 for a tone, about .65 for white noise, whose power spreads over
        bins exponentially.
    """

    low: float
    middle: float
    high: float
    loudest: float
    density: float

    @property
    def words(self) -> str:
        """A name: make-up, band and course; what is neither the one nor the other has no word."""
        band = next((word for highest, word in BANDS if self.middle < highest), TREBLE)
        course = "onsets" if self.loudest >= ONSETS else "steady" if self.loudest <= STEADY else ""
        makeup = "noisy" if self.density >= NOISY else "tonal" if self.density <= TONAL else ""
        return " ".join(word for word in (makeup, band, course) if word)

    @property
    def numbers(self) -> str:
        """The numbers behind the name."""
        return (
            f"four fifths of its power lie from {self.low:.0f} to {self.high:.0f} Hz, of which it fills "
            f"{100 * self.density:.0f} %; {100 * self.loudest:.0f} % of it in the loudest tenth of the time"
        )


def described(sounds: Tensor, sample_rate: int) -> Description | None:
    """Describe sounds by their power in time and frequency.

    Parameters
    ----------
    sounds : Tensor [n, S]
        Each weighs as much as it has power.
    sample_rate : int
        In Hz.

    Returns
    -------
    Description or None
        None if all are silent.
    """
    power = _power(sounds, LONG, sample_rate)  # [n, bins, frames]
    total = float(power.sum())
    if total == 0:
        return None
    below = power.sum(dim=(0, 2)).cumsum(dim=0) / total  # [bins]
    places = torch.searchsorted(below, torch.tensor(SPAN, dtype=below.dtype)).tolist()
    width = sample_rate / 2 / (len(below) - 1)
    low, middle, high = (place * width for place in places)
    frames = _power(sounds, SHORT, sample_rate).sum(dim=1)  # [n, frames]
    count = max(1, round(LOUDEST * frames.shape[1]))
    loudest = float(frames.topk(count, dim=1).values.sum() / frames.sum())
    return Description(low, middle, high, loudest, _density(power[:, places[0] : places[2] + 1], NARROW / width))


def _power(sounds: Tensor, seconds: float, sample_rate: int) -> Tensor:
    """Transform sounds ``[n, S]`` by windows of a length: power in float64, ``[n, bins, frames]``."""
    length = 2 ** round(math.log2(min(seconds * sample_rate, sounds.shape[1])))
    spectrum = torch.stft(
        sounds.double(),
        length,
        length // 2,
        window=torch.hann_window(length, dtype=torch.float64),
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().square()


def _density(band: Tensor, fewest: float) -> float:
    """Measure how much of a band is filled by power ``[n, bins, frames]``."""
    totals = band.sum(dim=1)  # [n, frames]
    parts = band / totals.clamp_min(torch.finfo(band.dtype).tiny).unsqueeze(1)
    filled = torch.special.entr(parts).sum(dim=1).exp()  # [n, frames]: bins
    return float((filled * totals).sum() / totals.sum() / max(band.shape[1], fewest))

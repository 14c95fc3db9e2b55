"""A grid of time and frequency that maps of two front ends are laid on.

A cell of a heatmap reaches half-way to its neighbours. What it holds is spread evenly over it, and goes to the cells of
the common grid by the part of it that lies in each: nothing is lost but what lies outside both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from earmark.errors import EarmarkError
from earmark.sound.base import Frontend


@dataclass(frozen=True)
class Common:
    """The coarser rows and the coarser columns of two front ends, as far as both reach.

    Attributes
    ----------
    hertz, seconds : torch.Tensor
        Bounds of its rows and of its columns, ascending, ``[F + 1]`` and ``[T + 1]``.
    """

    hertz: torch.Tensor
    seconds: torch.Tensor

    @property
    def cells(self) -> int:
        """Number of its cells."""
        return (len(self.hertz) - 1) * (len(self.seconds) - 1)

    @classmethod
    def of(cls, first: Frontend, second: Frontend) -> Common:
        """Find what two front ends have in common.

        Raises
        ------
        EarmarkError
            If one of them does not say where its cells lie, or they share no frequency.
        """
        (ours, own), (theirs, others) = bounds(first), bounds(second)
        rows, columns = _coarser(ours, theirs), _coarser(own, others)
        if len(rows) < 2 or len(columns) < 2:
            raise EarmarkError("the two front ends have no frequency or no time in common: compare others")
        return cls(rows, columns)

    def laid(self, frontend: Frontend, maps: torch.Tensor) -> torch.Tensor:
        """Lay maps ``[..., 1, F', T']`` of one of the two front ends on the grid: ``[..., 1, F, T]``."""
        hertz, seconds = bounds(frontend)
        rows, columns = overlaps(hertz, self.hertz).to(maps), overlaps(seconds, self.seconds).to(maps)
        return rows @ maps @ columns.T


def bounds(frontend: Frontend) -> tuple[torch.Tensor, torch.Tensor]:
    """Say where the rows of a heatmap, in Hz, and its columns, in seconds, begin and end: ``[F + 1]`` and ``[T + 1]``.

    Raises
    ------
    EarmarkError
        If the front end does not say where its cells lie.
    """
    if frontend.frequencies is None or frontend.times is None:
        raise EarmarkError(
            "a front end does not say where the cells of its inputs lie, and relevance cannot be laid on another "
            "network's grid: give it frequencies, of its rows in Hz, and times, of its columns in seconds"
        )
    beyond = float(frontend.times[-1]) + frontend.clip_samples / frontend.sample_rate
    return between(frontend.frequencies, frontend.sample_rate / 2), between(frontend.times, beyond)


def between(centres: torch.Tensor, highest: float) -> torch.Tensor:
    """Bound cells half-way between ascending centres ``[n]``, the outermost as far beyond, from 0 on: ``[n + 1]``."""
    places = centres.double()
    if len(places) == 1:
        return torch.tensor([0.0, highest], dtype=torch.float64)
    gaps = places.diff() / 2
    inner = places[:-1] + gaps
    ends = torch.stack([places[0] - gaps[0], places[-1] + gaps[-1]]).clamp(0.0, highest)
    return torch.cat([ends[:1], inner, ends[1:]])


def overlaps(own: torch.Tensor, common: torch.Tensor) -> torch.Tensor:
    """Measure which part of each cell lies in each of others.

    Parameters
    ----------
    own, common : torch.Tensor
        Bounds of n and of m cells, ascending, ``[n + 1]`` and ``[m + 1]``.

    Returns
    -------
    torch.Tensor
        ``[m, n]``; a column sums to 1 where the cell lies within the others.
    """
    high = torch.minimum(own[1:], common[1:, None])  # [m, n]
    low = torch.maximum(own[:-1], common[:-1, None])
    return (high - low).clamp_min(0) / own.diff()


def _coarser(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Take the bounds of whichever has fewer cells, the first of equals, as far as both reach."""
    fewer = second if len(second) < len(first) else first
    low, high = float(max(first[0], second[0])), float(min(first[-1], second[-1]))
    return fewer.clamp(low, high).unique_consecutive() if low < high else fewer[:1]

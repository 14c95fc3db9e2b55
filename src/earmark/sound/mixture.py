"""Inputs that have much in common: sums of some of a clip's sounds, many of which are alike for a while."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WORD = 31
"""Columns of 0 and 1 that are read as one number."""


@dataclass(frozen=True)
class Stretch:
    """What N inputs have during some of their frames.

    Attributes
    ----------
    values : Tensor [U, ...]
        Inputs' cells in these frames, each different one once.
    which : Tensor [N]
        The one of them that each input has, int64; none is missing.
    """

    values: Tensor
    which: Tensor


@dataclass(frozen=True)
class Mixture:
    """N inputs, or what a layer answers to them, stretch by stretch.

    Attributes
    ----------
    stretches : tuple of Stretch
        One after the other.
    axis : int
        Along which they follow, of an input and thus negative.
    """

    stretches: tuple[Stretch, ...]
    axis: int = -1

    @property
    def widths(self) -> list[int]:
        """Frames of every stretch."""
        return [stretch.values.shape[self.axis] for stretch in self.stretches]

    def cut(self, start: int, stop: int) -> Mixture:
        """Keep the frames from one to another."""
        kept, begin = [], 0
        for stretch, width in zip(self.stretches, self.widths, strict=True):
            low, high = max(start - begin, 0), min(stop - begin, width)
            if low < high:
                values = stretch.values.narrow(self.axis, low, high - low).contiguous()
                kept.append(Stretch(values, stretch.which))
            begin += width
        return Mixture(tuple(kept), self.axis)

    def inputs(self, rows: Tensor) -> Tensor:
        """Put the inputs together that rows ``[n]`` name: ``[n, *I]``, nobody else's."""
        parts = [stretch.values.index_select(0, stretch.which[rows]) for stretch in self.stretches]
        return torch.cat(parts, dim=self.axis)

    def alike(self, stretches: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Find inputs that differ in some of the stretches.

        Returns
        -------
        rows : Tensor [U]
            The first input of every kind.
        which : Tensor [N]
            The kind of each.
        """
        kinds, which = [stretch.which for stretch in self.stretches[stretches]], None
        for kind in kinds:
            which = kind if which is None else (which * (int(kind.max()) + 1) + kind).unique(return_inverse=True)[1]
        assert which is not None
        return firsts(which), which


def firsts(which: Tensor) -> Tensor:
    """Find the first place of every number 0, 1, ... in ``[N]``, none of which is missing: ``[U]``."""
    places = torch.arange(len(which), device=which.device)
    return torch.full_like(places[: int(which.max()) + 1], len(which)).scatter_reduce(0, which, places, "amin")


def distinct(states: Tensor) -> tuple[Tensor, Tensor]:
    """Find the different rows of a matrix of 0 and 1.

    Parameters
    ----------
    states : Tensor
        ``[N, d]``.

    Returns
    -------
    rows : Tensor
        ``[U, d]``.
    which : Tensor
        For each of the N the row that it equals, int64 ``[N]``.
    """
    which = torch.zeros(len(states), dtype=torch.long, device=states.device)
    for columns in states.long().split(WORD, dim=1):
        powers = 2 ** torch.arange(columns.shape[1], device=states.device)
        which = (which * 2**WORD + (columns * powers).sum(dim=1)).unique(return_inverse=True)[1]
    return states[firsts(which)], which

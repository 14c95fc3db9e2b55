"""How relevance, and sound, are spread over frequency: shares of bands whose width grows with their frequency."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PER_OCTAVE, REFERENCE = 3, 1000.0
"""Bands of an octave, and the middle of one of them in Hz (IEC 61260-1:2014, base 2)."""

FIRST = -13
"""The band about 50 Hz, so many below that of the reference; what lies below it is one band, from 0 Hz on."""


def edges_of(frequencies: Tensor, highest: float) -> list[float]:
    """Divide frequencies into third octaves, wider ones where a front end's rows lie further apart.

    Parameters
    ----------
    frequencies : Tensor
        Centre frequency of every row in Hz, ``[F]``, ascending.
    highest : float
        Half the sampling rate, where the last band ends.

    Returns
    -------
    list of float
        Edges of n bands in Hz, ``n + 1``, ascending from 0; each band, without its upper edge, holds at least one row.
    """
    rows = frequencies.tolist()
    edges = [0.0]
    for edge in itertools.takewhile(lambda edge: edge < highest, third_octaves()):
        if any(edges[-1] <= row < edge for row in rows):
            edges.append(edge)
    if len(edges) > 1 and not any(edges[-1] <= row for row in rows):
        edges.pop()
    return [*edges, highest]


def third_octaves() -> Iterator[float]:
    """Yield where third octaves begin, in Hz, from the first on and without end."""
    for number in itertools.count(FIRST):
        yield REFERENCE * 2 ** ((number - 0.5) / PER_OCTAVE)


def shares(cells: Tensor, frequencies: Tensor, edges: Sequence[float]) -> NDArray[np.float64]:
    """Measure which share of what lies on the cells of a heatmap lies in each band.

    Parameters
    ----------
    cells : Tensor
        ``[n, F, T]``, not negative.
    frequencies : Tensor
        Of the rows, ``[F]``.
    edges : sequence of float
        As from :func:`edges_of`.

    Returns
    -------
    array [n, bands]
        Rows sum to 1; NaN where all cells are 0.
    """
    inner = torch.tensor(edges[1:-1], dtype=torch.float64)
    band = torch.bucketize(frequencies.double(), inner, right=True)  # [F]
    rows = cells.double().sum(dim=2)  # [n, F]
    sums = rows.new_zeros(len(rows), len(edges) - 1).index_add(1, band, rows)
    return (sums / sums.sum(dim=1, keepdim=True)).numpy()

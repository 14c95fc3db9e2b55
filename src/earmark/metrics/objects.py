"""What is known of a clip's sound objects, and how well concepts recover them.

A cell of the spectrogram belongs to the object that dominates it there. Concepts of any origin are compared
with the objects by where their positive relevance lies; nothing here knows how the concepts came about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from earmark.sound.base import Frontend

DOMINANT = 0.3
"""A cell belongs to its loudest object where that has more than this share of the mixture's energy."""

TINY = 1e-30


BACKGROUND = 0
"""Number of the cells that belong to no object; objects count from 1."""


def object_cells(frontend: Frontend, mixtures: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
    """Say which cells belong to which sound object.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    mixtures : torch.Tensor
        Clips ``[B, S]``.
    stems : torch.Tensor
        Their sound objects on the same scale, ``[B, O, S]``.

    Returns
    -------
    torch.Tensor
        bool ``[B, O, F, T]``; no cell belongs to two objects.
    """
    energies = frontend.energies(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])  # [B, O, F, T]
    loudest, owner = energies.max(dim=1)  # [B, F, T]
    owned = (loudest > DOMINANT * frontend.energies(mixtures)) & (loudest > 0)
    objects = torch.arange(stems.shape[1], device=stems.device).view(1, -1, 1, 1)
    return (owner.unsqueeze(1) == objects) & owned.unsqueeze(1)


def relevance_on(heatmaps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Sum the positive relevance of every concept on every object's cells.

    Parameters
    ----------
    heatmaps : torch.Tensor
        ``[B, K, F, T]``, rectified cell by cell.
    cells : torch.Tensor
        ``[B, O, F, T]``.

    Returns
    -------
    torch.Tensor
        ``[B, K, O]``.
    """
    return heatmaps.clamp_min(0).flatten(2) @ cells.to(heatmaps.dtype).flatten(2).transpose(1, 2)


def information(relevance: torch.Tensor) -> torch.Tensor:
    """Object-balanced normalised mutual information of concept and object.

    Parameters
    ----------
    relevance : torch.Tensor
        Positive relevance of concepts on objects, pooled over clips, ``[..., K, O]``. Columns are scaled to
        ``1 / O``; an object without any relevance tells nothing.

    Returns
    -------
    torch.Tensor
        ``I(k; o) / log O``, ``[...]``: 0 without separation, 1 where each object has concepts of its own. NaN
        for fewer than two objects.
    """
    n_objects = relevance.shape[-1]
    if n_objects < 2:
        return relevance.new_full(relevance.shape[:-2], torch.nan)
    totals = relevance.sum(dim=-2, keepdim=True)  # [..., 1, O]
    given = relevance / torch.where(totals > 0, totals, 1.0)  # [..., K, O]: p(k | o)
    weights = (totals > 0).to(relevance) / (totals > 0).sum(dim=-1, keepdim=True).clamp_min(1)
    overall = (given * weights).sum(dim=-1, keepdim=True)  # [..., K, 1]: p(k)
    gain = given * (given.clamp_min(TINY) / overall.clamp_min(TINY)).log()  # 0 log 0 = 0, with finite gradients
    known = (totals > 0).sum(dim=-1).squeeze(-1) / n_objects
    return known * (gain * weights).sum(dim=(-2, -1)) / math.log(n_objects)


def match(relevance: ArrayLike) -> NDArray[np.int64]:
    """Assign to every object the concept that holds most of it, one to one (Hungarian algorithm).

    Parameters
    ----------
    relevance : array [K, O]
        Positive relevance of concepts on objects.

    Returns
    -------
    array of int [O]
        Concept of every object; -1 where there are fewer concepts than objects.
    """
    from scipy.optimize import linear_sum_assignment  # here, because hundreds of jobs match nothing

    table = np.asarray(relevance, dtype=float)
    totals = table.sum(axis=0)
    concepts, objects = linear_sum_assignment(table / np.where(totals > 0, totals, 1.0), maximize=True)
    matched = np.full(table.shape[1], -1)
    matched[objects] = concepts
    return matched


def captured(relevance: ArrayLike, matched: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Part of every object's relevance ``[..., K, O]`` that lies in its own concept, ``[..., O]``.

    An object without a concept is captured by none; one without relevance gives NaN.
    """
    table = np.asarray(relevance, dtype=float)
    totals = table.sum(axis=-2)
    own = np.zeros_like(totals)
    for place, concept in enumerate(matched):
        if concept >= 0:
            own[..., place] = table[..., concept, place]
    return np.divide(own, totals, out=np.full_like(totals, np.nan), where=totals > 0)


def rank_accuracy(heatmaps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Relevance rank accuracy (Arras et al. 2022) of every concept for every object.

    Parameters
    ----------
    heatmaps : torch.Tensor
        ``[B, K, F, T]``.
    cells : torch.Tensor
        ``[B, O, F, T]``.

    Returns
    -------
    torch.Tensor
        ``[B, K, O]``: of as many of the concept's most relevant cells as the object has, the part that are the
        object's; NaN where it has none.
    """
    order = heatmaps.flatten(2).argsort(dim=2, descending=True, stable=True)  # [B, K, F T]
    inside = cells.flatten(2)  # [B, O, F T]
    sizes = inside.sum(dim=2)  # [B, O]
    place = torch.arange(inside.shape[2], device=inside.device)
    found = []
    for number in range(inside.shape[1]):
        hits = inside[:, number].unsqueeze(1).expand(order.shape).gather(2, order)  # [B, K, F T]
        top = place < sizes[:, number].view(-1, 1, 1)
        found.append((hits & top).sum(dim=2) / sizes[:, number].unsqueeze(1))
    return torch.stack(found, dim=2)


def auc(heatmaps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Area under the ROC curve of a heatmap as a detector of an object's cells.

    Parameters
    ----------
    heatmaps : torch.Tensor
        ``[..., F, T]``.
    cells : torch.Tensor
        bool ``[..., O, F, T]``, the object's; all others are not.

    Returns
    -------
    torch.Tensor
        float64 ``[..., O]``: how often one of the object's cells has more relevance than another cell, equal ones
        counted half; NaN where the object has no cell, or all.
    """
    values, inside = heatmaps.double().flatten(-2), cells.double().flatten(-2)  # [..., N], [..., O, N]
    own = inside.sum(dim=-1)  # [..., O]
    wins = (inside * ranks(values).unsqueeze(-2)).sum(dim=-1) - own * (own + 1) / 2  # Mann and Whitney's U
    return wins / (own * (values.shape[-1] - own))  # 0 / 0 where there is nothing to tell apart


def ranks(values: torch.Tensor) -> torch.Tensor:
    """Rank values ``[..., N]`` from 1 for the smallest, equal ones sharing theirs: float64 ``[..., N]``."""
    values = values.double().contiguous()
    ordered = values.sort(dim=-1).values
    below, upto = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + upto + 1) / 2


def average_precision(heatmaps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Area under the curve of precision over recall of a heatmap as a detector of an object's cells.

    Parameters
    ----------
    heatmaps : torch.Tensor
        ``[..., F, T]``.
    cells : torch.Tensor
        bool ``[..., F, T]``, the object's; all others are not.

    Returns
    -------
    torch.Tensor
        float64 ``[...]``: mean over the object's cells of the part of the cells with as much relevance or more that are
        the object's; NaN where it has no cell.
    """
    values, inside = heatmaps.double().flatten(-2), cells.flatten(-2)  # [..., N]
    order = values.argsort(dim=-1, descending=True)
    fallen, hits = -values.gather(-1, order).contiguous(), inside.gather(-1, order).double().cumsum(dim=-1)
    upto = torch.searchsorted(fallen, -values.contiguous(), right=True)  # [..., N]: cells with as much or more
    precision = hits.gather(-1, upto - 1) / upto
    return (precision * inside).sum(dim=-1) / inside.sum(dim=-1)


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Spearman's correlation of two vectors ``[N]``; NaN for fewer than three values, or where one does not vary."""
    if len(first) < 3:
        return math.nan
    one, other = (ranked - ranked.mean() for ranked in (ranks(first), ranks(second)))
    spread = float(one.square().sum() * other.square().sum())
    return float(one @ other) / math.sqrt(spread) if spread else math.nan


def windows(amounts: torch.Tensor, seconds: float, times: torch.Tensor) -> torch.Tensor:
    """Sum amounts over frequency, and over time in windows.

    Parameters
    ----------
    amounts : torch.Tensor
        ``[..., F, T]``.
    seconds : float
        Length of a window.
    times : torch.Tensor
        Of the columns in seconds, ``[T]``, ascending.

    Returns
    -------
    torch.Tensor
        ``[..., W]``.
    """
    number = (times / seconds).floor().long()  # [T]
    columns = amounts.sum(dim=-2)  # [..., T]
    found = columns.new_zeros(*columns.shape[:-1], int(number[-1]) + 1)
    return found.index_add(-1, number.to(columns.device), columns)

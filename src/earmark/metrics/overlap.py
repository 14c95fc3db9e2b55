"""How much concepts share the cells that they point to, and how many of them are really there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

EMPTY = 0.01
"""A concept with less than this share of the relevance is empty."""

TWINS = 0.9
"""Two concepts are twins whose cosine is above this."""

WINDOW = 7
"""Cells along each side of the windows in which maps are compared; as many as there are along a shorter side."""

LUMINANCE, CONTRAST = 0.01, 0.03
"""Differences, in parts of the range of the values, that count for little (K1 and K2 of Wang et al. 2004)."""

CLIPS = 16
"""Clips that are compared at once: few enough for what is computed of them to stay in the processor's cache."""

NAMED = 3
"""Pairs of twins that are named one by one; more are counted."""


def cosines(heatmaps: Tensor) -> Tensor:
    """Cosines between the concepts' positive relevance, clip by clip.

    Parameters
    ----------
    heatmaps : Tensor [B, K, *grid]
        Relevance per concept.

    Returns
    -------
    Tensor of float64 [B, K, K]
        A concept without positive relevance overlaps with none, nor with itself (0 / 0 = 0).
    """
    positive = heatmaps.flatten(2).double().clamp(min=0)  # [B, K, cells]
    norms = positive.norm(dim=2, keepdim=True)
    unit = torch.where(norms > 0, positive / norms, 0.0)
    return unit @ unit.transpose(1, 2)


def overlap(heatmaps: Tensor) -> Tensor:
    """Mean pairwise cosine of the concepts' positive relevance.

    Parameters
    ----------
    heatmaps : Tensor [B, K, *grid]
        Relevance per concept.

    Returns
    -------
    Tensor [B]
        0: no cell is positive in two concepts; 1: all concepts are alike. NaN where K = 1.
    """
    return _between(cosines(heatmaps)).to(heatmaps.dtype)


def similarities(heatmaps: Tensor) -> Tensor:
    """Structural similarity (SSIM, Wang et al. 2004, eq. 13) of the concepts' positive relevance, clip by clip.

    Means, variances and the covariance of two concepts are taken in every window that lies within the grid, unweighted
    and unbiased; the dynamic range is that of the two concepts' cells together.

    Parameters
    ----------
    heatmaps : Tensor [B, K, 1, F, T]
        Relevance per concept.

    Returns
    -------
    Tensor of float64 [B, K, K]
        Mean over the windows, 1 for equal maps. A window without relevance of either concept counts as equal.
    """
    return torch.cat([_similar(part.double().clamp(min=0)) for part in heatmaps[:, :, 0].split(CLIPS)])


def _similar(maps: Tensor) -> Tensor:
    """Compute :func:`similarities` of positive relevance ``[B, K, F, T]``."""
    n_concepts = maps.shape[1]
    window = tuple(min(WINDOW, size) for size in maps.shape[2:])
    cells = math.prod(window)
    unbiased = cells / max(cells - 1, 1)

    def over_windows(values: Tensor) -> Tensor:
        for dim, size in zip((-2, -1), window, strict=True):
            values = _in_turn(values, size, dim)
        return values / cells

    means = over_windows(maps)  # [B, K, f, t]
    variances = unbiased * (over_windows(maps.square()) - means.square())
    least, largest = maps.amin(dim=(2, 3)), maps.amax(dim=(2, 3))  # [B, K]
    found = maps.new_ones(len(maps), n_concepts, n_concepts)
    for pair in combinations(range(n_concepts), 2):
        one, other = pair
        covariance = over_windows(maps[:, [one]] * maps[:, [other]])[:, 0] - means[:, one] * means[:, other]
        span = largest[:, pair].amax(dim=1) - least[:, pair].amin(dim=1)  # [B]
        small, smaller = ((factor * span).square().view(-1, 1, 1) for factor in (CONTRAST, LUMINANCE))
        alike = (2 * means[:, one] * means[:, other] + smaller) * (2 * unbiased * covariance + small)
        most = means[:, pair].square().sum(dim=1) + smaller
        most = most * (variances[:, pair].sum(dim=1) + small)
        similar = torch.where(most > 0, alike / most, 1.0).mean(dim=(1, 2))  # 0 / 0 where both are empty
        found[:, one, other] = found[:, other, one] = similar
    return found


def _in_turn(values: Tensor, size: int, dim: int) -> Tensor:
    """Sum every `size` neighbours along a dimension: in half the time of pooling, which knows no order of sums."""
    first, *others = (values.narrow(dim, start, values.shape[dim] - size + 1) for start in range(size))
    total = first.clone()
    for other in others:
        total += other
    return total


def similarity(heatmaps: Tensor) -> Tensor:
    """Mean pairwise structural similarity of the concepts' positive relevance.

    Parameters
    ----------
    heatmaps : Tensor [B, K, 1, F, T]
        Relevance per concept.

    Returns
    -------
    Tensor [B]
        1: all concepts are alike. NaN where K = 1.
    """
    return _between(similarities(heatmaps)).to(heatmaps.dtype)


def _between(table: Tensor) -> Tensor:
    """Average a table ``[B, K, K]`` over pairs of different concepts: ``[B]``."""
    apart = ~torch.eye(table.shape[1], dtype=torch.bool, device=table.device)
    return table[:, apart].mean(dim=1)


def pooled(sums: ArrayLike) -> NDArray[np.float64]:
    """Cosines of concepts over clips, from sums of :func:`cosines` over these ``[..., K, K]``.

    Of clips in which both concepts have positive relevance throughout it is their mean.
    """
    table = np.asarray(sums, dtype=float)
    present = np.sqrt(np.diagonal(table, axis1=-2, axis2=-1))  # [..., K]
    scale = present[..., :, None] * present[..., None, :]
    return np.divide(table, scale, out=np.zeros_like(table), where=scale > 0)


def effective_number(cosines: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """How many concepts are really there: the Vendi score weighted by share (Friedman and Dieng 2023).

    Parameters
    ----------
    cosines : array [..., K, K]
        Of :func:`pooled`.
    shares : array [..., K]
        Of the relevance; what speaks against the class counts as none.

    Returns
    -------
    array [...]
        Exponential of the entropy of the eigenvalues of ``S^1/2 C S^1/2``: 1 for one cue, however many concepts it is
        cut into, at most K. NaN where no concept has a share.
    """
    weights = np.sqrt(np.clip(np.asarray(shares, dtype=float), 0, None))  # [..., K]
    similar = weights[..., :, None] * np.asarray(cosines, dtype=float) * weights[..., None, :]
    values = np.clip(np.linalg.eigvalsh(np.nan_to_num(similar)), 0, None)  # [..., K]
    totals = values.sum(axis=-1, keepdims=True)
    parts = np.divide(values, totals, out=np.full_like(values, np.nan), where=totals > 0)
    return np.exp(-(parts * np.log(np.where(parts > 0, parts, 1.0))).sum(axis=-1))


@dataclass(frozen=True)
class Apart:
    """How far concepts are apart.

    Attributes
    ----------
    number : float
        Effective number of concepts.
    empty : tuple of int
        Concepts, counted from 1, with next to no share of the relevance.
    twins : tuple of (int, int)
        Pairs of others that point to the same cells.
    """

    number: float
    empty: tuple[int, ...]
    twins: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, number: float, shares: ArrayLike, cosines: ArrayLike) -> Apart:
        """Judge K concepts by their shares ``[K]`` of the relevance and the cosines between them ``[K, K]``.

        None is empty where shares are NaN, because the relevance sums to 0 or less: nothing is a part of that.
        """
        parts, table = np.asarray(shares, dtype=float), np.asarray(cosines, dtype=float)
        empty = tuple(int(place) + 1 for place in np.flatnonzero(parts < EMPTY))
        others = [place + 1 for place in range(len(parts)) if place + 1 not in empty]
        twins = tuple(pair for pair in combinations(others, 2) if table[pair[0] - 1, pair[1] - 1] > TWINS)
        return cls(number, empty, twins)

    @property
    def text(self) -> str:
        """In words: ``2.1 concepts in effect; concept 4 is empty; 1 and 2 are twins``."""
        if math.isnan(self.number):
            return "no relevance for the class"
        return "; ".join([f"{self.number:.1f} concepts in effect", *self.remarks()])

    def remarks(self) -> Iterator[str]:
        """Name what is empty or double."""
        if self.empty:
            yield f"concepts {listed(self.empty)} are empty" if self.empty[1:] else f"concept {self.empty[0]} is empty"
        if len(self.twins) > NAMED:
            yield f"{len(self.twins)} pairs are twins"
        else:
            yield from (f"{one} and {other} are twins" for one, other in self.twins)

    def of_concept(self, concept: int) -> str:
        """Say of one concept whether it is empty or has twins; nothing of others."""
        if concept in self.empty:
            return "empty"
        others = [other for pair in self.twins if concept in pair for other in pair if other != concept]
        return f"twin of {listed(others)}" if others else ""


def listed(numbers: Sequence[int]) -> str:
    """Write numbers as one says them: ``1, 2 and 4``."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def apart(heatmaps: Tensor) -> Apart:
    """Judge concepts by their heatmaps ``[n, K, *grid]`` of all the clips that are explained."""
    relevance = heatmaps.double().flatten(2).sum(dim=(0, 2)).numpy()  # [K]
    total = relevance.sum()
    shares = relevance / total if total > 0 else np.full_like(relevance, np.nan)
    alike = pooled(cosines(heatmaps).sum(dim=0))
    return Apart.of(float(effective_number(alike, relevance)), shares, alike)

"""Concepts of different networks, compared by where their relevance lies on the same clips.

Channels of two networks have no common meaning, and no rotation gives them one; cells of the same clips have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import decomposed
from earmark.lrp.rules import Rules
from earmark.models.base import Model

ROUNDING = 1e-9
"""What is left of a constant row's variance, as a part of its squares."""


def spread(heatmaps: Tensor) -> Tensor:
    """Lay concepts out cell by cell.

    Parameters
    ----------
    heatmaps : Tensor [n, K, *grid]
        Relevance of n clips.

    Returns
    -------
    Tensor [K, n * cells]
        Positive relevance, that of each clip scaled to sum 1; zeros where a clip has none.
    """
    positive = heatmaps.flatten(2).clamp_min(0).transpose(0, 1)  # [K, n, cells]
    totals = positive.sum(dim=2, keepdim=True)
    return torch.where(totals > 0, positive / totals, 0.0).flatten(1)


class Correlations:
    """Pearson correlations of rows over columns that come part by part."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.products: Tensor | None = None

    def add(self, first: Tensor, second: Tensor) -> None:
        """Take more columns of both sides: ``[P, m]`` and ``[Q, m]``."""
        sums = [rows.sum(dim=1, dtype=torch.float64) for rows in (first, second)]
        squares = [rows.square().sum(dim=1, dtype=torch.float64) for rows in (first, second)]
        products = (first @ second.T).double()
        if self.products is None:
            self.sums, self.squares, self.products = sums, squares, products
        else:
            self.sums = [old + new for old, new in zip(self.sums, sums, strict=True)]
            self.squares = [old + new for old, new in zip(self.squares, squares, strict=True)]
            self.products = self.products + products
        self.count += first.shape[1]

    @property
    def values(self) -> Tensor:
        """The correlations ``[P, Q]``, float64; 0 where a row is constant. Some columns must have been added."""
        assert self.products is not None
        covariances = self.products - torch.outer(*self.sums) / self.count
        scale = torch.outer(*(self._lengths(*of_side) for of_side in zip(self.sums, self.squares, strict=True)))
        return torch.where(scale > 0, covariances / scale, 0.0)

    def _lengths(self, sums: Tensor, squares: Tensor) -> Tensor:
        left = squares - sums.square() / self.count
        return torch.where(left > ROUNDING * squares, left, 0.0).sqrt()


def random_concepts(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    layer: str,
    n_subspaces: int,
    rules: Rules,
    seeds: Sequence[int],
) -> Tensor:
    """Find on clips what random subspaces of a layer do, ``[draws, K, n * cells]``, as :func:`spread` lays it out.

    Parameters
    ----------
    model, inputs, targets, layer, rules
        As in :func:`earmark.explainers.subspaces.decompose.concept_heatmaps`.
    n_subspaces : int
        ``K``.
    seeds : sequence of int
        Of the draws.
    """
    size = model.layers[layer]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    bases = [Subspaces(random_orthogonal(size, generator).float(), n_subspaces) for generator in generators]
    heatmaps = decomposed(model, inputs, targets, layer, bases, rules)
    return torch.stack([spread(each.cpu()) for each in heatmaps])

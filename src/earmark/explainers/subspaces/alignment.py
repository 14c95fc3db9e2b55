"""Concepts of different networks, compared by where their relevance lies on the same clips.

Channels of two networks have no common meaning, and no rotation gives them one; cells of the same clips have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.explainers.subspaces.affinity import counterparts
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import decomposed
from earmark.lrp.rules import Rules
from earmark.metrics.correlation import ROUNDING
from earmark.models.base import Model


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

    def terms(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the sums that correlations of some pairs are made of.

        Parameters
        ----------
        first, second : Tensor
            Rows of either side, integers ``[...]``.

        Returns
        -------
        Tensor
            float64 ``[..., 5]``, in the order of :data:`earmark.metrics.correlation.TERMS`.
        """
        assert self.products is not None
        ours, theirs = ((self.sums[side][of], self.squares[side][of]) for side, of in enumerate((first, second)))
        return torch.stack([*ours, *theirs, self.products[first, second]], dim=-1)

    def _lengths(self, sums: Tensor, squares: Tensor) -> Tensor:
        left = squares - sums.square() / self.count
        return torch.where(left > ROUNDING * squares, left, 0.0).sqrt()


LEVEL = 0.95
"""A concept is found where its correlation is above this quantile of its correlations with random subspaces."""


class Grouped:
    """Correlations over all clips, and what those of every group add to them.

    Attributes
    ----------
    whole : Correlations
        Of all clips.
    by_group : dict of str to Correlations
        Of the clips of every group.
    sizes : dict of str to (int, int)
        Clips of every group, and the cells of all of these.
    """

    def __init__(self) -> None:
        self.whole = Correlations()
        self.by_group: dict[str, Correlations] = {}
        self.sizes: dict[str, tuple[int, int]] = {}

    def add(self, first: Tensor, second: Tensor, groups: NDArray[np.str_]) -> None:
        """Take n more clips of both sides, ``[P, n, cells]`` and ``[Q, n, cells]``, and the group of each ``[n]``."""
        for group in np.unique(groups).tolist():
            inside = torch.from_numpy(np.flatnonzero(groups == group))
            ours, theirs = (rows[:, inside].flatten(1) for rows in (first, second))
            own = self.by_group.setdefault(group, Correlations())
            for correlations in (self.whole, own):
                correlations.add(ours, theirs)
            self.sizes[group] = self.sizes.get(group, (0, 0))[0] + len(inside), own.count

    def matched(
        self, place: int, counterpart: int, drawn: Sequence[int], n_concepts: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Pair concepts with those of a counterpart, and with those of every draw, each time over all clips.

        Parameters
        ----------
        place, counterpart : int
            Which ``K`` rows of the first side, and of the second: the rows from ``place * K`` on.
        drawn : sequence of int
            Which of the second side are draws at random.
        n_concepts : int
            ``K``.

        Returns
        -------
        matched, random : dict of str to Tensor [K, 5]
            By group, the sums behind a correlation with the counterpart, and with the draws, on average over these; see
            :meth:`Correlations.terms`.
        level : Tensor [K]
            Quantile ``LEVEL`` of the correlations with the draws.
        """
        values = self.whole.values.unflatten(1, (-1, n_concepts)).unflatten(0, (-1, n_concepts))[place]  # [K, *, K]
        ours = place * n_concepts + torch.arange(n_concepts)  # [K]
        theirs = torch.stack([each * n_concepts + counterparts(values[:, each]) for each in (counterpart, *drawn)])
        terms = {group: own.terms(ours.expand_as(theirs), theirs) for group, own in self.by_group.items()}
        by_chance = self.whole.values[ours, theirs[1:]]  # [draws, K]
        return (
            {group: of_group[0] for group, of_group in terms.items()},
            {group: of_group[1:].mean(dim=0) for group, of_group in terms.items()},
            torch.quantile(by_chance, LEVEL, dim=0),
        )


def random_heatmaps(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    layer: str,
    n_subspaces: int,
    rules: Rules,
    seeds: Sequence[int],
) -> list[Tensor]:
    """Find on clips what random subspaces of a layer do, ``[n, K, *grid]`` per draw, on the CPU.

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
    return [each.cpu() for each in decomposed(model, inputs, targets, layer, bases, rules)]


def random_concepts(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    layer: str,
    n_subspaces: int,
    rules: Rules,
    seeds: Sequence[int],
) -> Tensor:
    """Lay :func:`random_heatmaps` out as :func:`spread` does, ``[draws, K, n * cells]``."""
    return torch.stack(
        [spread(each) for each in random_heatmaps(model, inputs, targets, layer, n_subspaces, rules, seeds)]
    )

"""Concepts of different networks, compared by where their relevance lies on the same clips.

Channels of two networks have no common meaning, and no rotation gives them one; cells of the same clips have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import decomposed
from earmark.lrp.rules import Rules
from earmark.models.base import Model

CELLS = 2**25
"""Cells of heatmaps that are held at once; bounds memory and decides nothing."""


def standardised(heatmaps: Tensor) -> Tensor:
    """Prepare concepts for :func:`correlations`.

    Parameters
    ----------
    heatmaps : Tensor [n, K, *grid]
        Relevance of n clips.

    Returns
    -------
    Tensor [K, n * cells]
        Positive relevance, that of each clip scaled to sum 1, of mean 0 and length 1 over all cells of all clips; 0
        throughout where there is none.
    """
    positive = heatmaps.flatten(2).clamp_min(0).transpose(0, 1)  # [K, n, cells]
    totals = positive.sum(dim=2, keepdim=True)
    spread = torch.where(totals > 0, positive / totals, 0.0).flatten(1)
    centred = spread - spread.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, centred / lengths, 0.0)


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of each concept with each of another network, ``[K, K]``, both :func:`standardised`."""
    return (first @ second.T).double()


def random_concepts(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    layer: str,
    n_subspaces: int,
    rules: Rules,
    seeds: Sequence[int],
) -> Iterator[Tensor]:
    """Yield what random subspaces of a layer, one draw per seed, find on clips, :func:`standardised`.

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
    at_once = max(1, CELLS // (n_subspaces * inputs.numel()))
    for first in range(0, len(bases), at_once):
        for heatmaps in decomposed(model, inputs, targets, layer, bases[first : first + at_once], rules):
            yield standardised(heatmaps.cpu())

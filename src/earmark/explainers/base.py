"""Heatmaps by any method, and how exactly they conserve relevance (thesis 3.2.3)."""

from __future__ import annotations

import re

import torch
from torch import nn

from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.lrp import attributor
from earmark.lrp.rules import Rules

NOISE = re.compile(r"noise~\d+")
"""Random maps, the control of every score."""


def heatmaps_by(
    method: str,
    network: nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    layer: str,
    found: Subspaces | None,
    rules: Rules,
    seed: int,
) -> torch.Tensor:
    """Compute the heatmaps of any method.

    Parameters
    ----------
    method : str
        ``standard``, ``noise~SEED``, or the name of what the subspaces come from.
    network, inputs, targets, layer, rules
        As in :func:`concept_heatmaps`.
    found : Subspaces or None
        At the layer; None for the methods without.
    seed : int
        Of the noise.

    Returns
    -------
    torch.Tensor
        ``[B, K, 1, F, T]``; K = 1 without subspaces.
    """
    if found is not None:
        return concept_heatmaps(network, inputs, targets, layer, found, rules)
    if NOISE.fullmatch(method):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(inputs.unsqueeze(1).shape, generator=generator).to(inputs)
    return attributor.heatmaps(network, inputs, targets, rules).unsqueeze(1)


def conservation(standard: torch.Tensor, heatmaps: torch.Tensor, logits: torch.Tensor) -> dict[str, float]:
    """Measure how exactly relevance is conserved.

    Parameters
    ----------
    standard : torch.Tensor
        ``[B, 1, F, T]``.
    heatmaps : torch.Tensor
        ``[B, K, 1, F, T]``.
    logits : torch.Tensor
        ``[B]``.

    Returns
    -------
    dict of str to float
        ``sum_error``, largest difference between the concepts' sum and the standard heatmap over the latter's
        largest value; ``absorbed_share``, mean share of the logit that does not reach the input.
    """
    difference = (heatmaps.sum(dim=1) - standard).abs().max() / standard.abs().max().clamp_min(1e-30)
    reached = standard.double().sum(dim=(1, 2, 3)) / logits.double()
    return {"sum_error": float(difference), "absorbed_share": float(1 - reached.mean())}

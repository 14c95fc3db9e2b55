"""Express the subspaces of one network in the channels of another, whose activations a rotation brings nearest."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from earmark.explainers.subspaces.basis import Subspaces
from earmark.models.base import Model

CLIPS = 64
"""Clips that pass through both networks at once to be aligned; bounds memory and decides nothing else."""


def aligned(model: Model, other: Model, inputs: Tensor, layer: str) -> tuple[Tensor, float]:
    """Align another network's channels with this one's.

    Parameters
    ----------
    model, other : Model
        Of one architecture and on one device.
    inputs : Tensor [B, *I]
        What both look at; every position of the layer's grid counts.
    layer : str
        Where.

    Returns
    -------
    rotation : Tensor [D, D]
        Orthogonal (float64); takes the other's activations, as rows, nearest to this one's.
    alignment : float
        Cosine between both after that; 0 if a network is silent.
    """
    device = next(model.network.parameters()).device
    crosses, energies = [], []
    with torch.no_grad():
        for part in inputs.split(CLIPS):
            outputs = (each.watched(part.to(device), layer)[0] for each in (model, other))  # [B, D, *g]
            ours, theirs = (output.movedim(1, -1).flatten(0, -2).double() for output in outputs)  # [n, D]
            crosses.append(theirs.T @ ours)
            energies.append(torch.stack([ours.square().sum(), theirs.square().sum()]))
    return procrustes(torch.stack(crosses).sum(dim=0).cpu(), *torch.stack(energies).sum(dim=0).tolist())


def procrustes(cross: Tensor, energy: float, other_energy: float) -> tuple[Tensor, float]:
    """Solve the orthogonal Procrustes problem (Schönemann 1966).

    Parameters
    ----------
    cross : Tensor [D, D]
        ``B'A`` of rows A and B.
    energy, other_energy : float
        Sums of squares of A and of B.

    Returns
    -------
    rotation : Tensor [D, D]
        The orthogonal Q with the smallest ``|A - B Q|_F``.
    cosine : float
        Between A and ``B Q``.
    """
    left, values, right = torch.linalg.svd(cross)
    norms = math.sqrt(energy * other_energy)
    return left @ right, float(values.sum()) / norms if norms else 0.0


def turned(found: Subspaces, rotation: Tensor) -> Subspaces:
    """Express subspaces of a network in the channels of another, which `rotation` [D, D] takes its rows to."""
    return replace(found, basis=rotation.T @ found.basis.double())

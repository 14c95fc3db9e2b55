"""Baselines of subspaces: random ones, and principal components (thesis 4.2.3.1)."""

from __future__ import annotations

import torch

from earmark.explainers.subspaces.basis import Subspaces, check_size, load, random_orthogonal
from earmark.explainers.subspaces.decompose import across, build
from earmark.explainers.subspaces.pairs import Material

# `build`, `across`, `load` and `find` are the doors of a family that earmark.explainers.base opens.
__all__ = ["across", "build", "find", "load", "pca", "prca", "random"]


def random(n_channels: int, n_subspaces: int, seed: int) -> Subspaces:
    """Baseline: random subspaces (thesis 4.2.3.1)."""
    check_size(n_channels, n_subspaces)
    return Subspaces(random_orthogonal(n_channels, torch.Generator().manual_seed(seed)).float(), n_subspaces)


def _leading(matrix: torch.Tensor, n_subspaces: int) -> Subspaces:
    """Group the eigenvectors of a symmetric ``[D, D]`` matrix by falling eigenvalue."""
    _, vectors = torch.linalg.eigh(matrix.double())  # ascending
    return Subspaces(vectors.flip(1).float().contiguous(), n_subspaces)


def pca(activations: torch.Tensor, n_subspaces: int) -> Subspaces:
    """Baseline: uncentred principal components of activations ``[N, D]``, in contiguous blocks."""
    check_size(activations.shape[1], n_subspaces)
    doubles = activations.double()
    return _leading(doubles.T @ doubles, n_subspaces)


def prca(activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int) -> Subspaces:
    """Baseline: principal relevant components, of ``A'C + C'A`` (Chormai et al. 2024), in contiguous blocks."""
    check_size(activations.shape[1], n_subspaces)
    cross = activations.double().T @ contexts.double()
    return _leading(cross + cross.T, n_subspaces)


def find(method: str, material: Material) -> Subspaces:
    """Make the subspaces of a class by one of the family's methods, ordered by mean relevance over the pairs."""
    activations, contexts, k = material.activations, material.contexts, material.job.k
    name, _, variant = method.partition("~")
    made = {
        "pca": lambda: pca(activations, k),
        "prca": lambda: prca(activations, contexts, k),
        "random": lambda: random(activations.shape[1], k, material.seed("random", variant)),
    }[name]()
    return made.to(activations.device).ordered(activations, contexts)

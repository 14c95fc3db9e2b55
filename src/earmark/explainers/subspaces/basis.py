"""Orthogonal decompositions of a hidden layer: the common form of every method's result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from earmark.errors import EarmarkError
from earmark.seeds import derive
from earmark.store import artifacts

NAME = "subspaces.safetensors"


@dataclass(frozen=True)
class Subspaces:
    """An orthogonal basis of a layer's channels whose columns are grouped into subspaces (eq. 2.15).

    Attributes
    ----------
    basis : torch.Tensor
        ``[D, D]``, orthogonal; columns ``k d ... (k + 1) d - 1`` span subspace ``k``, with ``d = D / K``.
    n_subspaces : int
        ``K``.
    objective : float
        What the method maximises, at the basis; NaN for methods without a search.
    restarts : tuple of float
        The objective that each start reached, in the order of the starts.
    history : tuple of tuple of float
        Objective after every iteration, per start.
    starts : tuple of str
        Names of the starts.
    warnings : tuple of str
        What a reader of the fit should know.
    """

    basis: torch.Tensor
    n_subspaces: int
    objective: float = math.nan
    restarts: tuple[float, ...] = ()
    history: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    starts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def blocks(self) -> torch.Tensor:
        """Bases of the subspaces, ``[K, D, d]``."""
        size = self.basis.shape[0]
        return self.basis.view(size, self.n_subspaces, size // self.n_subspaces).transpose(0, 1)

    @property
    def projections(self) -> torch.Tensor:
        """Orthogonal projections onto the subspaces, ``[K, D, D]``; they sum to the identity."""
        blocks = self.blocks
        return blocks @ blocks.transpose(1, 2)

    def relevance(self, activations: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Relevance of every subspace (eq. 2.18): pairs ``[N, D]`` to ``[N, K]``."""
        products = (activations @ self.basis) * (contexts @ self.basis)  # [N, D]
        return products.unflatten(1, (self.n_subspaces, -1)).sum(dim=2)

    def to(self, device: torch.device) -> Subspaces:
        """Move the basis to a device."""
        return replace(self, basis=self.basis.to(device))

    def ordered(self, activations: torch.Tensor, contexts: torch.Tensor) -> Subspaces:
        """Sort the subspaces by falling mean relevance over pairs ``[N, D]``, once and for all clips."""
        order = self.relevance(activations, contexts).mean(dim=0).argsort(descending=True, stable=True)
        blocks = self.blocks[order]  # [K, D, d]
        return replace(self, basis=blocks.transpose(0, 1).reshape(self.basis.shape).contiguous())


def check_size(n_channels: int, n_subspaces: int) -> None:
    """Raise EarmarkError unless `n_channels` divides into `n_subspaces` equal subspaces."""
    if n_subspaces < 1 or n_channels % n_subspaces:
        raise EarmarkError(f"K = {n_subspaces} subspaces do not fit a layer of {n_channels} channels: K must divide it")


def random_orthogonal(n_channels: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a ``[D, D]`` float64 orthogonal matrix from the Haar measure."""
    gaussian = torch.randn(n_channels, n_channels, dtype=torch.float64, generator=generator)
    q, r = torch.linalg.qr(gaussian)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0)  # Mezzadri 2007: makes the law uniform


def random_starts(n_channels: int, count: int, seed: int) -> list[torch.Tensor]:
    """Draw bases ``[D, D]`` to search from, in float64; none depends on how many there are."""
    generators = (torch.Generator().manual_seed(derive(seed, number)) for number in range(count))
    return [random_orthogonal(n_channels, generator) for generator in generators]


def save(folder: Path, subspaces: Subspaces, relevance: torch.Tensor, made: Mapping[str, Any]) -> None:
    """Write a basis to a class's folder, with the mean relevance ``[K]`` of its subspaces over the training pairs."""
    artifacts.write_tensors(
        folder / NAME, {"basis": subspaces.basis, "relevance": relevance}, made, n_subspaces=subspaces.n_subspaces
    )


def load(folder: Path) -> Subspaces:
    """Read what :func:`save` wrote; without the history, which lies in ``fit.json``."""
    tensors, metadata = artifacts.read_tensors(folder / NAME)
    return Subspaces(tensors["basis"], metadata["n_subspaces"])

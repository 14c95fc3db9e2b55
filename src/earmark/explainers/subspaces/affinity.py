"""How alike two subspaces are.

The affinity ``|U_k' V_l|_F^2 / d`` of two subspaces of dimension d is the mean squared cosine of their principal
angles, 1 for equal ones. Subspaces are paired so that the sum of affinities is greatest. Random ones are then alike to
some degree as well, the more the fewer there are.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.basis import Subspaces

RANDOM_PAIRS = 200
"""Random bases behind the expectation."""


def affinity(first: Subspaces, second: Subspaces) -> Tensor:
    """Compare each of K subspaces with each of another basis: ``|U_k' V_l|_F^2 / d``, ``[K, K]`` in [0, 1].

    It does not change when a basis is rotated inside its subspaces.
    """
    count = first.n_subspaces
    size = len(first.basis) // count  # d
    products = first.basis.double().T @ second.basis.double()  # [D, D]
    return products.square().view(count, size, count, size).sum(dim=(1, 3)) / size


def counterparts(likenesses: Tensor) -> Tensor:
    """Pair concepts so that the sum of their likenesses ``[K, K]`` is greatest: the column of each row, ``[K]``."""
    _, columns = linear_sum_assignment(likenesses.numpy(), maximize=True)
    return torch.from_numpy(columns)


def matched(likenesses: Tensor) -> Tensor:
    """Pair concepts as :func:`counterparts`; each first one's likeness ``[K]`` to its own."""
    return likenesses[torch.arange(len(likenesses)), counterparts(likenesses)]


def expected_affinity(n_channels: int, n_subspaces: int, seed: int) -> float:
    """Simulate what the matched affinity of random subspaces comes to.

    Parameters
    ----------
    n_channels, n_subspaces : int
        ``D`` and ``K``.
    seed : int
        Of the simulation.

    Returns
    -------
    float
        The same for every concept: the law is that of all rotations alike, so that one of the two bases may as well be
        fixed.
    """
    generator = torch.Generator().manual_seed(seed)
    axes = Subspaces(torch.eye(n_channels, dtype=torch.float64), n_subspaces)
    drawn = (Subspaces(basis.random_orthogonal(n_channels, generator), n_subspaces) for _ in range(RANDOM_PAIRS))
    return float(torch.stack([matched(affinity(axes, other)) for other in drawn]).mean())

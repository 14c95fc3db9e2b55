"""The objective of Disentangled Relevant Subspace Analysis (thesis eq. 2.19), of any basis, and its pairs' scale."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from earmark.errors import EarmarkError
from earmark.explainers.subspaces.basis import Subspaces, check_size

Values = TypeVar("Values", torch.Tensor, NDArray[Any])

OBJECTIVES = ("drsa", "dsa")

RELATIVE_EPSILON = 1e-12
"""Added inside both roots of eq. 2.19, relative to the pairs' scale: finite gradients without relevance."""

ABSOLUTE_EPSILON = 1e-30


def check(activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int, objective: str) -> None:
    """Check the arguments of :func:`objective` and of a search for it.

    Raises
    ------
    EarmarkError
        For shapes that do not fit, no pairs, an unknown objective, or values that are not finite.
    """
    if activations.ndim != 2 or activations.shape != contexts.shape:
        raise EarmarkError(
            f"activations and contexts must both be [N, D], not {list(activations.shape)} and {list(contexts.shape)}"
        )
    if not len(activations):
        raise EarmarkError("there are no pairs of activations and contexts to fit subspaces to")
    if objective not in OBJECTIVES:
        raise EarmarkError(f"unknown objective {objective!r}; there are {' and '.join(OBJECTIVES)}")
    if not (torch.isfinite(activations).all() and torch.isfinite(contexts).all()):
        raise EarmarkError("activations or contexts hold values that are not finite")
    check_size(activations.shape[1], n_subspaces)


def epsilon(activations: torch.Tensor, contexts: torch.Tensor) -> float:
    """Return the squared-relevance scale that rotations leave alone, made negligible."""
    scale = (activations.square().sum(dim=1) * contexts.square().sum(dim=1)).mean()
    return RELATIVE_EPSILON * float(scale) + ABSOLUTE_EPSILON


def soft_min(squares: Values, epsilon: Any) -> tuple[Values, Values, Values]:
    """Pool mean squared positive relevances ``[..., K]`` to the objective ``[...]`` (eq. 2.19 with q = 0.5).

    Beside it both roots ``[..., K]``, for its gradient: over the pairs, and of these again. Epsilon keeps them from
    zero.
    """
    quadratic = (squares + epsilon) ** 0.5  # M^2 over the pairs
    rooted = (quadratic + epsilon**0.5) ** 0.5
    return rooted.mean(-1) ** 2, quadratic, rooted  # M^0.5 over the subspaces


def objective(
    activations: torch.Tensor,
    contexts: torch.Tensor,
    basis: torch.Tensor,
    n_subspaces: int,
    objective: str = "drsa",
) -> torch.Tensor:
    """Evaluate eq. 2.19 with q = 0.5 on pairs as they are, without normalisation.

    Parameters
    ----------
    activations, contexts : torch.Tensor
        Pairs ``[N, D]``.
    basis : torch.Tensor
        ``[D, D]``, columns grouped by subspace.
    n_subspaces : int
        ``K``; must divide ``D``.
    objective : {"drsa", "dsa"}
        ``dsa`` puts the activations in place of the contexts.

    Returns
    -------
    torch.Tensor
        Scalar of the pairs' type; differentiable by `basis`.

    Raises
    ------
    EarmarkError
        For shapes that do not fit, no pairs, or values that are not finite.
    """
    check(activations, contexts, n_subspaces, objective)
    if objective == "dsa":
        contexts = activations
    relevance = Subspaces(basis, n_subspaces).relevance(activations, contexts)  # [N, K]
    squares = relevance.clamp_min(0).square().sum(dim=0)  # [K]
    return soft_min(squares / len(relevance), epsilon(activations, contexts))[0]


def normalise(vectors: torch.Tensor) -> torch.Tensor:
    """Scale pairs' vectors ``[N, D]`` to mean square ``1 / sqrt(D)`` (eq. 3.4); zeros stay zeros."""
    scale = vectors.double().square().mean().sqrt() * vectors.shape[1] ** 0.25
    return vectors / scale.to(vectors.dtype) if scale > 0 else vectors

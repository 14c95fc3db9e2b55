"""Disentangled Relevant Subspace Analysis (Chormai et al. 2024; thesis 2.2.2.1, 3.2.2).

The objective (eq. 2.19) is maximised over orthogonal matrices. Instead of autograd with a fixed step,
the gradient is taken in closed form and the step is quasi-Newton: limited-memory BFGS in the Lie algebra
of the rotations, ``U <- polar(U (I + W))`` with skew-symmetric ``W``, where directions of earlier
iterations need no transport. All starts run in one batched computation, each with its own line search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from earmark.errors import EarmarkError
from earmark.seeds import derive
from earmark.subspaces import Subspaces, check_size, random_orthogonal

OBJECTIVES = ("drsa", "dsa")
RELATIVE_EPSILON = 1e-12
"""Added inside both roots of eq. 2.19, relative to the pairs' scale: finite gradients without relevance."""
ABSOLUTE_EPSILON = 1e-30
MEMORY = 10
"""Pairs of steps and gradient changes that the quasi-Newton direction is built from."""
SUFFICIENT = 1e-4
"""Fraction of the predicted gain that a step must reach (Armijo)."""
LONGEST_STEP = 1.0
"""Largest Frobenius norm of a step per square root of the dimension, in radians."""
PATIENCE = 10
"""Iterations over which the gain is measured for convergence."""
CLUSTERED_PAIRS = 2000
CLUSTERINGS = 8


def _check(activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int, objective: str) -> None:
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


def _epsilon(activations: torch.Tensor, contexts: torch.Tensor) -> float:
    """Return the squared-relevance scale that rotations leave alone, made negligible."""
    scale = (activations.square().sum(dim=1) * contexts.square().sum(dim=1)).mean()
    return RELATIVE_EPSILON * float(scale) + ABSOLUTE_EPSILON


def _soft_min(relevance: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool positive relevances ``[S, N, K]`` to the objective ``[S]``, and weights ``[S, K]`` for its gradient.

    ``dJ / dR_nk = weight_k R_nk+``.
    """
    n_pairs, n_subspaces = relevance.shape[-2:]
    quadratic = (relevance.square().sum(dim=-2) / n_pairs + epsilon).sqrt()  # [S, K], M^2 over the pairs
    rooted = (quadratic + math.sqrt(epsilon)).sqrt()  # [S, K]
    mean = rooted.mean(dim=-1)  # [S]
    weights = mean.unsqueeze(-1) / (n_subspaces * n_pairs) / (rooted * quadratic)
    return mean.square(), weights  # M^0.5 over the subspaces


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
    _check(activations, contexts, n_subspaces, objective)
    if objective == "dsa":
        contexts = activations
    relevance = Subspaces(basis, n_subspaces).relevance(activations, contexts)  # [N, K]
    return _soft_min(relevance.clamp_min(0).unsqueeze(0), _epsilon(activations, contexts))[0].squeeze(0)


def normalise(vectors: torch.Tensor) -> torch.Tensor:
    """Scale pairs' vectors ``[N, D]`` to mean square ``1 / sqrt(D)`` (eq. 3.4); zeros stay zeros."""
    scale = vectors.double().square().mean().sqrt() * vectors.shape[1] ** 0.25
    return vectors / scale.to(vectors.dtype) if scale > 0 else vectors


def polar(matrices: torch.Tensor) -> torch.Tensor:
    """Orthogonalise ``[..., D, D]`` by ``U (U'U)^(-1/2)`` (eq. 3.6) in float64."""
    left, _, right = torch.linalg.svd(matrices.double())
    return left @ right


@dataclass
class _Problem:
    """Normalised pairs of one fit; ``stacked`` holds activations over contexts."""

    stacked: torch.Tensor  # [2 N, D]
    n_subspaces: int
    epsilon: float

    @classmethod
    def of(cls, activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int) -> _Problem:
        return cls(torch.cat([activations, contexts]), n_subspaces, _epsilon(activations, contexts))

    def value_and_gradient(self, bases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Objective ``[S]`` and its skew-symmetric gradient ``[S, D, D]`` at bases ``[S, D, D]`` (float64)."""
        count = len(bases)
        n_pairs = len(self.stacked) // 2
        bases = bases.to(self.stacked.dtype)
        components = torch.matmul(self.stacked, bases)  # [S, 2 N, D]
        products = components[:, :n_pairs] * components[:, n_pairs:]  # [S, N, D]
        grouped = products.view(count, n_pairs, self.n_subspaces, -1)
        positive = grouped.sum(dim=3).clamp_min_(0)  # [S, N, K]
        values, weights = _soft_min(positive, self.epsilon)
        slopes = (positive * weights.unsqueeze(1)).unsqueeze(3)  # [S, N, K, 1], dJ / dR
        crossed = torch.empty_like(components)  # contexts' components over activations', times dJ / dR
        torch.mul(components[:, n_pairs:].view(grouped.shape), slopes, out=crossed[:, :n_pairs].view(grouped.shape))
        torch.mul(components[:, :n_pairs].view(grouped.shape), slopes, out=crossed[:, n_pairs:].view(grouped.shape))
        gradient = torch.matmul(self.stacked.T, crossed)  # [S, D, D]
        turned = torch.matmul(bases.transpose(1, 2), gradient).double()
        return values.double(), (turned - turned.transpose(1, 2)) / 2


def _inner(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Frobenius inner products over the last two dimensions."""
    return (one * other).sum(dim=(-2, -1))


class _Search:
    """Limited-memory BFGS ascent of one start, fed with one evaluation per iteration."""

    def __init__(self, basis: torch.Tensor, value: float, gradient: torch.Tensor) -> None:
        self.basis, self.value, self.gradient = basis, value, gradient
        self.steps: list[torch.Tensor] = []
        self.changes: list[torch.Tensor] = []
        self.history = [value]
        self._aim()

    def _aim(self) -> None:
        """Choose a direction and a first length along it."""
        direction, pending = self.gradient.clone(), []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            weight = _inner(step, direction) / _inner(step, change)
            direction -= weight * change
            pending.append((step, change, weight))
        if self.steps:
            direction *= _inner(self.steps[-1], self.changes[-1]) / _inner(self.changes[-1], self.changes[-1])
        for step, change, weight in reversed(pending):
            direction += (weight - _inner(change, direction) / _inner(step, change)) * step
        self.slope = float(_inner(direction, self.gradient))
        if not self.slope > 0:  # the curvature information misleads: start it afresh
            self.steps, self.changes = [], []
            direction, self.slope = self.gradient, float(_inner(self.gradient, self.gradient))
        self.direction = direction
        norm = float(direction.norm())
        longest = LONGEST_STEP * math.sqrt(len(direction))
        self.length = min(1.0, longest / norm) if self.steps else longest / 4 / max(norm, 1e-300)

    @property
    def trial(self) -> torch.Tensor:
        """The basis to evaluate next, before orthogonalisation."""
        return self.basis + self.basis @ (self.length * self.direction)

    def tell(self, basis: torch.Tensor, value: float, gradient: torch.Tensor) -> None:
        """Accept the evaluated basis when it gains enough, else shorten the step."""
        gain, hoped = value - self.value, self.length * self.slope
        if gain < SUFFICIENT * hoped:
            # the maximum of the parabola through what is known, within bounds
            self.length *= min(0.5, max(0.1, hoped / (2 * max(hoped - gain, 1e-300))))
        else:
            step, change = self.length * self.direction, self.gradient - gradient
            if _inner(step, change) > 1e-10 * step.norm() * change.norm():
                self.steps, self.changes = [*self.steps, step][-MEMORY:], [*self.changes, change][-MEMORY:]
            self.basis, self.value, self.gradient = basis, value, gradient
            self._aim()
        self.history.append(self.value)

    def converged(self, tolerance: float) -> bool:
        """Say whether the last iterations gained next to nothing."""
        if len(self.history) <= PATIENCE:
            return self.slope == 0
        return self.value - self.history[-1 - PATIENCE] <= tolerance * abs(self.value)


def _ascend(problem: _Problem, starts: list[torch.Tensor], max_iterations: int, tolerance: float) -> list[_Search]:
    bases = torch.stack(starts)
    searches = [
        _Search(basis, float(value), gradient)
        for basis, value, gradient in zip(bases, *problem.value_and_gradient(bases), strict=True)
    ]
    for _ in range(max_iterations):
        active = [search for search in searches if not search.converged(tolerance)]
        if not active:
            break
        bases = polar(torch.stack([search.trial for search in active]))
        for search, basis, value, gradient in zip(active, bases, *problem.value_and_gradient(bases), strict=True):
            search.tell(basis, float(value), gradient)
    return searches


def _cluster(directions: torch.Tensor, n_clusters: int, generator: torch.Generator) -> torch.Tensor:
    """K-means of the sign-free outer products ``a a'`` of unit vectors ``[N, D]``; labels ``[N]``.

    The squared distance of two outer products is ``2 - 2 (a'b)^2``; that to a centroid M, up to a term of the
    point alone, ``|M|^2 - 2 a'Ma``, so that no outer product is ever formed.
    """
    best, best_cost = torch.zeros(len(directions), dtype=torch.long), math.inf
    for _ in range(CLUSTERINGS):
        chosen = [int(torch.randint(len(directions), (1,), generator=generator))]
        nearest = torch.full((len(directions),), math.inf, dtype=directions.dtype)
        while len(chosen) < n_clusters:  # k-means++
            nearest = torch.minimum(nearest, 2 - 2 * (directions @ directions[chosen[-1]]).square()).clamp_min(0)
            weights = nearest if float(nearest.sum()) > 0 else torch.ones_like(nearest)
            chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        centroids = torch.stack([torch.outer(directions[index], directions[index]) for index in chosen])  # [K, D, D]
        labels = torch.full((len(directions),), -1)
        for _ in range(50):
            scores = torch.stack([((directions @ centroid) * directions).sum(dim=1) for centroid in centroids], dim=1)
            distances = centroids.square().sum(dim=(1, 2)) - 2 * scores  # [N, K]
            updated = distances.argmin(dim=1)
            if torch.equal(updated, labels):
                break
            labels = updated
            for cluster in range(n_clusters):
                members = directions[labels == cluster]
                if len(members):
                    centroids[cluster] = members.T @ members / len(members)
        cost = float(distances.min(dim=1).values.sum())
        if cost < best_cost:
            best, best_cost = labels, cost
    return best


def _data_driven_start(
    activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int, generator: torch.Generator
) -> torch.Tensor:
    """Cluster the activations' directions and take each cluster's most relevant directions, ``[D, D]``."""
    size = activations.shape[1]
    used = activations.norm(dim=1) > 0
    activations, contexts = activations[used].cpu().double(), contexts[used].cpu().double()
    if len(activations) < n_subspaces:
        return random_orthogonal(size, generator)
    picked = torch.randperm(len(activations), generator=generator)[:CLUSTERED_PAIRS]
    activations, contexts = activations[picked], contexts[picked]
    labels = _cluster(activations / activations.norm(dim=1, keepdim=True), n_subspaces, generator)
    blocks = []
    for cluster in range(n_subspaces):
        cross = activations[labels == cluster].T @ contexts[labels == cluster]
        _, vectors = torch.linalg.eigh(cross + cross.T)
        blocks.append(vectors[:, -(size // n_subspaces) :])
    return polar(torch.cat(blocks, dim=1))


def fit(
    activations: torch.Tensor,
    contexts: torch.Tensor,
    n_subspaces: int,
    *,
    objective: str = "drsa",
    n_restarts: int = 3,
    seed: int = 0,
    max_iterations: int = 1000,
    tolerance: float = 1e-6,
) -> Subspaces:
    """Find the subspaces that maximise eq. 2.19 on normalised pairs (eq. 3.4).

    Parameters
    ----------
    activations, contexts : torch.Tensor
        Pairs ``[N, D]`` of one class at one layer.
    n_subspaces : int
        ``K``; must divide ``D``.
    objective : {"drsa", "dsa"}
        ``dsa`` puts the activations in place of the contexts; the order of the subspaces still follows
        the true contexts.
    n_restarts : int
        Random starts, beside one from the data. Start ``i`` does not depend on how many there are.
    seed : int
        Of the starts.
    max_iterations : int
        Evaluations of the objective per start.
    tolerance : float
        A start is finished when its objective gains less than this, relatively, over ten iterations.

    Returns
    -------
    Subspaces
        The best start's, ordered by mean relevance over the pairs; ``restarts`` and ``history`` list the start
        from the data first.

    Raises
    ------
    EarmarkError
        For shapes that do not fit, no pairs, or values that are not finite.
    """
    _check(activations, contexts, n_subspaces, objective)
    first = normalise(activations)
    second = first if objective == "dsa" else normalise(contexts)
    size = activations.shape[1]
    starts = [_data_driven_start(first, second, n_subspaces, torch.Generator().manual_seed(derive(seed, "data")))]
    for restart in range(n_restarts):
        starts.append(random_orthogonal(size, torch.Generator().manual_seed(derive(seed, restart))))
    device = activations.device
    searches = _ascend(
        _Problem.of(first, second, n_subspaces), [start.to(device) for start in starts], max_iterations, tolerance
    )
    best = max(searches, key=lambda search: search.value)
    found = Subspaces(
        best.basis.to(activations.dtype),
        n_subspaces,
        best.value,
        tuple(search.value for search in searches),
        tuple(tuple(search.history) for search in searches),
    )
    return found.ordered(activations, contexts)

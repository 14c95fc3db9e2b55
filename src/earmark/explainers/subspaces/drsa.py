"""Disentangled Relevant Subspace Analysis (Chormai et al. 2024; thesis 2.2.2.1, 3.2.2).

The objective (eq. 2.19) is maximised over orthogonal matrices. Instead of autograd with a fixed step,
the gradient is taken in closed form and the step is quasi-Newton: limited-memory BFGS in the Lie algebra
of the rotations, ``U <- polar(U (I + W))`` with skew-symmetric ``W``, where directions of earlier
iterations need no transport. All starts run in one batched computation, each with its own line search,
first on a sample of the pairs, where there are many, then on all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from earmark.explainers.subspaces.basis import Subspaces, load, random_orthogonal
from earmark.explainers.subspaces.decompose import across, build
from earmark.explainers.subspaces.objective import check, epsilon, normalise, objective, soft_min
from earmark.explainers.subspaces.pairs import Material
from earmark.seeds import derive

# `build`, `across`, `load` and `find` are the doors of a family that earmark.explainers.base opens.
__all__ = ["across", "build", "find", "fit", "load", "normalise", "objective", "polar"]

MEMORY = 5
"""Pairs of steps and gradient changes that the quasi-Newton direction is built from."""

SUFFICIENT = 1e-4
"""Fraction of the predicted gain that a step must reach (Armijo)."""

LONGEST_STEP = 1.0
"""Largest Frobenius norm of a step per square root of the dimension, in radians."""

PATIENCE = 10
"""Iterations over which the gain is measured for convergence."""

TURNS = 10
"""Iterations between two choices of the axes inside the subspaces."""

FLATTEST = 1e-3
"""Smallest curvature that the search starts from, as a fraction of the greatest."""

CACHED_NUMBERS = 2**21
"""Components computed at once, for all starts together: what a processor's cache holds."""

SAMPLED = 4
"""One pair in so many is enough to begin with, where that leaves SAMPLE_PER_CHANNEL pairs per channel."""

SAMPLE_PER_CHANNEL = 16

SAMPLE_TOLERANCE = 10.0
"""How much sooner, in gain per iteration, the search on the sample stops."""

CLUSTERED_PAIRS = 2000

CLUSTERINGS = 8


def polar(matrices: torch.Tensor) -> torch.Tensor:
    """Orthogonalise ``[..., D, D]`` by ``U (U'U)^(-1/2)`` (eq. 3.6) in float64.

    Near an orthogonal matrix Newton's iteration, which squares the error each time, is quicker than singular values.
    """
    found = matrices.double()
    identity = torch.eye(found.shape[-1], dtype=found.dtype, device=found.device)
    error = 0.9  # bounds the largest |eigenvalue| of I - U'U; the iteration converges below 1
    while error > 1e-8:
        defect = identity - found.transpose(-2, -1) @ found
        previous, error = error, float(defect.abs().sum(dim=-1).amax())
        if not error <= previous:
            left, _, right = torch.linalg.svd(matrices.double())
            return left @ right
        found = found + found @ defect / 2
    return found


@dataclass
class _Point:
    """The objective's local model at one basis, in coordinates of that basis (float64).

    A step of the search is a skew-symmetric ``W``: columns of one subspace turn towards those of another.
    """

    basis: torch.Tensor  # [D, D]
    value: float
    gradient: torch.Tensor  # [D, D], skew-symmetric
    curvature: torch.Tensor  # [D, D], minus the diagonal of the Hessian, roughly; positive
    inside: torch.Tensor  # [K, d, d], relevance weighted by its slope, inside each subspace

    @property
    def axes(self) -> torch.Tensor:
        """Rotation ``[D, D]`` within the subspaces to axes in which the curvature is nearly diagonal."""
        return torch.block_diag(*torch.linalg.eigh(self.inside)[1])


@dataclass
class _Problem:
    """Normalised pairs of one fit."""

    activations: torch.Tensor  # [N, D]
    contexts: torch.Tensor  # [N, D]
    n_subspaces: int
    epsilon: float

    @classmethod
    def of(cls, activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int) -> _Problem:
        return cls(activations.contiguous(), contexts.contiguous(), n_subspaces, epsilon(activations, contexts))

    @property
    def n_pairs(self) -> int:
        """Number of pairs, N."""
        return len(self.activations)

    def _chunks(self, n_starts: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Cut the pairs so that what is computed of them stays in a processor's cache."""
        rows, size = self.activations.shape
        if self.activations.device.type == "cpu":
            rows = max(1, CACHED_NUMBERS // (n_starts * size))
        return zip(self.activations.split(rows), self.contexts.split(rows), strict=True)

    def _pooled(self, bases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Objective ``[S]``, its gradient ``[S, D, D]`` by the basis, and relevances ``[S, K, D]``.

        The latter are those of each column, weighted by every subspace's slope. A slope is a pair's positive relevance
        times a weight of its subspace that is known at the end only: one pass over the pairs is enough.
        """
        n_starts, size, _ = bases.shape
        axes = bases.transpose(1, 2).reshape(n_starts * size, size)
        # sums over a subspace's columns, and copies to them, as products: quick however narrow the subspaces are
        members = torch.eye(self.n_subspaces).to(bases).repeat_interleave(size // self.n_subspaces, dim=0)  # [D, K]
        squares = bases.new_zeros(n_starts, self.n_subspaces)
        gradient = torch.zeros_like(axes)  # [S D, D]
        columns = bases.new_zeros(n_starts, self.n_subspaces, size)
        for activations, contexts in self._chunks(n_starts):
            ours, theirs = activations @ axes.T, contexts @ axes.T  # [n, S D]
            products = (ours * theirs).view(-1, size)  # [n S, D]
            positive = (products @ members).clamp_min_(0)  # [n S, K]
            slopes = (positive @ members.T).view_as(ours)
            by_start = positive.view(-1, n_starts, self.n_subspaces)
            squares += by_start.square().sum(dim=0)
            columns += torch.matmul(by_start.permute(1, 2, 0), products.view(-1, n_starts, size).transpose(0, 1))
            gradient += theirs.mul_(slopes).T @ activations
            gradient += ours.mul_(slopes).T @ contexts
        values, quadratic, rooted = soft_min(squares / self.n_pairs, self.epsilon)  # [S], [S, K], [S, K]
        # dJ / dR_nk = weight_k R_nk+
        weights = rooted.mean(dim=-1, keepdim=True) / (self.n_subspaces * self.n_pairs) / (rooted * quadratic)
        by_column = weights.repeat_interleave(size // self.n_subspaces, dim=1)  # [S, D]
        gradient = gradient.view_as(bases).transpose(1, 2) * by_column.unsqueeze(1)
        return values, gradient, columns * weights.unsqueeze(2)

    def points(self, bases: torch.Tensor) -> list[_Point]:
        """Evaluate bases ``[S, D, D]`` (float64)."""
        bases_as_pairs = bases.to(self.activations.dtype)
        values, gradients, columns = self._pooled(bases_as_pairs)
        turned = torch.matmul(bases_as_pairs.transpose(1, 2), gradients).double()  # [S, D, D]
        count, size = turned.shape[:2]
        width = size // self.n_subspaces
        blocks = turned.view(count, self.n_subspaces, width, self.n_subspaces, width)
        inside = torch.diagonal(blocks, dim1=1, dim2=3).permute(0, 3, 1, 2)  # [S, K, d, d]
        # u'(M_k - M_l)u for a column u of subspace k that turns towards subspace l, M the weighted relevance
        towards = columns.double().repeat_interleave(width, dim=1)  # [S, D, D]: subspace of the row, column u
        own = torch.diagonal(towards, dim1=1, dim2=2)  # [S, D]
        loss = own.unsqueeze(2) - towards.transpose(1, 2)
        curvature = (loss + loss.transpose(1, 2)).abs()
        curvature = curvature.clamp_min(FLATTEST * curvature.amax(dim=(1, 2), keepdim=True)).clamp_min(1e-300)
        return [
            _Point(*parts)
            for parts in zip(
                bases,
                values.tolist(),
                (turned - turned.transpose(1, 2)) / 2,
                curvature,
                (inside + inside.transpose(2, 3)) / 2,
                strict=True,
            )
        ]


def _inner(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Frobenius inner products over the last two dimensions."""
    return (one * other).sum(dim=(-2, -1))


class _Search:
    """Limited-memory BFGS ascent of one start, fed with one evaluation per iteration.

    Directions that hardly matter are many and ill-conditioned: dead channels, faint activations. So the inverse
    curvature starts from the diagonal of the Hessian, and every few iterations the columns turn to axes in
    which that diagonal tells most. Turning them inside their subspaces leaves the objective as it is.
    """

    def __init__(self, point: _Point) -> None:
        self.point = point
        self.steps: list[torch.Tensor] = []
        self.changes: list[torch.Tensor] = []
        self.history = [point.value]
        self.axes: torch.Tensor | None = None
        self._aim()

    @property
    def value(self) -> float:
        """Objective of the accepted basis."""
        return self.point.value

    def _aim(self) -> None:
        """Choose a direction and a first length along it."""
        gradient, curvature = self.point.gradient, self.point.curvature
        direction, pending = gradient.clone(), []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            weight = _inner(step, direction) / _inner(step, change)
            direction -= weight * change
            pending.append((step, change, weight))
        direction /= curvature
        if self.steps:
            last = self.changes[-1]
            direction *= _inner(self.steps[-1], last) / _inner(last, last / curvature)
        for step, change, weight in reversed(pending):
            direction += (weight - _inner(change, direction) / _inner(step, change)) * step
        self.slope = float(_inner(direction, gradient))
        if not self.slope > 0:  # the curvature information misleads: start it afresh
            self.steps, self.changes = [], []
            direction = gradient / curvature
            self.slope = float(_inner(direction, gradient))
        self.direction = direction
        norm = float(direction.norm())
        longest = LONGEST_STEP * math.sqrt(len(direction))
        self.length = min(1.0, longest / norm) if self.steps else longest / 4 / max(norm, 1e-300)

    def trial(self) -> torch.Tensor:
        """Propose the basis to evaluate next, before orthogonalisation."""
        self.axes = self.point.axes if len(self.history) % TURNS == 0 else None
        basis = self.point.basis
        stepped = basis + basis @ (self.length * self.direction)
        return stepped if self.axes is None else stepped @ self.axes

    def _turned(self, matrix: torch.Tensor) -> torch.Tensor:
        """Express a matrix in the coordinates of the basis just evaluated."""
        return matrix if self.axes is None else self.axes.T @ matrix @ self.axes

    def tell(self, point: _Point) -> None:
        """Accept the evaluated basis when it gains enough, else shorten the step."""
        gain, hoped = point.value - self.value, self.length * self.slope
        if gain < SUFFICIENT * hoped:
            # the maximum of the parabola through what is known, within bounds
            self.length *= min(0.5, max(0.1, hoped / (2 * max(hoped - gain, 1e-300))))
        else:
            step = self._turned(self.length * self.direction)
            change = self._turned(self.point.gradient) - point.gradient
            self.steps, self.changes = (
                [self._turned(old) for old in self.steps],
                [self._turned(old) for old in self.changes],
            )
            if _inner(step, change) > 1e-10 * step.norm() * change.norm():
                self.steps, self.changes = [*self.steps, step][-MEMORY:], [*self.changes, change][-MEMORY:]
            self.point = point
            self._aim()
        self.history.append(self.value)

    def converged(self, tolerance: float) -> bool:
        """Say whether the last iterations gained next to nothing."""
        if len(self.history) <= PATIENCE:
            return self.slope == 0
        return self.value - self.history[-1 - PATIENCE] <= tolerance * abs(self.value)


def _ascend(problem: _Problem, starts: list[torch.Tensor], max_iterations: int, tolerance: float) -> list[_Search]:
    searches = [_Search(point) for point in problem.points(torch.stack(starts))]
    for _ in range(max_iterations):
        active = [search for search in searches if not search.converged(tolerance)]
        if not active:
            break
        bases = polar(torch.stack([search.trial() for search in active]))
        for search, point in zip(active, problem.points(bases), strict=True):
            search.tell(point)
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
    labels = _cluster((activations / activations.norm(dim=1, keepdim=True)).float(), n_subspaces, generator)
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
    n_restarts: int = 2,
    seed: int = 0,
    max_iterations: int = 1000,
    tolerance: float = 3e-5,
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
    check(activations, contexts, n_subspaces, objective)
    first = normalise(activations)
    second = first if objective == "dsa" else normalise(contexts)
    size = activations.shape[1]
    starts = [_data_driven_start(first, second, n_subspaces, torch.Generator().manual_seed(derive(seed, "data")))]
    for restart in range(n_restarts):
        starts.append(random_orthogonal(size, torch.Generator().manual_seed(derive(seed, restart))))
    starts = [start.to(activations.device) for start in starts]
    if len(first) >= SAMPLED * SAMPLE_PER_CHANNEL * size:
        generator = torch.Generator().manual_seed(derive(seed, "sample"))
        sample = torch.randperm(len(first), generator=generator)[: len(first) // SAMPLED].to(first.device)
        problem = _Problem.of(first[sample], second[sample], n_subspaces)
        rough = _ascend(problem, starts, max_iterations, SAMPLE_TOLERANCE * tolerance)
        starts = [search.point.basis for search in rough]
    searches = _ascend(_Problem.of(first, second, n_subspaces), starts, max_iterations, tolerance)
    best = max(searches, key=lambda search: search.value)
    found = Subspaces(
        best.point.basis.to(activations.dtype),
        n_subspaces,
        best.value,
        tuple(search.value for search in searches),
        tuple(tuple(search.history) for search in searches),
        ("data", *(f"random {number}" for number in range(1, n_restarts + 1))),
    )
    return found.ordered(activations, contexts)


def find(method: str, material: Material) -> Subspaces:
    """Fit the subspaces of a class by one of the family's methods, whose names are those of the objectives."""
    settings = material.job.config["explainers"]["drsa"]
    return fit(
        material.activations,
        material.contexts,
        material.job.k,
        objective=method,
        n_restarts=settings["restarts"],
        seed=material.job.seed("fit", material.cls.slug),
        max_iterations=settings["max_iterations"],
        tolerance=settings["tolerance"],
    )

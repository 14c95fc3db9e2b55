"""Ascent over rotations, for objectives that are functions of the subspaces' relevances.

Instead of autograd with a fixed step, an objective's gradient is taken in closed form and the step is quasi-Newton:
limited-memory BFGS in the Lie algebra of the rotations, ``U <- polar(U (I + W))`` with skew-symmetric ``W``, where
directions of earlier iterations need no transport. All starts run in one batched computation, each with its own line
search.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from earmark.explainers.subspaces.basis import Subspaces

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

SAMPLED = 4
"""One pair in so many is enough to begin with, where that leaves SAMPLE_PER_CHANNEL pairs per channel."""

SAMPLE_PER_CHANNEL = 16

SAMPLE_TOLERANCE = 10.0
"""How much sooner, in gain per iteration, the search on the sample stops."""

CACHED_NUMBERS = 2**21
"""Components computed at once, for all starts together: what a processor's cache holds."""


def polar(matrices: Tensor) -> Tensor:
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
class Point:
    """The objective's local model at one basis, in coordinates of that basis (float64).

    A step of the search is a skew-symmetric ``W``: columns of one subspace turn towards those of another.
    """

    basis: Tensor  # [D, D]
    value: float
    gradient: Tensor  # [D, D], skew-symmetric
    curvature: Tensor  # [D, D], minus the diagonal of the Hessian, roughly; positive
    inside: Tensor  # [K, d, d], relevance weighted by its slope, inside each subspace

    @property
    def axes(self) -> Tensor:
        """Rotation ``[D, D]`` within the subspaces to axes in which the curvature is nearly diagonal."""
        return torch.block_diag(*torch.linalg.eigh(self.inside)[1])


class Objective(ABC):
    """An objective of the relevances ``R_nk = (U_k'a_n)'(U_k'c_n)`` of subspaces (eq. 2.18), to be maximised.

    Parameters
    ----------
    activations, contexts : Tensor
        Pairs ``[N, D]``.
    n_subspaces : int
        ``K``; must divide ``D``.
    """

    def __init__(self, activations: Tensor, contexts: Tensor, n_subspaces: int) -> None:
        self.activations, self.contexts = activations.contiguous(), contexts.contiguous()
        self.n_subspaces = n_subspaces

    @property
    def n_pairs(self) -> int:
        """Number of pairs, N."""
        return len(self.activations)

    @abstractmethod
    def evaluated(self, bases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate bases ``[S, D, D]`` of the pairs' type: objective ``[S]``, and what :meth:`sums` tells of them."""

    def sums(self, bases: Tensor, slopes: Callable[[slice, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Sum over the pairs what a step needs to know, given how the objective rises with each relevance.

        Parameters
        ----------
        bases : Tensor
            ``[S, D, D]``.
        slopes : callable
            From some of the pairs, and their relevances ``[n, S, K]``, to the objective's derivatives by them
            ``[n, S, K]``.

        Returns
        -------
        gradient : Tensor
            Of the objective by the basis, ``[S, D, D]``.
        columns : Tensor
            ``[S, K, D]``: relevance of each of the basis's columns, weighted by the slope of every subspace.
        """
        n_starts, size, _ = bases.shape
        gradient = bases.new_zeros(n_starts * size, size)  # [S D, D]
        columns = bases.new_zeros(n_starts, self.n_subspaces, size)
        members = self._members(bases)
        for rows, ours, theirs, products in self._turned(bases):
            rising = slopes(rows, (products @ members).view(-1, n_starts, self.n_subspaces))  # [n, S, K]
            by_column = (rising.reshape(-1, self.n_subspaces) @ members.T).view_as(ours)
            columns += torch.matmul(rising.permute(1, 2, 0), products.view(-1, n_starts, size).transpose(0, 1))
            gradient += theirs.mul_(by_column).T @ self.activations[rows]
            gradient += ours.mul_(by_column).T @ self.contexts[rows]
        return gradient.view_as(bases).transpose(1, 2), columns

    def relevance(self, bases: Tensor) -> Tensor:
        """Relevance of every pair for every start's subspaces, ``[N, S, K]``."""
        members = self._members(bases)
        parts = [products @ members for _, _, _, products in self._turned(bases)]
        return torch.cat(parts).view(-1, len(bases), self.n_subspaces)

    def _members(self, bases: Tensor) -> Tensor:
        """Which column is of which subspace, ``[D, K]``.

        Sums over a subspace's columns, and copies to them, are products with it: quick however narrow they are.
        """
        return torch.eye(self.n_subspaces).to(bases).repeat_interleave(bases.shape[-1] // self.n_subspaces, dim=0)

    def _turned(self, bases: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Yield some pairs at a time: both sides ``[n, S D]`` in every basis, and their products ``[n S, D]``."""
        n_starts, size, _ = bases.shape
        axes = bases.transpose(1, 2).reshape(n_starts * size, size)
        for rows in self._chunks(n_starts):
            ours, theirs = self.activations[rows] @ axes.T, self.contexts[rows] @ axes.T
            yield rows, ours, theirs, (ours * theirs).view(-1, size)

    def _chunks(self, n_starts: int) -> list[slice]:
        """Cut the pairs so that what is computed of them stays in a processor's cache."""
        rows, size = self.activations.shape
        step = rows if self.activations.device.type != "cpu" else max(1, CACHED_NUMBERS // (n_starts * size))
        return [slice(first, first + step) for first in range(0, rows, step)]

    def points(self, bases: Tensor) -> list[Point]:
        """Evaluate bases ``[S, D, D]`` (float64)."""
        bases_as_pairs = bases.to(self.activations.dtype)
        values, gradients, columns = self.evaluated(bases_as_pairs)
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
            Point(*parts)
            for parts in zip(
                bases,
                values.tolist(),
                (turned - turned.transpose(1, 2)) / 2,
                curvature,
                (inside + inside.transpose(2, 3)) / 2,
                strict=True,
            )
        ]


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Frobenius inner products over the last two dimensions."""
    return (one * other).sum(dim=(-2, -1))


class Search:
    """Limited-memory BFGS ascent of one start, fed with one evaluation per iteration.

    Directions that hardly matter are many and ill-conditioned: dead channels, faint activations. So the inverse
    curvature starts from the diagonal of the Hessian, and every few iterations the columns turn to axes in
    which that diagonal tells most. Turning them inside their subspaces leaves the objective as it is.
    """

    def __init__(self, point: Point) -> None:
        self.point = point
        self.steps: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.history = [point.value]
        self.axes: Tensor | None = None
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

    def trial(self) -> Tensor:
        """Propose the basis to evaluate next, before orthogonalisation."""
        self.axes = self.point.axes if len(self.history) % TURNS == 0 else None
        basis = self.point.basis
        stepped = basis + basis @ (self.length * self.direction)
        return stepped if self.axes is None else stepped @ self.axes

    def _turned(self, matrix: Tensor) -> Tensor:
        """Express a matrix in the coordinates of the basis just evaluated."""
        return matrix if self.axes is None else self.axes.T @ matrix @ self.axes

    def tell(self, point: Point) -> None:
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


def ascend(
    problems: Sequence[tuple[Objective, float]], starts: list[Tensor], max_iterations: int, kept: int | None = None
) -> list[Search]:
    """Ascend from every start ``[D, D]``, orthogonal and in float64.

    Parameters
    ----------
    problems : sequence of (Objective, float)
        What is maximised, each from where the one before ended, or from the start itself where that is higher: the last
        is what counts, and smaller ones before it bring its starts near. A search ends when its objective gains less
        than the tolerance beside it, relatively, over `PATIENCE` iterations.
    starts : list of Tensor
        ``[D, D]`` each.
    max_iterations : int
        Evaluations per start and problem.
    kept : int, optional
        Searches that go on from one problem to the next: those that stand highest in it. All by default.

    Returns
    -------
    list of Search
        On the last problem, in the order of the starts; of one that was not kept, where it stood.
    """
    (first, tolerance), *rest = problems
    searches = [Search(point) for point in first.points(torch.stack(starts))]
    _climb(first, searches, max_iterations, tolerance)
    for problem, tolerance in rest:
        ends = problem.points(torch.stack([search.point.basis for search in searches]))
        best = sorted(range(len(ends)), key=lambda index: ends[index].value, reverse=True)[:kept]
        # a sample may mislead: no search begins below its start
        for index, point in zip(best, problem.points(torch.stack([starts[index] for index in best])), strict=True):
            ends[index] = max(ends[index], point, key=lambda point: point.value)
        searches = [Search(point) for point in ends]
        _climb(problem, [searches[index] for index in sorted(best)], max_iterations, tolerance)
    return searches


def _climb(problem: Objective, searches: list[Search], max_iterations: int, tolerance: float) -> None:
    for _ in range(max_iterations):
        active = [search for search in searches if not search.converged(tolerance)]
        if not active:
            break
        bases = polar(torch.stack([search.trial() for search in active]))
        for search, point in zip(active, problem.points(bases), strict=True):
            search.tell(point)


def sample_of(count: int, pairs: int, n_channels: int, generator: torch.Generator) -> Tensor | None:
    """Draw one in `SAMPLED` of what holds so many pairs each; None where too few pairs would be left to begin with."""
    if count < SAMPLED or count * pairs < SAMPLED * SAMPLE_PER_CHANNEL * n_channels:
        return None
    return torch.randperm(count, generator=generator)[: count // SAMPLED]


def best_of(searches: list[Search], first: Sequence[str], n_subspaces: int, dtype: torch.dtype) -> Subspaces:
    """Take the basis of the search that reached most, and what every search came to.

    `first` names the starts that are not random; those behind them are numbered.
    """
    n_random = len(searches) - len(first)
    found = max(searches, key=lambda search: search.value)
    return Subspaces(
        found.point.basis.to(dtype),
        n_subspaces,
        found.value,
        tuple(search.value for search in searches),
        tuple(tuple(search.history) for search in searches),
        (*first, *(f"random {number}" for number in range(1, n_random + 1))),
    )

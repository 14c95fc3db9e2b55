"""Disentangled Relevant Subspace Analysis (Chormai et al. 2024; thesis 2.2.2.1, 3.2.2).

The objective (eq. 2.19) is maximised over orthogonal matrices, first on a sample of the pairs, where there are many,
then on all.
"""

from __future__ import annotations

import math

import torch

from earmark.explainers.subspaces.basis import Subspaces, load, random_orthogonal, random_starts
from earmark.explainers.subspaces.decompose import across, build
from earmark.explainers.subspaces.objective import check, epsilon, normalise, objective, soft_min
from earmark.explainers.subspaces.pairs import Material
from earmark.explainers.subspaces.rotations import (
    SAMPLE_TOLERANCE,
    Objective,
    ascend,
    best_of,
    polar,
    sample_of,
)
from earmark.seeds import derive

# `build`, `across`, `load` and `find` are the doors of a family that earmark.explainers.base opens.
__all__ = ["across", "build", "find", "fit", "load", "normalise", "objective"]

CLUSTERED_PAIRS = 2000

CLUSTERINGS = 8


class SoftMinimum(Objective):
    """Eq. 2.19 of normalised pairs."""

    def __init__(self, activations: torch.Tensor, contexts: torch.Tensor, n_subspaces: int) -> None:
        super().__init__(activations, contexts, n_subspaces)
        self.epsilon = epsilon(activations, contexts)

    def evaluated(self, bases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evaluate bases ``[S, D, D]``.

        A slope is a pair's positive relevance times a weight of its subspace that is known at the end only: one pass
        over the pairs is enough.
        """
        squares = bases.new_zeros(len(bases), self.n_subspaces)

        def positive(_: slice, relevance: torch.Tensor) -> torch.Tensor:
            relevance.clamp_min_(0)
            squares.add_(relevance.square().sum(dim=0))
            return relevance

        gradient, columns = self.sums(bases, positive)
        values, quadratic, rooted = soft_min(squares / self.n_pairs, self.epsilon)
        # dJ / dR_nk = weight_k R_nk+
        weights = rooted.mean(dim=-1, keepdim=True) / (self.n_subspaces * self.n_pairs) / (rooted * quadratic)
        by_column = weights.repeat_interleave(bases.shape[-1] // self.n_subspaces, dim=1)  # [S, D]
        return values, gradient * by_column.unsqueeze(1), columns * weights.unsqueeze(2)


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
    own = _data_driven_start(first, second, n_subspaces, torch.Generator().manual_seed(derive(seed, "data")))
    starts = [start.to(activations.device) for start in (own, *random_starts(size, n_restarts, seed))]
    problems = [(SoftMinimum(first, second, n_subspaces), tolerance)]
    sample = sample_of(len(first), 1, size, torch.Generator().manual_seed(derive(seed, "sample")))
    if sample is not None:
        rows = sample.to(first.device)
        problems.insert(0, (SoftMinimum(first[rows], second[rows], n_subspaces), SAMPLE_TOLERANCE * tolerance))
    searches = ascend(problems, starts, max_iterations)
    return best_of(searches, ["data"], n_subspaces, activations.dtype).ordered(activations, contexts)


def find(method: str, material: Material) -> Subspaces:
    """Fit the subspaces of a class by one of the family's methods, whose names are those of the objectives."""
    settings = material.job.config["explainers"]["drsa"]
    return fit(
        material.activations,
        material.contexts,
        material.job.k,
        objective=method,
        n_restarts=settings["restarts"],
        seed=material.seed("fit"),
        max_iterations=settings["max_iterations"],
        tolerance=settings["tolerance"],
    )

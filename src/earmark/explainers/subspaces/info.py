"""Subspaces that tell places apart: the information of concepts on where the relevance lies.

A place is a position of the layer's grid with its neighbourhood. A basis is good if what is found at a place belongs to
one concept, and if every concept has places of its own: if concept and place have much mutual information (Bridle et
al. 1991 and Krause et al. 2010 cluster by that principle). So balance between concepts counts in information, where
eq. 2.19 asks for it in relevance, and cuts a strong cue into pieces to get it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.explainers.subspaces import drsa
from earmark.explainers.subspaces.basis import Subspaces, check_size, load, random_starts
from earmark.explainers.subspaces.decompose import across, build
from earmark.explainers.subspaces.objective import normalise
from earmark.explainers.subspaces.pairs import Material, grid_at, grids_of, opened, window_of
from earmark.explainers.subspaces.rotations import SAMPLE_TOLERANCE, Objective, ascend, best_of, sample_of
from earmark.lrp.rules import from_config
from earmark.seeds import derive

log = logging.getLogger(__name__)

# `build`, `across`, `load`, `find` and `clips_of` are a family's doors; the last one is for stage `stability`.
__all__ = ["across", "build", "clips_of", "find", "fit", "load"]

FLOOR = 1e-3
"""Relevance that every concept is granted everywhere, in medians of the places' relevance: keeps shares defined."""

DRSA_PLACES = 8000
"""Places that the start from eq. 2.19 is fitted to."""

KEPT = 2
"""Starts that go on from a sample of the clips to all of them."""


class NothingRelevant(EarmarkError):
    """No place has positive relevance."""


def neighbourhood_mean(values: Tensor, dimensions: int, width: int) -> Tensor:
    """Average over the ``width^m`` positions around each.

    Parameters
    ----------
    values : Tensor
        ``[B, *g, ...]``, g of m dimensions.
    dimensions : int
        m.
    width : int
        Odd; beyond the grid there are zeros, which count.

    Returns
    -------
    Tensor
        Of the shape of `values`. The map is its own adjoint.
    """
    for axis in range(1, 1 + dimensions):
        length, total = values.shape[axis], values.clone()
        for shift in range(1, min(width // 2, length - 1) + 1):
            total.narrow(axis, 0, length - shift).add_(values.narrow(axis, shift, length - shift))
            total.narrow(axis, shift, length - shift).add_(values.narrow(axis, 0, length - shift))
        values = total
    return values / width**dimensions


class Places(Objective):
    """Mutual information ``I = H(sum_n p(n) p(.|n)) - sum_n p(n) H(p(.|n))`` of concept and place, in nats.

    At place n concept k has ``r_kn``, the positive part of its mean relevance over the neighbourhood, and the share
    ``p(k|n) = (r_kn + e) / sum_l (r_ln + e)``; the place weighs ``p(n)`` by the positive part of its whole relevance,
    which no basis changes.

    Parameters
    ----------
    activations, contexts : Tensor
        Normalised, ``[B, D, *g]``; without a grid each clip is a place.
    n_subspaces : int
        ``K``; must divide ``D``.
    width : int
        Of the neighbourhood, odd.

    Raises
    ------
    NothingRelevant
        If no place has positive relevance.
    """

    def __init__(self, activations: Tensor, contexts: Tensor, n_subspaces: int, width: int) -> None:
        vectors, theirs = (part.movedim(1, -1).flatten(0, -2) for part in (activations, contexts))  # [N, D]
        super().__init__(vectors, theirs, n_subspaces)
        self.grid, self.width = (len(activations), *activations.shape[2:]), width
        weights = self.around((vectors * theirs).sum(dim=1, dtype=torch.float64)).clamp_min(0)  # [N]
        counted = weights[weights > 0]
        if not len(counted):
            raise NothingRelevant("no place has positive relevance")
        self.n_places = len(counted)
        self.probability = weights / weights.sum()  # [N], float64
        self.floor = FLOOR * float(counted.median())

    def around(self, values: Tensor) -> Tensor:
        """Average what is known of every position ``[N, ...]`` over its neighbourhood."""
        on_grid = values.unflatten(0, self.grid)
        return neighbourhood_mean(on_grid, len(self.grid) - 1, self.width).flatten(0, len(self.grid) - 1)

    def evaluated(self, bases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate bases ``[S, D, D]``.

        With ``g_kn = log p(k|n) - log p(k)`` the information is ``sum_n p(n) sum_k p(k|n) g_kn``, and it rises with
        ``r_kn`` by ``p(n) (g_kn - sum_l p(l|n) g_ln) / sum_l (r_ln + e)``.
        """
        mean = self.around(self.relevance(bases))  # [N, S, K]
        raised = mean.clamp_min(0) + self.floor
        total = raised.sum(dim=2, keepdim=True)
        shares = raised / total
        probability = self.probability.view(-1, 1, 1)
        overall = (shares * probability).sum(dim=0)  # [S, K], float64
        gains = shares.log() - overall.log().to(shares)
        at_place = (shares * gains).sum(dim=2, keepdim=True)  # [N, S, 1]
        values = (at_place * probability).sum(dim=0).squeeze(1)  # [S], float64
        slopes = (gains - at_place) * (probability.to(total) / total) * (mean > 0)
        slopes = self.around(slopes)  # by the relevance of every position, not only of the place's own
        return values, *self.sums(bases, lambda rows, _: slopes[rows])


def fit(
    activations: Tensor,
    contexts: Tensor,
    n_subspaces: int,
    *,
    n_restarts: int = 4,
    seed: int = 0,
    neighbourhood: int = 3,
    max_iterations: int = 1000,
    tolerance: float = 1e-4,
) -> Subspaces:
    """Find the subspaces that tell places apart best (:class:`Places`).

    Parameters
    ----------
    activations, contexts : Tensor
        Of clips of one class at one layer, ``[B, D, *g]``; both are scaled as a whole by eq. 3.4.
    n_subspaces : int
        ``K``; must divide ``D``.
    n_restarts : int
        Random starts, beside the basis of :func:`earmark.explainers.subspaces.drsa.fit` on some of the places. Start
        ``i`` does not depend on how many there are.
    seed : int
        Of the starts and of what is drawn.
    neighbourhood : int
        Width of a place in each direction of the grid, odd.
    max_iterations : int
        Evaluations of the objective per start.
    tolerance : float
        A start is finished when its objective gains less than this, relatively, over ten iterations.

    Returns
    -------
    Subspaces
        The best start's, ordered by mean relevance over the positions; ``objective`` in nats, at most log K;
        ``restarts`` and ``history`` list the start from eq. 2.19 first.

    Raises
    ------
    EarmarkError
        For shapes that do not fit, no clips, values that are not finite, or no place of positive relevance.
    """
    if activations.dim() < 2 or activations.shape != contexts.shape:
        raise EarmarkError(
            f"activations and contexts must both be [B, D, *g], not {list(activations.shape)} and "
            f"{list(contexts.shape)}"
        )
    if not len(activations):
        raise EarmarkError("there are no clips to fit subspaces to")
    if neighbourhood < 1 or neighbourhood % 2 == 0:
        raise EarmarkError(f"a neighbourhood is 1, 3, 5 ... positions wide, not {neighbourhood}")
    if not (torch.isfinite(activations).all() and torch.isfinite(contexts).all()):
        raise EarmarkError("activations or contexts hold values that are not finite")
    size = activations.shape[1]
    check_size(size, n_subspaces)
    first, second = normalise(activations), normalise(contexts)
    whole = Places(first, second, n_subspaces, neighbourhood)
    problems: list[tuple[Objective, float]] = [(whole, tolerance)]
    positions = math.prod(activations.shape[2:])
    clips = sample_of(len(first), positions, size, torch.Generator().manual_seed(derive(seed, "sample")))
    if clips is not None:
        drawn = clips.to(first.device)
        try:
            sample = Places(first[drawn], second[drawn], n_subspaces, neighbourhood)
            problems.insert(0, (sample, SAMPLE_TOLERANCE * tolerance))
        except NothingRelevant:
            pass  # all that is relevant lies in other clips
    starts = [
        _start(whole, seed).double(),
        *(start.to(first.device) for start in random_starts(size, n_restarts, seed)),
    ]
    found = best_of(ascend(problems, starts, max_iterations, KEPT), ["drsa"], n_subspaces, activations.dtype)
    few = f"only {whole.n_places} places have positive relevance, fewer than the layer's {size} channels"
    warnings = (few,) if whole.n_places < size else ()
    return replace(found, warnings=warnings).ordered(whole.activations, whole.contexts)


def _start(places: Places, seed: int) -> Tensor:
    """Fit eq. 2.19 to some of the places, ``[D, D]``."""
    counted = torch.nonzero(places.probability > 0).squeeze(1)
    generator = torch.Generator().manual_seed(derive(seed, "places"))
    rows = counted[torch.randperm(len(counted), generator=generator)[:DRSA_PLACES].to(counted.device)]
    vectors = places.activations[rows], places.contexts[rows]
    return drsa.fit(*vectors, places.n_subspaces, seed=derive(seed, "drsa")).basis


def clips_of(material: Material) -> NDArray[np.int64]:
    """Choose the training clips that a class is fitted to: spread over recordings, and no more than places allow."""
    job, cls = material.job, material.cls
    settings = job.config["explainers"]["info"]
    source, answered, model = opened(job)
    known = answered.training(source, job.split, cls)
    positions = math.prod(window_of(grid_at(model, source, job.layer)))
    count = min(settings["clips"], max(1, settings["places"] // positions))
    recordings = source.clips["recording"].to_numpy()[known]
    return known[spread(recordings, count, job.seed("pairs", cls.slug))]


def find(method: str, material: Material) -> Subspaces:
    """Fit the subspaces of a class to grids of its training clips.

    Raises
    ------
    EarmarkError
        If no training clip of the class has positive relevance at the layer.
    """
    job, cls = material.job, material.cls
    settings = job.config["explainers"]["info"]
    source, _, model = opened(job)
    clips = clips_of(material) if material.clips is None else material.clips
    rules = from_config({"lrp": job.config["lrp"]})
    grids = grids_of(model, source, clips, cls, job.layer, rules, job.seed("windows", cls.slug))
    try:
        found = fit(
            *grids,
            job.k,
            n_restarts=settings["restarts"],
            seed=material.seed("fit"),
            neighbourhood=settings["neighbourhood"],
            max_iterations=settings["max_iterations"],
            tolerance=settings["tolerance"],
        )
    except NothingRelevant:
        raise EarmarkError(
            f"{cls.name} has no positive relevance at {job.layer} of {job.layout.dataset}/{job.split}: there is "
            "nothing to tell apart"
        ) from None
    for warning in found.warnings:
        log.warning("%s at %s: %s", cls.slug, job.layer, warning)
    return found

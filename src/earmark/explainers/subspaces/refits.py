"""Subspaces found again: from other starts and by other clips.

Each set of subspaces is compared with those of other starts of the search (`seed`) and of groups of training clips
drawn anew with replacement (`bootstrap`). Beside it stands what the objective (eq. 2.19) is made of, on its own pairs
and on pairs from validation clips: what a fit owes to its own pairs only is lost there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from earmark.explainers import base as explainers
from earmark.explainers.subspaces.affinity import affinity, matched
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.pairs import Material
from earmark.job import Job
from earmark.plan.methods import method_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """One class's subspaces, what they were fitted to and what they are compared with.

    Attributes
    ----------
    found : Subspaces
        On the CPU.
    material : Material
        The pairs, the clips where whole ones were fitted to, and the job of the fit.
    groups : Tensor [N]
        Group of each of what was fitted to: of each pair's clip, or of each clip.
    """

    found: Subspaces
    material: Material
    groups: Tensor

    @property
    def cls(self) -> str:
        """The class."""
        return self.material.cls.slug

    @property
    def job(self) -> Job:
        """The job, whose method and settings refits take."""
        return self.material.job

    @property
    def draws(self) -> range:
        """Numbers of the draws."""
        return range(1, self.job.config["stability"]["draws"] + 1)

    def again(self, rows: Tensor | None = None, seed: int | None = None) -> Subspaces:
        """Fit to some of what was fitted to, named by their rows, or from another seed."""
        material = self.material if rows is None else self.material.only(rows)
        material = replace(material, other_seed=seed)
        return explainers.family(self.job.method).find(self.job.method, material).to(torch.device("cpu"))


class Draw(NamedTuple):
    """Subspaces to compare with."""

    name: str
    found: Subspaces


def compared(fitted: Fitted, level: float) -> Iterator[list[Any]]:
    """Yield the rows of one class in the order of ``COLUMNS``; `level` is the affinity of random subspaces."""
    for kind in kinds(fitted.job.method):
        for draw in KINDS[kind].draws(fitted):
            values = matched(affinity(fitted.found, draw.found))
            log.info("%s, %s %s: affinity %.3f, random %.3f", fitted.cls, kind, draw.name, values.mean(), level)
            for concept, value in enumerate(values.tolist(), start=1):
                yield [fitted.cls, concept, kind, draw.name, value, level]


def seeds(fitted: Fitted) -> Iterator[Draw]:
    """Fit to the same pairs from other seeds."""
    for draw in fitted.draws:
        yield Draw(str(draw), fitted.again(seed=fitted.job.seed("stability", draw)))


def bootstraps(fitted: Fitted) -> Iterator[Draw]:
    """Fit, from the same seed, to the pairs of groups of clips drawn with replacement."""
    for draw in fitted.draws:
        seed = fitted.job.seed("bootstrap", draw, fitted.cls)
        yield Draw(str(draw), fitted.again(resampled(fitted.groups, torch.Generator().manual_seed(seed))))


class Kind(NamedTuple):
    """Some draws, and which of ``seed`` and ``pairs`` they change."""

    changes: str
    draws: Callable[[Fitted], Iterator[Draw]]


KINDS = {"seed": Kind("seed", seeds), "bootstrap": Kind("pairs", bootstraps)}


def kinds(method: str) -> list[str]:
    """List the kinds of draws that can change a method's result."""
    return [name for name, kind in KINDS.items() if kind.changes in method_of(method).depends_on]


def resampled(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Draw whole groups with replacement, as many as there are.

    Parameters
    ----------
    groups : Tensor [N]
        Group of each pair.
    generator : torch.Generator
        Of the draw.

    Returns
    -------
    Tensor
        Rows of the pairs, all those of a group as often as it was drawn.
    """
    _, member = groups.unique(return_inverse=True)
    counts = member.bincount()
    rows = member.argsort(stable=True).split(counts.tolist())
    drawn = torch.randint(len(counts), (len(counts),), generator=generator)
    return torch.cat([rows[group] for group in drawn.tolist()])


def sums(
    found: Subspaces, activations: Tensor, contexts: Tensor, clips: NDArray[np.int64], groups: ArrayLike
) -> Iterator[list[Any]]:
    """Sum over the pairs of each group what eq. 2.19 on normalised pairs is made of.

    Parameters
    ----------
    found : Subspaces
        Of D channels.
    activations, contexts : Tensor [N, D]
        Pairs, not normalised.
    clips : array of int [N]
        Clip of each pair.
    groups : array of str [N]
        Group of each.

    Yields
    ------
    list
        Group, number of clips and of pairs; energies of activations and of contexts, in units of the square root of D
        that eq. 3.4 scales them to, and their products, pair by pair and in units of 1; squared positive relevance of
        each subspace.
    """
    squares = found.relevance(activations, contexts).clamp_min(0).square()  # [N, K]
    lengths = [vectors.square().sum(dim=1, keepdim=True) for vectors in (activations, contexts)]  # [N, 1] each
    energies = [length / activations.shape[1] ** 0.5 for length in lengths]
    terms = torch.cat([*energies, lengths[0] * lengths[1], squares], dim=1).double().numpy()
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    for number, name in enumerate(names):
        own = member == number
        yield [str(name), len(np.unique(clips[own])), int(own.sum()), *terms[own].sum(axis=0).tolist()]

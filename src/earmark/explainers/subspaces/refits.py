"""Subspaces found again: from other starts, by other clips, in other networks.

Each set of subspaces is compared with those of other starts of the search (`seed`), of groups of training clips drawn
anew with replacement (`bootstrap`) and of networks trained on other splits (`split`). Beside it stands what the
objective (eq. 2.19) is made of, on its own pairs and on pairs from validation clips: what a fit owes to its own pairs
only is lost there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from earmark.data.dataset import DataSet
from earmark.data.selection import spread
from earmark.explainers import base as explainers
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.affinity import affinity, matched
from earmark.explainers.subspaces.alignment import aligned, turned
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.pairs import Material
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import Model
from earmark.plan.methods import method_of
from earmark.seeds import derive
from earmark.store.layout import Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Other:
    """What another split came to, in the channels of this split's network.

    Attributes
    ----------
    split : str
        Its name.
    bases : dict of str to Subspaces
        By class, turned by the rotation that takes its activations nearest to this network's.
    alignment : float
        Cosine between both networks' activations after that rotation.
    """

    split: str
    bases: dict[str, Subspaces]
    alignment: float


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
    others : sequence of Other
        Other splits.
    """

    found: Subspaces
    material: Material
    groups: Tensor
    others: Sequence[Other] = ()

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
        if seed is not None:
            material = replace(material, job=replace(self.job, config=self.job.config | {"seed": seed}))
        return explainers.family(self.job.method).find(self.job.method, material).to(torch.device("cpu"))


class Draw(NamedTuple):
    """Subspaces to compare with; `alignment` is NaN where no channels had to be aligned."""

    name: str
    found: Subspaces
    alignment: float = math.nan


def compared(fitted: Fitted, level: float) -> Iterator[list[Any]]:
    """Yield the rows of one class in the order of ``COLUMNS``; `level` is the affinity of random subspaces."""
    for kind in kinds(fitted.job.method):
        for draw in KINDS[kind].draws(fitted):
            values = matched(affinity(fitted.found, draw.found))
            log.info("%s, %s %s: affinity %.3f, random %.3f", fitted.cls, kind, draw.name, values.mean(), level)
            alignment = "" if math.isnan(draw.alignment) else draw.alignment
            for concept, value in enumerate(values.tolist(), start=1):
                yield [fitted.cls, concept, kind, draw.name, value, level, alignment]


def seeds(fitted: Fitted) -> Iterator[Draw]:
    """Fit to the same pairs from other seeds."""
    for draw in fitted.draws:
        yield Draw(str(draw), fitted.again(seed=fitted.job.seed("stability", draw)))


def bootstraps(fitted: Fitted) -> Iterator[Draw]:
    """Fit, from the same seed, to the pairs of groups of clips drawn with replacement."""
    for draw in fitted.draws:
        seed = fitted.job.seed("bootstrap", draw, fitted.cls)
        yield Draw(str(draw), fitted.again(resampled(fitted.groups, torch.Generator().manual_seed(seed))))


def splits(fitted: Fitted) -> Iterator[Draw]:
    """Take what other splits came to."""
    for other in fitted.others:
        yield Draw(other.split, other.bases[fitted.cls], other.alignment)


class Kind(NamedTuple):
    """Some draws, and which of ``seed`` and ``pairs`` they change."""

    changes: str
    draws: Callable[[Fitted], Iterator[Draw]]


KINDS = {"seed": Kind("seed", seeds), "bootstrap": Kind("pairs", bootstraps), "split": Kind("pairs", splits)}


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


def other_split(
    layout: Layout,
    source: DataSet,
    model: Model,
    names: tuple[str, str],
    at: tuple[str, str, int],
    config: Mapping[str, Any],
) -> Other:
    """Align another split's network with this one on validation clips, and turn its subspaces alike.

    The clips are those of either split's validation that neither tests on.

    Parameters
    ----------
    layout, source
        The data set.
    model : Model
        This split's, on the device to compute on.
    names : tuple of str
        This split and the other one.
    at : tuple of (layer, method, K)
        Where the subspaces lie.
    config : mapping
        ``pairs`` (how many clips per class) and ``seed``.
    """
    split, name = names
    other = models.load(layout.model(name)).to(next(model.network.parameters()).device)
    parts = source.split(split), source.split(name)
    clips = np.setdiff1d(np.union1d(*(part.validation for part in parts)), np.union1d(*(part.test for part in parts)))
    recordings, targets = source.clips["recording"].to_numpy(), source.targets(clips).numpy()
    chosen = []
    for cls in source.classes:
        own = clips[targets == cls.index]
        seed = derive(config["seed"], "alignment", cls.slug)
        chosen.append(own[spread(recordings[own], config["pairs"]["clips"], seed)])
    rotation, alignment = aligned(model, other, source.logmel(np.concatenate(chosen)), at[0])
    log.info("%s: activations of %s align to a cosine of %.3f", split, name, alignment)
    folders = {cls.slug: layout.concept(name, *at, cls.slug) for cls in source.classes}
    bases = {cls: turned(basis.load(folder), rotation) for cls, folder in folders.items()}
    return Other(name, bases, alignment)


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

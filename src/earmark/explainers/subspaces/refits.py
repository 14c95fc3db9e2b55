"""Subspaces found again: from other starts, by other clips, in other networks.

Each set of subspaces is compared with those of other starts of the search (`seed`), of groups of training clips drawn
anew with replacement (`bootstrap`) and of networks trained on other splits (`split`). Beside it stands the objective
(eq. 2.19) on pairs from validation clips: what a fit owes to its own pairs only is lost there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from earmark.data.dataset import DataSet
from earmark.data.selection import spread
from earmark.explainers.subspaces import basis, drsa
from earmark.explainers.subspaces.affinity import affinity, matched
from earmark.explainers.subspaces.alignment import aligned, turned
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.fitting import find
from earmark.models import base as models
from earmark.seeds import derive
from earmark.statistics import ALL, Clusters, percentiles, resampled_counts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)

USED = {"pca": ("pairs",), "prca": ("pairs",), "random": ("seed",)}
"""What a method's result depends on, where not on both: a kind that changes nothing of it is not drawn."""


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
    activations, contexts : Tensor [N, D]
        The pairs, on the device that fits are computed on.
    groups : Tensor [N]
        Group of each pair's clip.
    method, cls : str
        Of `fit`.
    config : mapping
        ``fit``, ``stability``, ``seed``.
    others : sequence of Other
        Other splits.
    """

    found: Subspaces
    activations: Tensor
    contexts: Tensor
    groups: Tensor
    method: str
    cls: str
    config: dict[str, Any]
    others: Sequence[Other] = ()

    @property
    def draws(self) -> range:
        """Numbers of the draws."""
        return range(1, self.config["stability"]["draws"] + 1)

    def again(self, rows: Tensor | None = None, seed: int | None = None) -> Subspaces:
        """Fit to some of the pairs, named by their rows, or from another seed."""
        chosen = slice(None) if rows is None else rows.to(self.activations.device)
        config = self.config if seed is None else self.config | {"seed": seed}
        pairs = self.activations[chosen], self.contexts[chosen]
        return find(*pairs, self.method, self.found.n_subspaces, config, self.cls).to(torch.device("cpu"))


class Draw(NamedTuple):
    """Subspaces to compare with; `alignment` is NaN where no channels had to be aligned."""

    name: str
    found: Subspaces
    alignment: float = math.nan


def compared(fitted: Fitted, level: float) -> Iterator[list[Any]]:
    """Yield the rows of one class in the order of ``COLUMNS``; `level` is the affinity of random subspaces."""
    for kind in kinds(fitted.method):
        for draw in KINDS[kind].draws(fitted):
            values = matched(affinity(fitted.found, draw.found))
            log.info("%s, %s %s: affinity %.3f, random %.3f", fitted.cls, kind, draw.name, values.mean(), level)
            alignment = "" if math.isnan(draw.alignment) else draw.alignment
            for concept, value in enumerate(values.tolist(), start=1):
                yield [fitted.cls, concept, kind, draw.name, value, level, alignment]


def seeds(fitted: Fitted) -> Iterator[Draw]:
    """Fit to the same pairs from other seeds."""
    for draw in fitted.draws:
        yield Draw(str(draw), fitted.again(seed=derive(fitted.config["seed"], "stability", draw)))


def bootstraps(fitted: Fitted) -> Iterator[Draw]:
    """Fit, from the same seed, to the pairs of groups of clips drawn with replacement."""
    for draw in fitted.draws:
        seed = derive(fitted.config["seed"], "bootstrap", draw, fitted.cls)
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
    used = USED.get(method.split("~")[0], ("seed", "pairs"))
    return [name for name, kind in KINDS.items() if kind.changes in used]


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
    network: nn.Sequential,
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
    network : nn.Sequential
        This split's, on the device to compute on.
    names : tuple of str
        This split and the other one.
    at : tuple of (layer, method, K)
        Where the subspaces lie.
    config : mapping
        ``pairs`` (how many clips per class) and ``seed``.
    """
    split, name = names
    other = models.load(layout.model(name))[0].to(next(network.parameters()).device)
    parts = source.split(split), source.split(name)
    clips = np.setdiff1d(np.union1d(*(part.validation for part in parts)), np.union1d(*(part.test for part in parts)))
    recordings, targets = source.clips["recording"].to_numpy(), source.targets(clips).numpy()
    chosen = []
    for cls in source.classes:
        own = clips[targets == cls.index]
        seed = derive(config["seed"], "alignment", cls.slug)
        chosen.append(own[spread(recordings[own], config["pairs"]["clips"], seed)])
    rotation, alignment = aligned(network, other, source.logmel(np.concatenate(chosen)), at[0])
    log.info("%s: activations of %s align to a cosine of %.3f", split, name, alignment)
    files = {cls.slug: layout.concept(name, *at, cls.slug) / "subspaces.safetensors" for cls in source.classes}
    bases = {cls: turned(basis.load(path), rotation) for cls, path in files.items()}
    return Other(name, bases, alignment)


class Objectives:
    """The objective on training and on held-out pairs, class by class, and its interval over groups of clips.

    Parameters
    ----------
    classes : list of str
        C slugs.
    n_channels : int
        ``D``.
    """

    def __init__(self, classes: list[str], n_channels: int) -> None:
        self.classes, self.n_channels = classes, n_channels
        self.training: list[float] = []
        self.held_out: list[float] = []
        self.counts: list[tuple[int, int]] = []
        self.terms: list[NDArray[np.float64]] = []
        self.groups: list[NDArray[Any]] = []

    def add(self, fitted: Fitted, pairs: Mapping[str, Tensor], source: DataSet) -> None:
        """Evaluate the next class on its training pairs and on held-out ones, of which there may be none."""
        self.training.append(normalised_objective(fitted.found, fitted.activations.cpu(), fitted.contexts.cpu()))
        if not pairs:
            self.held_out.append(math.nan)
            self.counts.append((0, 0))
            return
        vectors = pairs["activations"], pairs["contexts"]
        self.held_out.append(normalised_objective(fitted.found, *vectors))
        self.counts.append((len(pairs["clip"].unique()), len(pairs["clip"])))
        self.terms.append(terms(fitted.found, *vectors))
        self.groups.append(source.clips["group"].to_numpy(str)[pairs["clip"].numpy()])

    def rows(self, draws: int, seed: int) -> list[list[Any]]:
        """Write a row per class and one for their mean, in the order of ``HELD_OUT_COLUMNS``; unknown is empty."""
        known = [place for place, value in enumerate(self.held_out) if math.isfinite(value)]
        low, high = np.full((2, len(self.classes) + 1), np.nan)
        if known:
            strata = np.repeat(known, [len(part) for part in self.terms])
            clusters = Clusters.of(np.concatenate(self.groups), strata)
            bounds = interval(np.concatenate(self.terms), clusters, self.n_channels, draws, seed)
            low[[*known, -1]], high[[*known, -1]] = bounds
        training, held_out = (
            [*part, np.mean([part[place] for place in known] or [math.nan])] for part in (self.training, self.held_out)
        )
        counts = [*self.counts, tuple(map(sum, zip(*self.counts, strict=True)))]
        columns = zip([*self.classes, ALL], training, held_out, low, high, counts, strict=True)
        return [
            [cls, *("" if math.isnan(value) else float(value) for value in values), *count]
            for cls, *values, count in columns
        ]


def normalised_objective(found: Subspaces, activations: Tensor, contexts: Tensor) -> float:
    """Evaluate eq. 2.19 on pairs ``[N, D]`` after normalising them (eq. 3.4)."""
    pairs = drsa.normalise(activations), drsa.normalise(contexts)
    return float(drsa.objective(*pairs, found.basis, found.n_subspaces))


def terms(found: Subspaces, activations: Tensor, contexts: Tensor) -> NDArray[np.float64]:
    """Return what eq. 2.19 on normalised pairs sums over the pairs, ``[N, K + 3]``.

    Columns: squared positive relevance of each subspace, squares of activations and of contexts, 1.
    """
    squares = found.relevance(activations, contexts).clamp_min(0).square()  # [N, K]
    energies = [vectors.square().sum(dim=1, keepdim=True) for vectors in (activations, contexts)]
    return torch.cat([squares, *energies, torch.ones(len(squares), 1)], dim=1).double().numpy()


def pooled(sums: ArrayLike, n_channels: int) -> NDArray[np.float64]:
    """Evaluate eq. 2.19 from sums ``[..., K + 3]`` of :func:`terms`; NaN where they are sums of nothing."""
    table = np.asarray(sums, dtype=float)
    squares, energies, counts = table[..., :-3], table[..., -3:-1], table[..., -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        scales = energies / (counts * n_channels) * math.sqrt(n_channels)  # of eq. 3.4, squared
        quadratic = np.sqrt(squares / counts / scales.prod(axis=-1, keepdims=True))  # [..., K]
        return np.sqrt(quadratic).mean(axis=-1) ** 2


def interval(
    table: NDArray[np.float64], clusters: Clusters, n_channels: int, draws: int, seed: int, level: float = 0.95
) -> NDArray[np.float64]:
    """Bound the held-out objective of C classes and its mean by resampling whole groups.

    Parameters
    ----------
    table : array [N, K + 3]
        :func:`terms` of all classes' pairs.
    clusters : Clusters
        Group and class of the N pairs.
    n_channels : int
        ``D``.
    draws, seed : int
        Of the resampling.
    level : float
        Coverage.

    Returns
    -------
    array [2, C + 1]
        Lower and upper bounds, the mean's last; NaN where fewer than two groups speak.
    """
    if clusters.n_groups < 2:
        return np.full((2, clusters.n_strata + 1), np.nan)
    sums = clusters.sums(table)  # [G, C, K + 3]
    values = pooled(np.tensordot(resampled_counts(clusters, draws, seed), sums, axes=1), n_channels)  # [draws, C]
    single = (sums[..., -1] > 0).sum(axis=0) < 2  # [C]
    values[:, single] = np.nan
    every = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)  # [draws, C + 1]
    known = np.isfinite(every).any(axis=0)
    bounds = np.full((2, every.shape[1]), np.nan)
    bounds[:, known] = percentiles(every[:, known], level)
    return bounds

"""Stage ``stability``: whether a layer's subspaces are found again when what should not matter changes.

Each set of subspaces is compared with those of other starts of the search (`seed`), of groups of training clips drawn
anew with replacement (`bootstrap`) and of networks trained on other splits (`split`). How alike two subspaces of
dimension d are is their affinity ``|U_k' V_l|_F^2 / d``: the mean squared cosine of their principal angles, 1 for equal
ones. Subspaces are paired so that the sum of affinities is greatest. Random ones are then alike to some degree as
well, the more the fewer there are: that expectation stands beside every value.

Beside it the objective (eq. 2.19) on pairs from validation clips: what a fit owes to its own pairs only is lost there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from earmark import artifacts, collect, data, drsa, fit, lrp, model, subspaces
from earmark.layout import Layout
from earmark.progress import Progress
from earmark.seeds import derive
from earmark.selection import spread
from earmark.statistics import ALL, Clusters, percentiles, resampled_counts
from earmark.subspaces import Subspaces

log = logging.getLogger(__name__)

COLUMNS = ("cls", "concept", "kind", "draw", "affinity", "random", "alignment")
HELD_OUT_COLUMNS = ("cls", "training", "held_out", "low", "high", "clips", "pairs")

USED = {"pca": ("pairs",), "prca": ("pairs",), "random": ("seed",)}
"""What a method's result depends on, where not on both: a kind that changes nothing of it is not drawn."""

RANDOM_PAIRS = 200
"""Random bases behind the expectation."""

CLIPS = 64
"""Clips that pass through both networks at once to be aligned; bounds memory and decides nothing else."""


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
        return fit.find(*pairs, self.method, self.found.n_subspaces, config, self.cls).to(torch.device("cpu"))


class Draw(NamedTuple):
    """Subspaces to compare with; `alignment` is NaN where no channels had to be aligned."""

    name: str
    found: Subspaces
    alignment: float = math.nan


def run(
    results: Path, dataset: str, config: dict[str, Any], *, split: str, layer: str, method: str, k: int, gpu: int
) -> None:
    """Write ``stability.csv`` and ``held_out.csv``.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``lrp``, ``pairs``, ``fit``, ``evaluate.bootstrap``, ``stability``, ``seed``.
    split, layer, method, k
        Coordinates of the subspaces.
    gpu : int
        0: on the CPU.
    """
    layout = Layout(results, dataset)
    device = model.device(gpu)
    network = model.load(layout.model(split))[0].to(device)
    source = data.open_dataset(layout)
    rules = lrp.rules_from_config({"lrp": config["lrp"]})
    names = [name for name in config["stability"]["splits"] if name != split and "split" in kinds(method)]
    others = [other_split(layout, source, network, (split, name), (layer, method, k), config) for name in names]
    found = {
        cls.slug: subspaces.load(layout.concept(split, layer, method, k, cls.slug) / "subspaces.safetensors")
        for cls in source.classes
    }
    size = len(found[source.classes[0].slug].basis)
    groups = torch.from_numpy(np.unique(source.clips["group"].to_numpy(str), return_inverse=True)[1])
    level = expected_affinity(size, k, derive(config["seed"], "affinity", size, k))
    progress = Progress(f"stability {dataset}/{split}/{layer}/{method}/K~{k}", len(source.classes))
    rows: list[list[Any]] = []
    objectives = Objectives([cls.slug for cls in source.classes], size)
    for done, cls in enumerate(source.classes, start=1):
        pairs, _ = artifacts.read_tensors(layout.pairs(split, layer, cls.slug))
        vectors = pairs["activations"].to(device), pairs["contexts"].to(device)
        fitted = Fitted(found[cls.slug], *vectors, groups[pairs["clip"]], method, cls.slug, config, others)
        rows += compared(fitted, level)
        validation = source.split(split).validation
        held_out = collect.pairs_of(network, source, validation, cls, layer, rules, config)
        objectives.add(fitted, held_out, source)
        progress(done, cls.slug)

    made, folder = artifacts.provenance(config, str(device)), layout.method(split, layer, method, k)
    artifacts.write_csv(folder / "stability.csv", COLUMNS, rows, made)
    summary = objectives.rows(config["evaluate"]["bootstrap"], derive(config["seed"], "held out"))
    artifacts.write_csv(folder / "held_out.csv", HELD_OUT_COLUMNS, summary, made)


def compared(fitted: Fitted, level: float) -> Iterator[list[Any]]:
    """Yield the rows of one class in the order of ``COLUMNS``; `level` is the affinity of random subspaces."""
    for kind in kinds(fitted.method):
        for draw in KINDS[kind].draws(fitted):
            values = matched(affinity(fitted.found, draw.found))
            log.info("%s, %s %s: affinity %.3f, random %.3f", fitted.cls, kind, draw.name, values.mean(), level)
            alignment = "" if math.isnan(draw.alignment) else draw.alignment
            for concept, value in enumerate(values.tolist(), start=1):
                yield [fitted.cls, concept, kind, draw.name, value, level, alignment]


def affinity(first: Subspaces, second: Subspaces) -> Tensor:
    """Compare each of K subspaces with each of another basis: ``|U_k' V_l|_F^2 / d``, ``[K, K]`` in [0, 1].

    It does not change when a basis is rotated inside its subspaces.
    """
    count = first.n_subspaces
    size = len(first.basis) // count  # d
    products = first.basis.double().T @ second.basis.double()  # [D, D]
    return products.square().view(count, size, count, size).sum(dim=(1, 3)) / size


def matched(affinities: Tensor) -> Tensor:
    """Pair subspaces so that the sum of their affinities ``[K, K]`` is greatest; each first one's value, ``[K]``."""
    rows, columns = linear_sum_assignment(affinities.numpy(), maximize=True)
    return affinities[torch.from_numpy(rows), torch.from_numpy(columns)]


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
        The same for every concept, and for subspaces that were rotated as a whole: the law is that of all rotations
        alike, so that one of the two bases may as well be fixed.
    """
    generator = torch.Generator().manual_seed(seed)
    axes = Subspaces(torch.eye(n_channels, dtype=torch.float64), n_subspaces)
    drawn = (Subspaces(subspaces.random_orthogonal(n_channels, generator), n_subspaces) for _ in range(RANDOM_PAIRS))
    return float(torch.stack([matched(affinity(axes, other)) for other in drawn]).mean())


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
    source: data.DataSet,
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
    other = model.load(layout.model(name))[0].to(next(network.parameters()).device)
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
    bases = {cls: turned(subspaces.load(path), rotation) for cls, path in files.items()}
    return Other(name, bases, alignment)


def aligned(network: nn.Sequential, other: nn.Sequential, inputs: Tensor, layer: str) -> tuple[Tensor, float]:
    """Align another network's channels with this one's.

    Parameters
    ----------
    network, other : nn.Sequential
        Of one architecture and on one device.
    inputs : Tensor [B, 1, F, T]
        What both look at; every position of the layer's grid counts.
    layer : str
        Where.

    Returns
    -------
    rotation : Tensor [D, D]
        Orthogonal (float64); takes the other's activations, as rows, nearest to this one's.
    alignment : float
        Cosine between both after that; 0 if a network is silent.
    """
    lowers = [model.split_at(net, layer)[0] for net in (network, other)]
    device = next(network.parameters()).device
    crosses, energies = [], []
    with torch.inference_mode():
        for part in inputs.split(CLIPS):
            ours, theirs = (lower(part.to(device)).movedim(1, -1).flatten(0, 2).double() for lower in lowers)  # [n, D]
            crosses.append(theirs.T @ ours)
            energies.append(torch.stack([ours.square().sum(), theirs.square().sum()]))
    return procrustes(torch.stack(crosses).sum(dim=0).cpu(), *torch.stack(energies).sum(dim=0).tolist())


def procrustes(cross: Tensor, energy: float, other_energy: float) -> tuple[Tensor, float]:
    """Solve the orthogonal Procrustes problem (Schönemann 1966).

    Parameters
    ----------
    cross : Tensor [D, D]
        ``B'A`` of rows A and B.
    energy, other_energy : float
        Sums of squares of A and of B.

    Returns
    -------
    rotation : Tensor [D, D]
        The orthogonal Q with the smallest ``|A - B Q|_F``.
    cosine : float
        Between A and ``B Q``.
    """
    left, values, right = torch.linalg.svd(cross)
    norms = math.sqrt(energy * other_energy)
    return left @ right, float(values.sum()) / norms if norms else 0.0


def turned(found: Subspaces, rotation: Tensor) -> Subspaces:
    """Express subspaces of a network in the channels of another, which `rotation` [D, D] takes its rows to."""
    return replace(found, basis=rotation.T @ found.basis.double())


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

    def add(self, fitted: Fitted, pairs: Mapping[str, Tensor], source: data.DataSet) -> None:
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

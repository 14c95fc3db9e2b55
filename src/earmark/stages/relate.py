"""Stage ``relate``: which concepts networks of other data sets find too, in clips that both recognise.

Architecture, front end, labels and training may all be others. What is the same are the recordings: heatmaps of the
same clips are laid on one grid of time and frequency, where concepts are compared by where their relevance lies.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED, Chosen
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.shared import shared_clips
from earmark.explainers import explanation
from earmark.explainers.subspaces.alignment import Grouped, random_heatmaps, spread
from earmark.job import Job
from earmark.lrp.rules import Rules, from_config
from earmark.metrics.correlation import TERMS
from earmark.models import base as models
from earmark.models.base import Network
from earmark.plan.methods import in_common
from earmark.sound.common import Common
from earmark.store import artifacts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)

COLUMNS = (
    *("cls", "other", "layer", "other_layer", "method", "k", "concept", "level", "group", "clips", "cells"),
    *(f"{kind}_{term}" for kind in ("found", "random") for term in TERMS),
)

CELLS = 2**25
"""Cells of concepts that are held at once; bounds memory and decides nothing else."""

DRAWS = 20
"""Draws of random subspaces of the other network."""


@dataclass(frozen=True)
class Side:
    """One of two data sets whose networks are compared.

    Attributes
    ----------
    source : DataSet
        Its clips.
    classes : dict of str to ClassInfo
        Those that it explains, by slug.
    choice : Chosen
        The clips that it explains.
    split : str
        Which network.
    layers, methods : sequence of str
        Of its grid; the methods of both grids.
    common : Common
        The grid that its heatmaps are laid on.
    """

    source: DataSet
    classes: dict[str, ClassInfo]
    choice: Chosen
    split: str
    layers: Sequence[str]
    methods: Sequence[str]
    common: Common

    @property
    def places(self) -> list[tuple[str, str]]:
        """Layers and methods, layer by layer."""
        return list(product(self.layers, self.methods))

    def recognises(self, clips: NDArray[np.int64], cls: str) -> NDArray[np.bool_]:
        """Say which of some clips it recognises and explains as a class."""
        return np.isin(clips, self.choice.clips(cls, SCORED))

    def concepts(self, clips: NDArray[np.int64], cls: str, k: int) -> list[Tensor]:
        """Read the heatmaps ``[n, K, *grid]`` of every place."""
        paths = [self.source.layout.concept(self.split, *place, k, cls) / explanation.NAME for place in self.places]
        return [explanation.read(path).of(clips.tolist()).heatmaps for path in paths]

    def rows(self, heatmaps: Sequence[Tensor]) -> Tensor:
        """Lay heatmaps ``[n, K, *grid]`` on the common grid, all concepts one after the other: ``[P, n, cells]``."""
        laid = [self.common.laid(self.source.frontend, maps.clamp_min(0)) for maps in heatmaps]
        return torch.cat([spread(maps).view(maps.shape[1], len(maps), -1) for maps in laid])


@dataclass(frozen=True)
class Other:
    """What random subspaces of the other network are drawn with: its model and its rules."""

    model: Network
    rules: Rules

    def concepts(self, side: Side, clips: NDArray[np.int64], cls: str, k: int, seeds: Sequence[int]) -> list[Tensor]:
        """Explain clips by random subspaces of every layer, ``[n, K, *grid]`` per layer and draw."""
        inputs = side.source.inputs(clips).to(next(self.model.network.parameters()).device)
        targets = torch.full((len(clips),), side.classes[cls].index, device=inputs.device)
        return [
            maps
            for layer in side.layers
            for maps in random_heatmaps(self.model, inputs, targets, layer, k, self.rules, seeds)
        ]


def run(job: Job) -> None:
    """Write ``beside.csv``: sums that correlations are made of, a row per pair of layers, concept and group of clips.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``evaluate.beside``, ``explain.classes``, ``seed``; of ``others``, by data set:
        ``lrp``, ``grid``, ``explain.classes``.

    Raises
    ------
    EarmarkError
        If a front end does not say where its cells lie.
    """
    rows: list[tuple[Any, ...]] = []
    for name in job.config["evaluate"]["beside"]:
        block, layout = job.config["others"][name], Layout(job.results, name)
        methods, ks = in_common(job.config["grid"], block["grid"])
        sources = dataset.of(job), dataset.open_dataset(layout)
        common = Common.of(sources[0].frontend, sources[1].frontend)
        own, other = (
            Side(
                source,
                {cls.slug: cls for cls in dataset.explained(of, source)},
                chosen.read(source.layout, job.split),
                job.split,
                of["grid"]["layers"],
                methods,
                common,
            )
            for source, of in zip(sources, (job.config, block), strict=True)
        )
        model = models.load(layout.model(job.split)).to(models.device(job.gpu))
        there = Other(model, from_config({"lrp": block["lrp"]}))
        pairs = shared_clips(*sources)  # [n, 2]
        asked = [(cls, k) for cls in own.classes if cls in other.classes for k in ks]
        progress = job.progress(len(asked), name)
        for done, (cls, k) in enumerate(asked, start=1):
            clips = pairs[own.recognises(pairs[:, 0], cls) & other.recognises(pairs[:, 1], cls)]
            if len(clips):
                seeds = [job.seed("beside", name, cls, k, draw) for draw in range(DRAWS)]
                rows += ((cls, name, *told) for told in compared(own, other, there, clips, cls, k, seeds))
            else:
                log.warning("%s: no clip is recognised here and in %s", cls, name)
            progress(done, f"{cls}, K = {k}")
    artifacts.write_csv(job.layout.beside(job.split), COLUMNS, rows, job.made)


def compared(
    own: Side, other: Side, there: Other, clips: NDArray[np.int64], cls: str, k: int, seeds: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """Compare every concept with the other network's by the same method, and with random subspaces of that.

    Parameters
    ----------
    own, other, there
        The two sides, and what the other one draws random subspaces with.
    clips : array of int [n, 2]
        Rows of both clip indices.
    cls, k
        Class and number of concepts.
    seeds : sequence of int
        Of the draws.

    Yields
    ------
    tuple
        In the order of ``COLUMNS``, from the layer on.
    """
    found = Grouped()
    groups = own.source.clips["group"].to_numpy(str)[clips[:, 0]]
    concepts = k * (len(own.places) + len(other.places) + len(other.layers) * len(seeds))
    at_once = max(1, CELLS // (concepts * own.common.cells))
    for some in np.array_split(np.arange(len(clips)), -(-len(clips) // at_once)):
        ours, theirs = clips[some].T
        drawn = there.concepts(other, theirs, cls, k, seeds)
        rows = own.rows(own.concepts(ours, cls, k)), other.rows([*other.concepts(theirs, cls, k), *drawn])
        found.add(*rows, groups[some])
    for place, (layer, method) in enumerate(own.places):
        for number, other_layer in enumerate(other.layers):
            counterpart = other.places.index((other_layer, method))
            first = len(other.places) + number * len(seeds)
            matched, random, level = found.matched(place, counterpart, range(first, first + len(seeds)), k)
            for concept in range(k):
                about = layer, other_layer, method, k, concept + 1, float(level[concept])
                for group, (count, cells) in found.sizes.items():
                    terms = *matched[group][concept].tolist(), *random[group][concept].tolist()
                    yield (*about, group, count, cells, *terms)

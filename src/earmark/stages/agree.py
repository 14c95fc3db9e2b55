"""Stage ``agree``: which concepts of a layer other networks find too, on clips that all of them recognise."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED
from earmark.data.dataset import ClassInfo, DataSet
from earmark.explainers import explanation
from earmark.explainers.subspaces.affinity import matched
from earmark.explainers.subspaces.alignment import LEVEL, Correlations, random_concepts, spread
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.models.base import Network
from earmark.plan import datasets
from earmark.plan.methods import method_of
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "method", "network", "other", "concept", "correlation", "random", "level", "clips")

CELLS = 2**25
"""Cells of concepts that are held at once; bounds memory and decides nothing else."""

DRAWS = 20
"""Draws of random subspaces of each network."""


def run(job: Job) -> None:
    """Write ``agreement/K~{k}.csv``: a row per class, method, pair of networks and concept of the first.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``grid``, ``networks``, ``seed``.
    """
    source, splits = dataset.of(job), datasets.networks(job.config)
    methods = [name for name in job.config["grid"]["methods"] if method_of(name).has_basis]
    choices = [chosen.read(job.layout, split) for split in splits]
    device = models.device(job.gpu)
    opened = {split: models.load(job.layout.model(split)).to(device) for split in splits}
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(classes, start=1):
        # that every network recognises and explains
        clips = functools.reduce(np.intersect1d, [choice.clips(cls.slug, SCORED) for choice in choices])
        if len(clips):
            rows += compared(job, source, cls, clips, methods, opened)
        else:
            log.warning("%s: no clip is recognised by all %d networks", cls.slug, len(splits))
        progress(done, cls.slug)
    artifacts.write_csv(job.layout.agreement(job.split, job.layer, job.k), COLUMNS, rows, job.made)


def compared(
    job: Job,
    source: DataSet,
    cls: ClassInfo,
    clips: NDArray[np.int64],
    methods: Sequence[str],
    networks: Mapping[str, Network],
) -> Iterator[tuple[Any, ...]]:
    """Compare every method's concepts of all networks with each other, and with random subspaces of the other network.

    Parameters
    ----------
    job, source, cls, clips
        Layer and K, the data set, the class, and its clips that all networks recognise.
    methods : sequence of str
        That have subspaces.
    networks : mapping of str to Network
        By split.

    Yields
    ------
    tuple
        In the order of ``COLUMNS``.
    """
    keys = [(name, split) for name in methods for split in networks]  # Q
    alike, by_chance = Correlations(), {split: Correlations() for split in networks}
    rules = from_config({"lrp": job.config["lrp"]})
    at_once = max(1, CELLS // (len(keys) * job.k * math.prod(next(iter(networks.values())).frontend.grid)))
    for some in np.array_split(clips, -(-len(clips) // at_once)):
        concepts = torch.cat([_concepts(job, split, name, cls, some) for name, split in keys])  # [Q K, m]
        alike.add(concepts, concepts)
        for split, model in networks.items():
            inputs = source.inputs(some).to(next(model.network.parameters()).device)
            targets = torch.full((len(some),), cls.index, device=inputs.device)
            seeds = [job.seed("agreement", split, cls.slug, draw) for draw in range(DRAWS)]
            drawn = random_concepts(model, inputs, targets, job.layer, job.k, rules, seeds)  # [draws, K, m]
            by_chance[split].add(concepts, drawn.flatten(0, 1))
    own = alike.values.view(len(keys), job.k, len(keys), job.k)
    chance = {split: found.values.view(len(keys), job.k, DRAWS, job.k) for split, found in by_chance.items()}
    for place, (name, split) in enumerate(keys):
        for other in (other for other in networks if other != split):
            values = matched(own[place, :, keys.index((name, other))])  # [K]
            at_random = torch.stack([matched(chance[other][place, :, draw]) for draw in range(DRAWS)])  # [draws, K]
            level = torch.quantile(at_random, LEVEL, dim=0)
            for concept, told in enumerate(zip(values, at_random.mean(dim=0), level, strict=True), start=1):
                yield (cls.slug, name, split, other, concept, *map(float, told), len(clips))


def _concepts(job: Job, split: str, method: str, cls: ClassInfo, clips: NDArray[np.int64]) -> Tensor:
    """Read one network's concepts on some clips, cell by cell ``[K, m]``."""
    known = explanation.read(job.layout.concept(split, job.layer, method, job.k, cls.slug) / explanation.NAME)
    return spread(known.of(clips.tolist()).heatmaps)

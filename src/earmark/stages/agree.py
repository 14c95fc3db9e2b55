"""Stage ``agree``: which concepts of a layer other networks find too, on clips that all of them recognise."""

from __future__ import annotations

import functools
import logging
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
from earmark.explainers.subspaces.alignment import Correlations, random_concepts, spread
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.plan.datasets import networks
from earmark.plan.methods import method_of
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "method", "network", "other", "concept", "correlation", "random", "level", "clips")

Key = tuple[str, str]
"""A method, and the split of a network."""

CLIPS = 32
"""Clips compared at once; bounds memory and decides nothing else."""

DRAWS = 20
"""Draws of random subspaces of each network."""

LEVEL = 0.95
"""A concept is found again whose correlation is above this quantile of its correlations with random subspaces."""


def run(job: Job) -> None:
    """Write ``agreement/K~{k}.csv``: a row per class, method, pair of networks and concept of the first.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``grid``, ``networks``, ``seed``.
    """
    source, splits = dataset.of(job), networks(job.config)
    methods = [name for name in job.config["grid"]["methods"] if method_of(name).has_basis]
    progress = job.progress(len(source.classes) * len(splits))
    rows: list[tuple[Any, ...]] = []
    for number, cls in enumerate(source.classes):
        clips = common_clips(job, splits, cls)
        if not len(clips):
            log.warning("%s: no clip is recognised by all %d networks", cls.slug, len(splits))
            continue
        for done, other in enumerate(splits, start=1):
            keys = [(name, split) for name in methods for split in splits if split != other]
            own, chance = compared(job, source, cls, clips, keys, other)
            for (name, split), values in own.items():
                at_random = chance[name, split]  # [draws, K]
                level = torch.quantile(at_random, LEVEL, dim=0)
                for concept, told in enumerate(zip(values, at_random.mean(dim=0), level, strict=True), start=1):
                    rows.append((cls.slug, name, split, other, concept, *map(float, told), len(clips)))
            progress(number * len(splits) + done, f"{cls.slug}, {other}")
    artifacts.write_csv(job.layout.agreement(job.split, job.layer, job.k), COLUMNS, rows, job.made)


def common_clips(job: Job, splits: list[str], cls: ClassInfo) -> NDArray[np.int64]:
    """List the clips of a class that every network recognises and explains, ascending."""
    scored = [chosen.read(job.layout, split).clips(cls.slug, SCORED) for split in splits]
    return functools.reduce(np.intersect1d, scored)


def compared(
    job: Job, source: DataSet, cls: ClassInfo, clips: NDArray[np.int64], keys: list[Key], other: str
) -> tuple[dict[Key, Tensor], dict[Key, Tensor]]:
    """Compare concepts of several networks with those of another one, and with random subspaces of it.

    Parameters
    ----------
    job, source, cls, clips
        Layer and K, the data set, the class, and its clips that all networks recognise.
    keys : list of (str, str)
        Methods, and the splits of the networks.
    other : str
        The split of the other network.

    Returns
    -------
    own : dict of Tensor [K]
        Each concept's correlation with its counterpart by the same method.
    chance : dict of Tensor [draws, K]
        With its counterpart among random subspaces.
    """
    device = models.device(job.gpu)
    model = models.load(job.layout.model(other)).to(device)
    rules = from_config({"lrp": job.config["lrp"]})
    seeds = [job.seed("agreement", other, cls.slug, draw) for draw in range(DRAWS)]
    own, chance = {key: Correlations() for key in keys}, {key: Correlations() for key in keys}
    for some in np.array_split(clips, max(1, -(-len(clips) // CLIPS))):
        inputs = source.logmel(some).to(device)
        targets = torch.full((len(some),), cls.index, device=device)
        drawn = random_concepts(model, inputs, targets, job.layer, job.k, rules, seeds).flatten(0, 1)  # [draws K, m]
        theirs = {name: _concepts(job, other, name, cls, some) for name in dict.fromkeys(name for name, _ in keys)}
        for name, split in keys:
            concepts = _concepts(job, split, name, cls, some)
            own[name, split].add(concepts, theirs[name])
            chance[name, split].add(concepts, drawn)
    by_draw = {key: found.values.unflatten(1, (DRAWS, job.k)).unbind(dim=1) for key, found in chance.items()}
    return (
        {key: matched(found.values) for key, found in own.items()},
        {key: torch.stack([matched(values) for values in draws]) for key, draws in by_draw.items()},
    )


def _concepts(job: Job, split: str, method: str, cls: ClassInfo, clips: NDArray[np.int64]) -> Tensor:
    """Read one network's concepts on some clips, cell by cell ``[K, m]``."""
    known = explanation.read(job.layout.concept(split, job.layer, method, job.k, cls.slug) / explanation.NAME)
    return spread(known.of(clips.tolist()).heatmaps)

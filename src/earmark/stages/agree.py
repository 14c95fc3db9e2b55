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
from earmark.data.dataset import ClassInfo
from earmark.explainers import explanation
from earmark.explainers.subspaces.affinity import matched
from earmark.explainers.subspaces.alignment import correlations, random_concepts, standardised
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
        found = {(name, split): _concepts(job, split, name, cls, clips) for name in methods for split in splits}
        for done, other in enumerate(splits, start=1):
            chance = _chance(job, source.logmel(clips), other, cls, found)
            for (name, split), concepts in found.items():
                if split != other:
                    values = matched(correlations(concepts, found[name, other]))  # [K]
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


def _concepts(job: Job, split: str, method: str, cls: ClassInfo, clips: NDArray[np.int64]) -> Tensor:
    """Read one network's concepts on some clips, ready to be compared."""
    known = explanation.read(job.layout.concept(split, job.layer, method, job.k, cls.slug) / explanation.NAME)
    return standardised(known.of(clips.tolist()).heatmaps)


def _chance(job: Job, inputs: Tensor, split: str, cls: ClassInfo, found: dict[Key, Tensor]) -> dict[Key, Tensor]:
    """Correlate concepts with random subspaces of a network, ``[draws, K]`` each."""
    device = models.device(job.gpu)
    model = models.load(job.layout.model(split)).to(device)
    targets = torch.full((len(inputs),), cls.index, device=device)
    seeds = [job.seed("agreement", split, cls.slug, draw) for draw in range(DRAWS)]
    rules = from_config({"lrp": job.config["lrp"]})
    drawn = random_concepts(model, inputs.to(device), targets, job.layer, job.k, rules, seeds)
    by_draw = [[matched(correlations(concepts, one)) for concepts in found.values()] for one in drawn]
    return {key: torch.stack(values) for key, *values in zip(found, *by_draw, strict=True)}

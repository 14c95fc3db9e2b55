"""Stage ``stability``: whether a layer's subspaces are found again when what should not matter changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from earmark.data import predictions
from earmark.data.dataset import open_dataset
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.affinity import expected_affinity
from earmark.explainers.subspaces.pairs import pairs_of
from earmark.explainers.subspaces.refits import Fitted, Objectives, compared, kinds, other_split
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.store import artifacts

COLUMNS = ("cls", "concept", "kind", "draw", "affinity", "random", "alignment")

HELD_OUT_COLUMNS = ("cls", "training", "held_out", "low", "high", "clips", "pairs")


def run(job: Job) -> None:
    """Write ``stability.csv`` and ``held_out.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``pairs``, ``fit``, ``evaluate.bootstrap``, ``stability``, ``seed``.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    source, answered = open_dataset(job.layout), predictions.of(job)
    rules = from_config({"lrp": job.config["lrp"]})
    names = [name for name in job.config["stability"]["splits"] if name != job.split and "split" in kinds(job.method)]
    others = [
        other_split(job.layout, source, network, (job.split, name), (job.layer, job.method, job.k), job.config)
        for name in names
    ]
    found = {cls.slug: basis.load(job.of_class(cls.slug) / "subspaces.safetensors") for cls in source.classes}
    size = len(found[source.classes[0].slug].basis)
    groups = torch.from_numpy(np.unique(source.clips["group"].to_numpy(str), return_inverse=True)[1])
    level = expected_affinity(size, job.k, job.seed("affinity", size, job.k))
    progress = job.progress(len(source.classes))
    rows: list[list[Any]] = []
    objectives = Objectives([cls.slug for cls in source.classes], size)
    for done, cls in enumerate(source.classes, start=1):
        pairs, _ = artifacts.read_tensors(job.layout.pairs(job.split, job.layer, cls.slug))
        vectors = pairs["activations"].to(device), pairs["contexts"].to(device)
        fitted = Fitted(found[cls.slug], *vectors, groups[pairs["clip"]], job.method, cls.slug, job.config, others)
        rows += compared(fitted, level)
        known = answered.known(source, source.split(job.split).validation, cls)
        held_out = pairs_of(network, source, known, cls, job.layer, rules, job.config)
        objectives.add(fitted, held_out, source)
        progress(done, cls.slug)

    made, folder = job.made, job.folder
    artifacts.write_csv(folder / "stability.csv", COLUMNS, rows, made)
    summary = objectives.rows(job.config["evaluate"]["bootstrap"], job.seed("held out"))
    artifacts.write_csv(folder / "held_out.csv", HELD_OUT_COLUMNS, summary, made)

"""Stage ``stability``: whether a layer's subspaces are found again when what should not matter changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from earmark.data import dataset, predictions
from earmark.data.dataset import TRAINING, VALIDATION
from earmark.explainers import base as explainers
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.affinity import expected_affinity
from earmark.explainers.subspaces.pairs import Material, pairs_of
from earmark.explainers.subspaces.refits import Fitted, compared, sums
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.store import artifacts

COLUMNS = ("cls", "concept", "kind", "draw", "affinity", "random")

HELD_OUT_COLUMNS = ("cls", "set", "group", "clips", "pairs", "activations", "contexts", "products")
"""And the relevance of each concept; see :func:`earmark.explainers.subspaces.refits.sums`."""


def run(job: Job) -> None:
    """Write ``stability.csv`` and ``held_out.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``pairs``, ``explainers``, ``stability``, ``seed``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source, answered = dataset.of(job), predictions.of(job)
    rules = from_config({"lrp": job.config["lrp"]})
    classes = dataset.explained(job.config, source)
    found = {cls.slug: basis.load(job.of_class(cls.slug)) for cls in classes}
    size = len(found[classes[0].slug].basis)
    names_of_groups = source.clips["group"].to_numpy(str)
    groups = torch.from_numpy(np.unique(names_of_groups, return_inverse=True)[1])
    level = expected_affinity(size, job.k, job.seed("affinity", size, job.k))
    progress = job.progress(len(classes))
    rows: list[list[Any]] = []
    objectives: list[list[Any]] = []
    for done, cls in enumerate(classes, start=1):
        pairs, _ = artifacts.read_tensors(job.layout.pairs(job.split, job.layer, cls.slug))
        if not len(pairs["clip"]):
            progress(done, f"{cls.slug}: nothing was fitted")
            continue
        material = Material(job, cls, pairs["activations"].to(device), pairs["contexts"].to(device))
        members = pairs["clip"].numpy()
        if method_of(job.method).fitted_to == "clips":
            members = explainers.family(job.method).clips_of(material)
            material = replace(material, clips=members)
        fitted = Fitted(found[cls.slug], material, groups[members])
        rows += compared(fitted, level)
        known = answered.known(source, source.split(job.split).validation, cls)
        held_out = pairs_of(model, source, known, cls, job.layer, rules, job.config)
        for which, part in ((TRAINING, pairs), (VALIDATION, held_out)):
            clips = part["clip"].numpy()
            terms = sums(fitted.found, part["activations"], part["contexts"], clips, names_of_groups[clips])
            objectives += [[cls.slug, which, *row] for row in terms]
        progress(done, cls.slug)

    artifacts.write_csv(job.folder / "stability.csv", COLUMNS, rows, job.made)
    columns = [*HELD_OUT_COLUMNS, *(f"relevance{concept}" for concept in range(1, job.k + 1))]
    artifacts.write_csv(job.folder / "held_out.csv", columns, objectives, job.made)

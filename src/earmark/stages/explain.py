"""Stage ``explain``: the explanation of every class's chosen clips, by any method."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED
from earmark.data.dataset import ClassInfo, DataSet
from earmark.explainers import base as explainers
from earmark.explainers import explanation
from earmark.explainers.base import Parts
from earmark.explainers.explanation import Explanation
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import Model
from earmark.plan.config import OCCLUSION
from earmark.plan.methods import method_of
from earmark.store.layout import STANDARD

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``heatmaps.safetensors`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``seed``.
    """
    model = models.of(job)
    source, choice = dataset.of(job), chosen.of(job)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        clips, logits, gallery, scored = choice.explained(cls.slug)
        parts = explained(job, model, source, cls, clips) if len(clips) else nothing(job, model)
        made = Explanation(
            torch.from_numpy(clips),
            torch.from_numpy(logits),
            torch.from_numpy(gallery),
            torch.from_numpy(scored),
            parts.maps,
            parts.samples,
            parts.sounds,
            choice.left_out(cls.slug, SCORED),
            dict(parts.checks),
            job.of_class(cls.slug) / explanation.NAME,
            choice.reason(cls.slug),
        )
        # Drops of the logit, unlike relevance, are no parts of it.
        summing = "sums_to_standard" in method_of(job.method).promises and job.config["lrp"]["rules"] != OCCLUSION
        if summing and len(clips):
            whole = made if job.method == STANDARD else explanation.standard(job, cls.slug).of(clips.tolist())
            made.checks.update(explanation.checked(made, whole))
        log.info("%s: %d clips explained, %d left out", cls.slug, len(clips), made.left_out)
        for name, value in made.checks.items():
            log.info("%s: %s %.3g", cls.slug, name, value)
        explanation.write(made, job.made)
        progress(done, cls.slug)


def explained(job: Job, model: Model, source: DataSet, cls: ClassInfo, clips: NDArray[np.int64]) -> Parts:
    """Explain clips of a class, at least one."""
    state, seed = explainers.state_of(job, cls.slug), explainers.seed_of(job, cls.slug)
    explain = explainers.build(job.method, model, job.layer, job.config, state, seed)
    batches = explainers.batches(source, clips, cls, job.method, models.device(job.gpu))
    return explainers.joined([explain(batch) for batch in batches])


def nothing(job: Job, model: Model) -> Parts:
    """Explain no clip, by no explainer: a class without any may lack what one is made of."""
    return Parts(torch.empty(0, job.k, *model.frontend.grid))

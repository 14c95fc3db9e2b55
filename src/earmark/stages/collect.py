"""Stage ``collect``: activation and context vectors of training clips at one layer (thesis 3.2.2.1)."""

from __future__ import annotations

import logging

from earmark.data import dataset, predictions
from earmark.explainers.subspaces.pairs import pairs_of
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``{layer}/pairs/{cls}.safetensors`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``pairs``, ``seed``.
    """
    model = models.of(job)
    rules = from_config(job.config)
    source = dataset.of(job)
    answered = predictions.of(job)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        known = answered.training(source, job.split, cls)
        log.info("%s: %d training clips are recognised", cls.slug, len(known))
        reason = answered.lacking(source, job.split, cls)
        if reason:
            log.warning("%s: %s, and no pairs are collected", cls.name, reason)
            known = known[:0]
        tensors = pairs_of(model, source, known, cls, job.layer, rules, job.config)
        artifacts.write_tensors(job.layout.pairs(job.split, job.layer, cls.slug), tensors, job.made, reason=reason)
        progress(done, f"{cls.slug}: {len(tensors['clip'])} pairs")

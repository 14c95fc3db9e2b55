"""Stage ``fit``: the subspaces of every class at one layer, by one method and for one K (thesis 3.2.2.2)."""

from __future__ import annotations

import logging

from earmark.data.dataset import open_dataset
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.fitting import find, report
from earmark.job import Job
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``subspaces.safetensors`` and ``fit.json`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``fit``, ``seed``.
    """
    device = models.device(job.gpu)
    classes = open_dataset(job.layout).classes
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        pairs, _ = artifacts.read_tensors(job.layout.pairs(job.split, job.layer, cls.slug))
        activations, contexts = pairs["activations"].to(device), pairs["contexts"].to(device)
        found = find(activations, contexts, job.method, job.k, job.config, cls.slug)
        relevance = found.relevance(activations, contexts).mean(dim=0)
        folder = job.of_class(cls.slug)
        basis.save(folder / "subspaces.safetensors", found, relevance, job.made)
        starts = ["data", *(f"random {number}" for number in range(1, len(found.restarts)))][: len(found.restarts)]
        artifacts.write_json(folder / "fit.json", report(found, relevance, activations, contexts, starts), job.made)
        log.info("%s: %s", cls.slug, ", ".join(f"start {value:.5f}" for value in found.restarts) or "no search")
        progress(done, cls.slug)

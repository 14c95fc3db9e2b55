"""Stage ``fit``: the subspaces of every class at one layer, by one method and for one K (thesis 3.2.2.2)."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from earmark.data import dataset
from earmark.explainers import base as explainers
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.basis import Subspaces
from earmark.explainers.subspaces.objective import normalise, objective
from earmark.explainers.subspaces.pairs import Material
from earmark.job import Job
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``subspaces.safetensors`` and ``fit.json`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``seed``.
    """
    device = models.device(job.gpu)
    classes = dataset.explained(job.config, dataset.of(job))
    progress = job.progress(len(classes))
    for done, cls in enumerate(classes, start=1):
        pairs, about = artifacts.read_tensors(job.layout.pairs(job.split, job.layer, cls.slug))
        material = Material(job, cls, pairs["activations"].to(device), pairs["contexts"].to(device))
        if len(material.activations):
            found = explainers.family(job.method).find(job.method, material).to(device)
        else:  # the channels as they are: nothing is claimed, and nothing explained by them
            found = Subspaces(torch.eye(material.activations.shape[1]), job.k, warnings=(about["reason"],)).to(device)
        relevance = found.relevance(material.activations, material.contexts).mean(dim=0)
        basis.save(job.of_class(cls.slug), found, relevance, job.made)
        artifacts.write_json(job.of_class(cls.slug) / "fit.json", report(found, relevance, material), job.made)
        log.info("%s: %s", cls.slug, ", ".join(f"start {value:.5f}" for value in found.restarts) or "no search")
        progress(done, cls.slug)


def report(found: Subspaces, relevance: Tensor, material: Material) -> dict[str, Any]:
    """Describe a fit: eq. 2.19 on the normalised pairs, the course of every start, mean relevance ``[K]``.

    Without pairs neither the objective nor the relevance is known.
    """
    pairs = normalise(material.activations), normalise(material.contexts)
    known = len(material.activations) > 0
    return {
        "n_subspaces": found.n_subspaces,
        "n_channels": found.basis.shape[0],
        "pairs": len(material.activations),
        "drsa_objective": float(objective(*pairs, found.basis, found.n_subspaces)) if known else None,
        "objective": None if not found.restarts else found.objective,
        "relevance": relevance.tolist() if known else None,
        "restarts": [
            {"start": name, "objective": value, "iterations": len(course) - 1, "history": list(course)}
            for name, value, course in zip(found.starts, found.restarts, found.history, strict=True)
        ],
        "warnings": list(found.warnings),
    }

"""Stage ``oracle``: the subspaces of every class that separate the known sound objects best."""

from __future__ import annotations

import torch

from earmark.data import predictions
from earmark.data.dataset import open_dataset
from earmark.explainers.subspaces import basis
from earmark.explainers.subspaces.basis import random_orthogonal
from earmark.explainers.subspaces.fitting import report
from earmark.explainers.subspaces.oracle import collect, search, training_clips
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.plan.methods import ORACLE
from earmark.sound.logmel import LogMel
from earmark.store import artifacts


def run(job: Job) -> None:
    """Write ``subspaces.safetensors`` and ``fit.json`` of the method ``oracle`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``frontend``, ``oracle``, ``seed``.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    rules = from_config({"lrp": job.config["lrp"]})
    frontend = LogMel.from_config(job.config)
    source, answered = open_dataset(job.layout), predictions.of(job)
    settings = job.config["oracle"]
    progress = job.progress(len(source.classes))
    for done, cls in enumerate(source.classes, start=1):
        clips = training_clips(answered, source, job.split, cls, job.config)
        generator = torch.Generator().manual_seed(job.seed("oracle", cls.slug))
        units = collect(network, source, frontend, clips, cls, job.layer, rules, settings["units"], generator)
        bases = [
            basis.load(job.layout.concept(job.split, job.layer, name, job.k, cls.slug) / "subspaces.safetensors").basis
            for name in job.starts
        ]
        bases += [random_orthogonal(units.activations.shape[1], generator) for _ in range(settings["starts"])]
        pairs, _ = artifacts.read_tensors(job.layout.pairs(job.split, job.layer, cls.slug))
        activations, contexts = pairs["activations"], pairs["contexts"]
        found = search(units, bases, job.k, settings["iterations"]).ordered(activations, contexts)
        relevance = found.relevance(activations, contexts).mean(dim=0)
        folder = job.layout.concept(job.split, job.layer, ORACLE, job.k, cls.slug)
        basis.save(folder / "subspaces.safetensors", found, relevance, job.made)
        names = [*job.starts, *(f"random {number}" for number in range(1, settings["starts"] + 1))]
        artifacts.write_json(folder / "fit.json", report(found, relevance, activations, contexts, names), job.made)
        progress(done, f"{cls.slug}: information {found.objective:.3f}")

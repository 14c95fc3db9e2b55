"""Stage ``explain``: heatmaps of the standard explanation and of every concept (thesis 3.2.3, B.2.2)."""

from __future__ import annotations

import logging

import torch

from earmark.data import chosen
from earmark.data.chosen import SCORED
from earmark.data.dataset import open_dataset
from earmark.explainers.base import NOISE, conservation, heatmaps_by
from earmark.explainers.subspaces import basis
from earmark.figures.heatmaps import explanation_grid
from earmark.figures.style import save
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import from_config
from earmark.models import base as models
from earmark.sound.logmel import LogMel
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Write ``heatmaps.safetensors`` and ``heatmaps.png`` for every class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``frontend``, ``seed``.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    rules = from_config(job.config)
    source = open_dataset(job.layout)
    frontend, choice = LogMel.from_config(job.config), chosen.of(job)
    progress = job.progress(len(source.classes))
    for done, cls in enumerate(source.classes, start=1):
        explained, left_out = choice.explained(cls.slug), choice.left_out(cls.slug, SCORED)
        inputs, logits = source.logmel(explained.clips).to(device), torch.from_numpy(explained.logits)
        targets = torch.full((len(inputs),), cls.index, device=device)
        folder = job.of_class(cls.slug)
        found = None if job.layer == INPUT_LAYER else basis.load(folder / "subspaces.safetensors")
        seed = job.seed(*job.method.split("~"), cls.slug)
        standard = attributor.heatmaps(network, inputs, targets, rules)  # [B, 1, F, T]
        heatmaps = heatmaps_by(job.method, network, inputs, targets, job.layer, found, rules, seed)
        log.info("%s: %d clips explained, %d left out", cls.slug, len(explained.clips), left_out)
        checks = {} if NOISE.fullmatch(job.method) else conservation(standard, heatmaps, logits.to(device))
        for name, value in checks.items():
            log.info("%s: %s %.3g", cls.slug, name, value)
        artifacts.write_tensors(
            folder / "heatmaps.safetensors",
            {
                "heatmaps": heatmaps,
                "clips": torch.from_numpy(explained.clips),
                "logits": logits,
                "gallery": torch.from_numpy(explained.gallery),
                "scored": torch.from_numpy(explained.scored),
            },
            job.made,
            left_out=left_out,
            **checks,
        )
        rows = torch.from_numpy(explained.gallery)
        shown = inputs.cpu()[rows, 0], standard.cpu()[rows, 0], heatmaps.cpu()[rows, :, 0]
        title = f"{job.dataset}, {cls.name}: {job.method} at {job.layer}, K = {job.k}"
        save(explanation_grid(frontend, *shown, title), folder / "heatmaps.png")
        progress(done, cls.slug)

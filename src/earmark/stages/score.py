"""Stage ``score``: patch flipping of every scored clip's heatmaps, one row per clip."""

from __future__ import annotations

import logging
from typing import Any

import torch

from earmark.data.dataset import open_dataset
from earmark.explainers.explanation import scored, standard_maps
from earmark.job import Job
from earmark.metrics.scores import SCORES, batches, score
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "logit", *SCORES)


def run(job: Job) -> None:
    """Score the heatmaps of all classes and write ``scores.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``evaluate``, ``seed``.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    source = open_dataset(job.layout)
    progress = job.progress(len(source.classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(source.classes, start=1):
        clips, maps, logits = scored(job.of_class(cls.slug) / "heatmaps.safetensors")
        standard = standard_maps(job.layout, job.split, cls.slug, clips)
        index = source.clips.iloc[clips]
        for part in batches(len(clips)):
            inputs = source.logmel(clips[part]).to(device)
            targets = torch.full((len(inputs),), cls.index, device=device)
            scores = score(network, inputs, targets, maps[part].to(device), standard[part].to(device), job.config)
            for row, values in zip(range(part.start, part.stop), scores.tolist(), strict=True):
                path, group = index["path"].iloc[row], index["group"].iloc[row]
                rows.append((cls.slug, clips[row], path, group, float(logits[row]), *values))
        progress(done, cls.slug)
    folder = job.folder
    artifacts.write_csv(folder / "scores.csv", COLUMNS, rows, job.made)
    log.info("%d clips scored", len(rows))

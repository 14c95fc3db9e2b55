"""Stage ``score``: patch flipping of every scored clip's heatmaps, one row per clip."""

from __future__ import annotations

import logging
from typing import Any

import torch

from earmark.data import dataset
from earmark.explainers import explanation
from earmark.job import Job
from earmark.metrics.scores import SCORES, batches, score, ties_seeds
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
    model = models.of(job)
    source = dataset.of(job)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(classes, start=1):
        found = explanation.of(job, cls.slug)
        found = found.only(found.scored)
        clips = found.clips.tolist()
        standard = explanation.standard(job, cls.slug).of(clips).heatmaps
        index = source.clips.iloc[clips]
        for part in batches(len(clips)):
            inputs = source.inputs(clips[part]).to(device)
            targets = torch.full((len(inputs),), cls.index, device=device)
            seeds = ties_seeds(job.config["seed"], index["path"].iloc[part])
            both = found.heatmaps[part].to(device), standard[part].to(device)
            scores = score(model, inputs, targets, *both, job.config["evaluate"]["patch"], seeds)
            for row, values in zip(range(part.start, part.stop), scores.tolist(), strict=True):
                path, group = index["path"].iloc[row], index["group"].iloc[row]
                rows.append((cls.slug, clips[row], path, group, float(found.logits[row]), *values))
        progress(done, cls.slug)
    folder = job.folder
    artifacts.write_csv(folder / "scores.csv", COLUMNS, rows, job.made)
    log.info("%d clips scored", len(rows))

"""Stage ``flip``: what the model still answers to every scored clip when some of its samples are 0."""

from __future__ import annotations

import logging
from typing import Any

from earmark.data import dataset
from earmark.explainers import explanation
from earmark.job import Job
from earmark.metrics.samples import Answer, flipping
from earmark.models import base as models
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", *Answer._fields)


def run(job: Job) -> None:
    """Write ``flipped.csv``, a row per clip, order of its samples and share of them.

    Parameters
    ----------
    job : Job
        Of its configuration: ``evaluate.flips``, ``explain.classes``, ``seed``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source = dataset.of(job)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(classes, start=1):
        found = explanation.standard(job, cls.slug)
        found = found.only(found.scored)
        clips = found.clips.tolist()
        index = source.clips.iloc[clips]
        for row, (clip, path, group) in enumerate(zip(clips, index["path"], index["group"], strict=True)):
            samples = source.inputs([clip]).to(device)[0, 0]  # [S]
            relevance = explanation.samples_of(found)[row, 0, 0].to(device)  # [S]
            told = flipping(
                model, samples, cls.index, relevance, job.seed("flip", clip), job.config["evaluate"]["flips"]
            )
            rows.extend((cls.slug, clip, path, group, *answer) for answer in told)
        progress(done, cls.slug)
    artifacts.write_csv(job.layout.flipped(job.split), COLUMNS, rows, job.made)
    log.info("%d clips flipped", len({(row[0], row[1]) for row in rows}))

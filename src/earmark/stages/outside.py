"""Stage ``outside``: explanations of clips that are contaminated by another sound, heard alone and held against it.

The network never learned from such clips; those that it no longer recognises are counted, and not explained.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import chosen, dataset, predictions
from earmark.data.chosen import SCORED
from earmark.data.contaminants import DECIBELS, conditions
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.selection import evenly, spread
from earmark.explainers.base import BATCH
from earmark.explainers.outside import OF_CLIP, OF_SOUND, Judge
from earmark.job import Job
from earmark.metrics.outside import contaminated
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.store import artifacts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)

WHERE = ("cls", "clip", "path", "group", "condition")

CLIPS, COLUMNS = (*WHERE, "contaminant", *OF_CLIP), (*WHERE, *OF_SOUND)


def run(job: Job) -> None:
    """Write ``outside.csv``, a row per clip, condition and sound, and ``outside_clips.csv``, per clip and condition.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``explainers``, ``evaluate.budgets``, ``evaluate.outside_clips``,
        ``evaluate.outside_speech``, ``explain.classes``, ``seed``; of methods that ask the model hundreds of times per
        clip also ``explain.expensive``.
    """
    model, source, known = models.of(job), dataset.of(job), predictions.of(job)
    speech = job.config["evaluate"]["outside_speech"]
    other = None if speech is None else dataset.open_dataset(Layout(job.results, speech))
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    clips: list[tuple[Any, ...]] = []
    sounds: list[tuple[Any, ...]] = []
    for done, (cls, own) in enumerate(zip(classes, tried(job, source, classes), strict=True), start=1):
        if len(own):  # a class without any may lack what its maps are made of
            judge = Judge.of(job, model, cls)
            for condition, draw in conditions(source, known, job.split, cls, other, job.seed("outside")).items():
                for part in np.split(own, range(BATCH, len(own), BATCH)):
                    drawn = [draw(clip) for clip in part.tolist()]
                    added = torch.stack([one.sound for one in drawn])
                    rate = source.frontend.sample_rate
                    index = source.clips.iloc[part]
                    found = judge(index, contaminated(source.waveforms(part), added, DECIBELS[condition], rate))
                    about = zip(part.tolist(), index["path"], index["group"], strict=True)
                    for clip, one, told in zip(about, drawn, found, strict=True):
                        where = cls.slug, *clip, condition
                        clips.append((*where, one.path, *map(_written, told.clip)))
                        sounds.extend((*where, *map(_written, values)) for values in told.sounds)
        progress(done, cls.slug)
    artifacts.write_csv(job.folder / "outside.csv", COLUMNS, sounds, job.made)
    artifacts.write_csv(job.folder / "outside_clips.csv", CLIPS, clips, job.made)
    log.info("%d sounds heard", len(sounds))


def tried(job: Job, source: DataSet, classes: Sequence[ClassInfo]) -> list[NDArray[np.int64]]:
    """Choose those of each class's scored clips that are contaminated, spread over groups.

    Methods that ask the model hundreds of times per clip get some of the others' clips.
    """
    choice, most = chosen.of(job), job.config["evaluate"]["outside_clips"]
    scored = [choice.clips(cls.slug, SCORED) for cls in classes]
    limit = job.config["explain"]["expensive"] if method_of(job.method).expensive else None
    counts = evenly([min(len(clips), most) for clips in scored], limit)
    groups = source.clips["group"].to_numpy(str)
    return [
        clips[spread(groups[clips], count, job.seed("outside", cls.slug))]
        for cls, clips, count in zip(classes, scored, counts, strict=True)
    ]


def _written(value: Any) -> Any:
    """Leave what is not a number empty."""
    return "" if value != value else value

"""Stage ``blind``: sounds of clips and of their explanations, for people to guess by, under names that tell nothing."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np
from scipy.io import wavfile
from torch import Tensor

from earmark.data import dataset
from earmark.data.submissions import ANSWERS, COLUMNS
from earmark.explainers import base as explainers
from earmark.explainers.stimuli import answers, stimuli
from earmark.job import Job
from earmark.metrics.listening import SILENCE, equally_loud
from earmark.models import base as models
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD

log = logging.getLogger(__name__)

KEY = ("file", "sha256", "clip", "path", "group", "cls", "answer", "stimulus")

FULL_SCALE = 32767
"""Largest of 16-bit samples, which every player knows."""

README = """Listen to the files in the order of their names, and write into {answers}, behind each file's name, what you
take it for: one of {classes}. Leave empty what you have not heard. Hear each as often as you like. Not all are whole;
none is meant to mislead you.
"""


def run(job: Job) -> None:
    """Write ``stimuli/``, which goes to listeners, and ``key.csv``, which does not.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``evaluate.listener_clips``, ``sonify``, ``explain.classes``, ``seed``.
    """
    model, source = models.of(job), dataset.of(job)
    explain = explainers.build(STANDARD, model, INPUT_LAYER, job.config, None, 0)
    chosen = answers(job, source)
    progress = job.progress(len(chosen))
    found: list[tuple[tuple[Any, ...], Tensor]] = []
    for done, (cls, clips) in enumerate(chosen, start=1):
        for one in stimuli(job, model, source, explain, cls, clips):
            about = source.clips.iloc[one.clip]
            where = one.clip, about["path"], about["group"], about["class"], cls.slug
            found.extend(((*where, name), sound) for name, sound in one.sounds.items() if name != SILENCE)
        progress(done, cls.slug)
    order = np.random.default_rng(job.seed("blind")).permutation(len(found))
    digits = len(str(len(found)))
    levelled = equally_loud([sound for _, sound in found])
    key = []
    with artifacts.replacing_directory(job.layout.stimuli(job.split)) as folder:
        for number, place in enumerate(order.tolist(), start=1):
            path = folder / f"{number:0{digits}d}.wav"
            wavfile.write(path, model.frontend.sample_rate, (FULL_SCALE * levelled[place]).round().short().numpy())
            key.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest(), *found[place][0]))
        (folder / ANSWERS).write_text("\n".join([",".join(COLUMNS), *(f"{row[0]}," for row in key), ""]), "utf-8")
        (folder / "README.txt").write_text(README.format(answers=ANSWERS, classes=", ".join(model.classes)), "utf-8")
    artifacts.write_csv(job.layout.key(job.split), KEY, key, job.made)
    log.info("%d sounds under names that tell nothing", len(key))

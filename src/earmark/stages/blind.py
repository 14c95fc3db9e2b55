"""Stage ``blind``: clips and explanations to hear and to see, for people to guess by, under names that tell nothing."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave
from scipy.io import wavfile
from torch import Tensor

from earmark.data import dataset
from earmark.data.submissions import ANSWERS, COLUMNS
from earmark.explainers import base as explainers
from earmark.explainers.stimuli import answers, stimuli
from earmark.job import Job
from earmark.metrics.listening import SILENCE, equally_loud, pictures, sixteen_bit
from earmark.models import base as models
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD

log = logging.getLogger(__name__)

KEY = ("file", "sha256", "clip", "path", "group", "cls", "answer", "stimulus")

PIXELS = 4
"""Along each side of a picture's cell."""

README = """Hear the sounds and look at the pictures (time runs to the right, frequency upwards) in the order
of their names. Write into {answers}, behind each file's name, what you take it for, one of

  {classes}

Leave empty what you have neither heard nor seen. Take each as often as you like. Of some there is only a part.
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
    about: list[tuple[Any, ...]] = []
    sounds: dict[int, Tensor] = {}
    seen: dict[int, Tensor] = {}
    for done, (cls, clips) in enumerate(chosen, start=1):
        for one in stimuli(job, model, source, explain, cls, clips):
            clip = source.clips.iloc[one.clip]
            where = one.clip, clip["path"], clip["group"], clip["class"], cls.slug
            heard = {name: sound for name, sound in one.sounds.items() if name != SILENCE}
            for kind, made in ((sounds, heard), (seen, pictures(model.frontend, one.waveform, one.mask))):
                kind.update(enumerate(made.values(), start=len(about)))
                about.extend((*where, name) for name in made)
        progress(done, cls.slug)
    sounds = dict(zip(sounds, equally_loud(list(sounds.values())), strict=True))
    order = np.random.default_rng(job.seed("blind")).permutation(len(about)).tolist()
    key = []
    with artifacts.replacing_directory(job.layout.stimuli(job.split)) as folder:
        for number, place in enumerate(order, start=1):
            path = folder / f"{number:0{len(str(len(order)))}d}{'.wav' if place in sounds else '.png'}"
            if place in sounds:
                wavfile.write(path, model.frontend.sample_rate, sixteen_bit(sounds[place]))
            else:
                write_picture(path, seen[place])
            key.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest(), *about[place]))
        rows = [COLUMNS, *((row[0], "") for row in key)]
        (folder / ANSWERS).write_text("".join(f"{','.join(row)}\n" for row in rows), encoding="utf-8")
        words = README.format(answers=ANSWERS, classes=", ".join(model.classes))
        (folder / "README.txt").write_text(words, encoding="utf-8")
    artifacts.write_csv(job.layout.key(job.split), KEY, key, job.made)
    log.info("%d sounds, %d pictures", len(sounds), len(seen))


def write_picture(path: Path, light: Tensor) -> None:
    """Write brightness ``[F, T]``, 0 to 1, as a PNG, low frequencies below."""
    cells = light.repeat_interleave(PIXELS, 0).repeat_interleave(PIXELS, 1).numpy()
    imsave(path, cells, vmin=0, vmax=1, cmap="gray", origin="lower", metadata={"Software": ""})

"""Stage ``listen``: what another network, which stands for a person, takes explanations for that it hears or sees.

A proxy: it knows the classes, as a person does, and neither the explained network nor the clips.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import dataset
from earmark.data.dataset import DataSet
from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers.stimuli import Stimuli, answers, stimuli
from earmark.job import Job
from earmark.metrics.listening import SEEN, fitted, relaid, seen
from earmark.models import base as models
from earmark.sound.base import Frontend
from earmark.sound.spectrogram import Spectrogram
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD, Layout

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "answer", "stimulus", "guess")


def run(job: Job) -> None:
    """Write ``listened.csv``: what was guessed, a row per clip and stimulus.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``evaluate.listener``, ``evaluate.listener_clips``, ``sonify``,
        ``explain.classes``, ``seed``.

    Raises
    ------
    EarmarkError
        If the listener may have heard one of the clips before.
    """
    device = models.device(job.gpu)
    model, source = models.of(job), dataset.of(job)
    layout = Layout(job.results, job.config["evaluate"]["listener"])
    listener = models.load(layout.model(job.split)).to(device)
    own = listener.frontend
    assert isinstance(own, Spectrogram), "the configuration lets nobody listen who cannot see"
    chosen = answers(job, source)
    check_unheard(source, np.concatenate([clips for _, clips in chosen]), dataset.open_dataset(layout), job.split)
    explain = explainers.build(STANDARD, model, INPUT_LAYER, job.config, None, 0)
    progress = job.progress(len(chosen))
    rows: list[tuple[Any, ...]] = []
    for done, (cls, clips) in enumerate(chosen, start=1):
        for one in stimuli(job, model, source, explain, cls, clips):
            inputs = presented(one, model.frontend, own)
            told = models.answered(listener, torch.stack(list(inputs.values())).to(device)).argmax(dim=1).tolist()
            about = source.clips.iloc[one.clip]
            where = about["class"], one.clip, about["path"], about["group"], cls.slug
            rows.extend((*where, name, listener.classes[guess]) for name, guess in zip(inputs, told, strict=True))
        progress(done, cls.slug)
    artifacts.write_csv(job.layout.listened(job.split), COLUMNS, rows, job.made)
    log.info("%d stimuli heard or seen", len(rows))


def check_unheard(source: DataSet, clips: NDArray[np.int64], theirs: DataSet, split: str) -> None:
    """Raise unless all clips are of recordings in the listener's test folds.

    Raises
    ------
    EarmarkError
        If one is not.
    """
    unheard = set(theirs.clips["path"].iloc[theirs.split(split).test])
    paths = source.clips["path"].iloc[clips]
    known = [path for path in paths if path not in unheard]
    if known:
        name = theirs.layout.dataset
        why = "learned from it" if known[0] in set(theirs.clips["path"]) else "has no such recording"
        raise EarmarkError(
            f"{source.layout.dataset}: a listener must know nothing of the clips that it judges, but {name} {why}: "
            f"{known[0]}; give both data sets the same recordings, groups and folds"
        )


def presented(one: Stimuli, given: Frontend, own: Spectrogram) -> dict[str, torch.Tensor]:
    """Make the listener's inputs ``[*I]`` by stimulus: each sound at a peak of its own, and what is seen of the clip.

    Parameters
    ----------
    one : Stimuli
        Of a clip.
    given : Frontend
        The explained model's.
    own : Spectrogram
        The listener's.
    """
    heard = fitted(torch.stack(list(one.sounds.values())), own.clip_samples)
    clip = fitted(one.waveform.unsqueeze(0), own.clip_samples)[0]
    return {**dict(zip(one.sounds, own(heard), strict=True)), SEEN: seen(own, clip, relaid(one.mask, given, own))}

"""What listeners get of clips: each explained for what the model answers to it, be it right or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import answered, dataset, predictions
from earmark.data.dataset import ClassInfo, DataSet
from earmark.explainers import base
from earmark.explainers.base import Explainer
from earmark.explainers.explanation import maps_of
from earmark.job import Job
from earmark.metrics.listening import mask_of, sounds
from earmark.models.base import Model
from earmark.store.layout import STANDARD


@dataclass(frozen=True)
class Stimuli:
    """What is heard of a clip, and seen.

    Attributes
    ----------
    answer : ClassInfo
        What the model answers.
    clip : int
        Row of the clip index.
    waveform : Tensor [S]
        The clip.
    mask : Tensor [F, T]
        By which its explanation is heard.
    sounds : dict of str to Tensor [S]
        By stimulus.
    """

    answer: ClassInfo
    clip: int
    waveform: Tensor
    mask: Tensor
    sounds: dict[str, Tensor]


def answers(job: Job, source: DataSet) -> list[tuple[ClassInfo, NDArray[np.int64]]]:
    """Draw the clips of every answer that listeners get something of; see :func:`earmark.data.answered.drawn`."""
    classes, count = dataset.explained(job.config, source), job.config["evaluate"]["listener_clips"]
    return list(answered.drawn(source, predictions.of(job), job.split, classes, count, job.seed("listened")))


def stimuli(
    job: Job, model: Model, source: DataSet, explain: Explainer, cls: ClassInfo, clips: NDArray[np.int64]
) -> Iterator[Stimuli]:
    """Make the stimuli of clips to which the model answers a class.

    Parameters
    ----------
    job : Job
        Of its configuration: ``sonify.percentile``, ``sonify.inverse``, ``seed``.
    model, source
        What is explained, and its data set.
    explain : Explainer
        The standard one.
    cls, clips
        The answer, and rows of the clip index.
    """
    percentile, inverse = job.config["sonify"]["percentile"], job.config["sonify"]["inverse"]
    device = next(model.network.parameters()).device
    for batch in base.batches(source, clips, cls, STANDARD, device):
        parts = explain(batch)
        maps, waveforms = maps_of(parts)[:, 0, 0], batch.waveforms.cpu()  # [B, F, T], [B, S]
        relevance = [None] * len(maps) if parts.samples is None else parts.samples[:, 0, 0].cpu()  # [S] each
        for clip, cells, waveform, samples in zip(batch.clips.tolist(), maps, waveforms, relevance, strict=True):
            seed = job.seed("cells", source.clips["path"].iloc[clip], clip)
            mask = mask_of(cells, percentile)
            yield Stimuli(cls, clip, waveform, mask, sounds(model.frontend, waveform, mask, samples, seed, inverse))

"""Stage ``predict``: what the model answers to every evaluation clip, and how well it does on test clips.

Whoever asks whether a clip is recognised asks this answer: it is given once, by one evaluation.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from earmark.data import dataset
from earmark.data.dataset import DataSet
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import logits_of
from earmark.models.training import recording_accuracy
from earmark.store import artifacts

log = logging.getLogger(__name__)

PART = 2048
"""Clips whose spectrograms are held at once."""


def run(job: Job) -> None:
    """Write ``predictions.csv``, ``metrics.json`` and ``confusion.csv`` of a split.

    Parameters
    ----------
    job : Job
        Of its configuration: ``seed``, ``torch_threads``.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source = dataset.of(job)
    clips = np.arange(len(source.clips))
    progress = job.progress(len(clips))
    parts = []
    for part in np.array_split(clips, max(1, -(-len(clips) // PART))):
        parts.append(logits_of(model.network, source.inputs(part), device))
        progress(int(part[-1]) + 1)
    logits = torch.cat(parts)  # [N, C]
    slugs = [cls.slug for cls in source.classes]
    rows = ([clip, *values] for clip, values in enumerate(logits.tolist()))
    artifacts.write_csv(job.layout.predictions(job.split), ["clip", *slugs], rows, job.made)
    test = source.split(job.split).test
    write_metrics(job, source, test, logits[torch.from_numpy(test)], model.multi_label)
    write_confusion(job, source, test, logits[torch.from_numpy(test)], model.multi_label)


def write_metrics(job: Job, source: DataSet, test: np.ndarray, logits: torch.Tensor, multi_label: bool) -> None:
    """Write how well test clips are answered, by their logits ``[N, C]``, and what is known of the training."""
    metrics: dict[str, Any] = {"test_clips": len(test)}
    if multi_label and source.labelled:
        metrics["test_clips_of"] = {cls.slug: len(source.of_class(test, cls)) for cls in source.classes}
    if source.labelled:
        recordings = source.clips["recording"].to_numpy()[test]
        metrics = (of_labels if multi_label else of_answers)(logits, source.targets(test), recordings) | metrics
        log.info("test accuracy %.2f %% of %d clips", 100 * metrics["test_accuracy"], len(test))
    history = job.layout.split(job.split) / "history.csv"
    if history.exists():  # an adopted model has none
        metrics |= of_training(artifacts.read_csv(history))
    artifacts.write_json(job.layout.split(job.split) / "metrics.json", metrics, job.made)


def of_answers(logits: torch.Tensor, targets: torch.Tensor, recordings: np.ndarray) -> dict[str, float]:
    """Measure a model that answers one class, by logits ``[N, C]`` and labels ``[N]`` of clips and their recordings."""
    return {
        "test_accuracy": float((logits.argmax(dim=1) == targets).double().mean()),
        "test_recording_accuracy": recording_accuracy(logits, targets, recordings),
        "test_loss": float(nn.functional.cross_entropy(logits, targets)),
    }


def of_labels(logits: torch.Tensor, targets: torch.Tensor, recordings: np.ndarray) -> dict[str, float]:
    """Measure a model that answers any number of classes, of clips of which one label ``[N]`` is known.

    The accuracy is the part of clips whose label gets p > .5; what else is true of them nobody knows.
    """
    own = logits.gather(1, targets.view(-1, 1)).squeeze(1)  # [N]
    told = (own > 0).double()
    by_recording = [float(told[torch.from_numpy(recordings == one)].mean()) for one in np.unique(recordings)]
    return {
        "test_accuracy": float(told.mean()),
        "test_recording_accuracy": float(np.mean(np.array(by_recording) > 0.5)),
        "test_loss": float(nn.functional.binary_cross_entropy_with_logits(own, torch.ones_like(own))),
    }


def of_training(history: pd.DataFrame) -> dict[str, float]:
    """Name the epoch that was kept, and what it came to on validation clips."""
    best = history[history["best"] == "1"].iloc[-1]
    return {
        "validation_accuracy": float(best["validation_accuracy"]),
        "validation_loss": float(best["validation_loss"]),
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
    }


def write_confusion(job: Job, source: DataSet, test: np.ndarray, logits: torch.Tensor, multi_label: bool) -> None:
    """Count test clips by class and, by their logits ``[N, C]``, answers; no row where clips have no labels."""
    slugs = [cls.slug for cls in source.classes]
    rows: list[list[Any]] = []
    if source.labelled:
        answers = logits > 0 if multi_label else nn.functional.one_hot(logits.argmax(dim=1), len(slugs)).bool()
        truth = nn.functional.one_hot(source.targets(test), len(slugs))  # [N, C]
        counts = truth.T @ answers.long()  # [C, C]
        rows = [[slug, *row] for slug, row in zip(slugs, counts.tolist(), strict=True)]
    artifacts.write_csv(job.layout.split(job.split) / "confusion.csv", ["true", *slugs], rows, job.made)

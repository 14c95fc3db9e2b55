"""Stage ``predict``: what the model answers to every evaluation clip, and how well it does on test clips.

Whoever asks whether a clip is recognised asks this answer: it is given once, by one evaluation.
"""

from __future__ import annotations

import logging

import numpy as np
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
    write_metrics(job, source, test, logits[torch.from_numpy(test)])
    write_confusion(job, source, test, logits[torch.from_numpy(test)])


def write_metrics(job: Job, source: DataSet, test: np.ndarray, logits: torch.Tensor) -> None:
    """Write accuracy and loss of the test clips, by their logits ``[N, C]``, and of the epoch that was kept."""
    targets = source.targets(test)
    history = artifacts.read_csv(job.layout.split(job.split) / "history.csv")
    best = history[history["best"] == "1"].iloc[-1]
    metrics = {
        "test_accuracy": float((logits.argmax(dim=1) == targets).double().mean()),
        "test_recording_accuracy": recording_accuracy(logits, targets, source.clips["recording"].to_numpy()[test]),
        "test_loss": float(nn.functional.cross_entropy(logits, targets)),
        "test_clips": len(targets),
        "validation_accuracy": float(best["validation_accuracy"]),
        "validation_loss": float(best["validation_loss"]),
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
    }
    log.info("test accuracy %.2f %% of %d clips", 100 * metrics["test_accuracy"], len(targets))
    artifacts.write_json(job.layout.split(job.split) / "metrics.json", metrics, job.made)


def write_confusion(job: Job, source: DataSet, test: np.ndarray, logits: torch.Tensor) -> None:
    """Count test clips by class and, by their logits ``[N, C]``, answer."""
    targets = source.targets(test)
    slugs = [cls.slug for cls in source.classes]
    counts = torch.zeros(len(slugs), len(slugs), dtype=torch.long)
    counts.index_put_((targets, logits.argmax(dim=1)), torch.ones_like(targets), accumulate=True)
    rows = ([slug, *row] for slug, row in zip(slugs, counts.tolist(), strict=True))
    artifacts.write_csv(job.layout.split(job.split) / "confusion.csv", ["true", *slugs], rows, job.made)

"""Stage ``train``: fit the network of one split and keep its best epoch (thesis 3.1, A.2).

Only validation clips choose the epoch; test clips are looked at once, afterwards. After every epoch a side
checkpoint is written, so that a training that was killed goes on where it stopped and ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any

import torch
from torch import nn

from earmark.data.dataset import DataSet, Split, open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import logits_of
from earmark.models.training import HISTORY, Trainer, recording_accuracy, training_clips
from earmark.plan import code
from earmark.sound.logmel import LogMel
from earmark.store import artifacts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Train a split's network; write ``model.safetensors``, ``metrics.json``, ``history.csv``, ``confusion.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``frontend``, ``model``, ``augment``, ``train``, ``seed``, ``torch_threads``.

    Raises
    ------
    EarmarkError
        If the data set has another number of folds.
    """
    device = models.device(job.gpu)
    source = open_dataset(job.layout)
    if job.folds not in (0, source.n_folds):
        raise EarmarkError(
            f"The recordings of '{job.dataset}' that can be used make {source.n_folds} folds, where the "
            f"cross-validation counted on {job.folds} by their names: call the same command again, it will count on "
            f"{source.n_folds}."
        )
    chosen = source.split(job.split)
    frontend = LogMel.from_config(job.config)
    architecture = {
        **job.config["model"],
        "n_classes": len(source.classes),
        "input_shape": [frontend.n_mels, frontend.n_frames],
    }
    checkpoint = job.layout.split(job.split) / ".checkpoint.safetensors"
    trainer = Trainer(architecture, job.config["train"], job.config["seed"], device)
    trainer.resume(checkpoint, _fingerprint(job.layout, job.made))
    log.info(
        "%d training recordings, %d validation and %d test clips",
        len(source.training_recordings(chosen)),
        len(chosen.validation),
        len(chosen.test),
    )
    validation = source.logmel(chosen.validation).to(device), source.targets(chosen.validation).to(device)
    clips = training_clips(source, chosen, frontend, job.config["augment"], device)
    trainer.train(clips, validation, f"train {job.dataset}/{job.split}")

    network = trainer.best_network()
    logits = logits_of(network, source.logmel(chosen.test), device)  # [N, C]
    write_results(job.layout, job.split, source, chosen, trainer, logits, job.made)
    models.save(
        job.layout.model(job.split),
        network,
        architecture,
        [cls.slug for cls in source.classes],
        job.config["frontend"],
        job.made,
    )
    checkpoint.unlink(missing_ok=True)


def _fingerprint(layout: Layout, made: dict[str, Any]) -> str:
    """Hash what a training depends on: configuration, versions, code and data."""
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode())
    for path in (*code.files("stages.train"), layout.manifest, layout.clip_index, layout.logmel):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def write_results(
    layout: Layout,
    split: str,
    source: DataSet,
    chosen: Split,
    trainer: Trainer,
    logits: torch.Tensor,
    made: dict[str, Any],
) -> None:
    """Write accuracy, learning curves and confusion matrix from the test clips' logits ``[N, C]``."""
    folder = layout.split(split)
    targets = source.targets(chosen.test)
    predicted = logits.argmax(dim=1)
    best = next(row for row in reversed(trainer.history) if row[5])
    metrics = {
        "test_accuracy": float((predicted == targets).double().mean()),
        "test_recording_accuracy": recording_accuracy(
            logits, targets, source.clips["recording"].to_numpy()[chosen.test]
        ),
        "test_loss": float(nn.functional.cross_entropy(logits, targets)),
        "test_clips": len(targets),
        "validation_accuracy": best[4],
        "validation_loss": best[3],
        "best_epoch": best[0],
        "epochs": len(trainer.history),
    }
    log.info("test accuracy %.2f %% of %d clips", 100 * metrics["test_accuracy"], len(targets))
    slugs = [cls.slug for cls in source.classes]
    counts = torch.zeros(len(slugs), len(slugs), dtype=torch.long)
    counts.index_put_((targets, predicted), torch.ones_like(targets), accumulate=True)
    artifacts.write_csv(
        folder / "confusion.csv",
        ["true", *slugs],
        ([slug, *row] for slug, row in zip(slugs, counts.tolist(), strict=True)),
        made,
    )
    artifacts.write_csv(folder / "history.csv", HISTORY, trainer.history, made)
    artifacts.write_json(folder / "metrics.json", metrics, made)

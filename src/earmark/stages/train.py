"""Stage ``train``: fit the network of one split and keep its best epoch (thesis 3.1, A.2).

Only validation clips choose the epoch; nobody looks at test clips here. After every epoch a side checkpoint is
written, so that a training that was killed goes on where it stopped and ends with the same numbers.
"""

from __future__ import annotations

import logging

from earmark.data import dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models import base as models
from earmark.models.checkpoint import fingerprint
from earmark.models.training import HISTORY, Trainer, training_clips
from earmark.plan import code
from earmark.plan.architectures import architecture_of
from earmark.sound.kinds import from_config
from earmark.store import artifacts

log = logging.getLogger(__name__)


def run(job: Job) -> None:
    """Train a split's network; write ``model.safetensors`` and ``history.csv``.

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
    source = dataset.of(job)
    if job.folds not in (0, source.n_folds):
        raise EarmarkError(
            f"The recordings of '{job.dataset}' that can be used make {source.n_folds} folds, where the "
            f"cross-validation counted on {job.folds} by their names: call the same command again, it will count on "
            f"{source.n_folds}."
        )
    chosen = source.split(job.split)
    frontend = from_config(job.config)
    architecture = {
        "name": job.config["model"]["architecture"],
        **{key: job.config["model"][key] for key in ("filters", "dense", "dropout", "weight_std")},
        "n_classes": len(source.classes),
        "input_shape": list(frontend.shape[1:]),
    }
    checkpoint = job.layout.split(job.split) / ".checkpoint.safetensors"
    seed = job.seed(job.split) if dataset.is_further_network(job.split) else job.config["seed"]
    trainer = Trainer(architecture, job.config["train"], seed, device)
    trainer.course.resume(checkpoint, _fingerprint(job))
    log.info(
        "%d training recordings, %d validation and %d test clips",
        len(source.training_recordings(chosen)),
        len(chosen.validation),
        len(chosen.test),
    )
    validation = source.inputs(chosen.validation).to(device), source.targets(chosen.validation).to(device)
    clips = training_clips(source, chosen, frontend, job.config["augment"], device)
    trainer.train(clips, validation, f"train {job.dataset}/{job.split}")

    artifacts.write_csv(job.layout.split(job.split) / "history.csv", HISTORY, trainer.course.history, job.made)
    models.save(
        job.layout.model(job.split),
        trainer.best_network(),
        architecture,
        [cls.slug for cls in source.classes],
        job.config["frontend"],
        job.made,
    )
    checkpoint.unlink(missing_ok=True)


def _fingerprint(job: Job) -> str:
    """Say what the training depends on."""
    modules = code.files("stages.train", architecture_of(job.config).module)
    return fingerprint(job.made, [*modules, job.layout.manifest, job.layout.clip_index, job.layout.logmel])

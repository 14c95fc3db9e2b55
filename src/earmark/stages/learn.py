"""Stage ``learn``: train an interpreter of a split's network, and keep its best epoch.

Training clips alone are learned from, and validation clips alone choose the epoch; nobody looks at test clips here.
A training that was killed goes on after its last whole epoch and ends with the same bytes.
"""

from __future__ import annotations

import logging
import math

import torch

from earmark.explainers import base as explainers
from earmark.explainers.interpreters import learning
from earmark.explainers.interpreters.learning import LOSS
from earmark.job import Job
from earmark.models.checkpoint import Course, fingerprint
from earmark.plan import code
from earmark.plan.methods import method_of
from earmark.store import artifacts

log = logging.getLogger(__name__)

OWN = "interpreter"
"""Row of ``validation.csv`` that is the interpreter's own."""


def run(job: Job) -> None:
    """Write ``model.safetensors``, ``history.csv``, ``validation.csv`` and ``cost.csv`` of the job's method.

    Parameters
    ----------
    job : Job
        Of its configuration: ``explainers``, ``seed``, ``torch_threads``.
    """
    material = learning.material(job)
    settings, folder = material.settings, job.layout.trained(job.split, job.method)
    seed = job.seed("learn", job.method, job.split)
    with torch.random.fork_rng():
        torch.manual_seed(job.seed(seed, "weights"))
        interpreter = explainers.family(job.method).interpreter(job.method, material)
    interpreter.network.to(material.device)
    optimizer = torch.optim.Adam(
        [weight for weight in interpreter.network.parameters() if weight.requires_grad], lr=settings["learning_rate"]
    )
    course = Course(interpreter.network, optimizer)
    checkpoint = folder / ".checkpoint.safetensors"
    course.resume(checkpoint, _fingerprint(job))
    training, validation = material.training, material.validation
    log.info("%d training clips, %d validation clips", len(training.clips), len(validation.clips))
    names = learning.learn(interpreter, training, validation, settings, seed, course, job.progress(settings["epochs"]))
    about = dict(interpreter.about)
    artifacts.write_tensors(folder / "model.safetensors", interpreter.network.state_dict(), job.made, about=about)
    artifacts.write_csv(folder / "history.csv", names, course.history, job.made)
    rows = learning.validated(interpreter, validation, settings["batch_size"], OWN)
    index = material.source.clips
    artifacts.write_csv(
        folder / "validation.csv",
        ("clip", "path", "group", "what", LOSS),
        [
            (clip, index["path"].iloc[clip], index["group"].iloc[clip], what, value)
            for what, values in rows.items()
            for clip, value in zip(validation.clips.tolist(), values, strict=True)
            if not math.isnan(value)
        ],
        job.made,
    )
    size = sum(weight.numel() for weight in interpreter.network.parameters())
    cost = len(training.clips), len(course.history), size, f"{course.seconds:.6f}"
    artifacts.write_csv(folder / "cost.csv", ("clips", "epochs", "parameters", "seconds"), [cost], job.made)
    checkpoint.unlink(missing_ok=True)


def _fingerprint(job: Job) -> str:
    """Say what the training depends on."""
    layout, method = job.layout, method_of(job.method)
    made_of = [layout.manifest, layout.clip_index, layout.clips, layout.model(job.split), layout.predictions(job.split)]
    made_of += [layout.stems] if "stems" in method.needs else []
    made_of += [layout.trained(job.split, method.starts_from) / "model.safetensors"] if method.starts_from else []
    return fingerprint(job.made, [*code.files("stages.learn", method.module), *made_of])

"""How interpreters learn: what they are given, the loop over epochs, and what is kept of them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earmark.data import dataset, predictions
from earmark.data.dataset import DataSet, stems_of
from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.explainers.base import Batch
from earmark.job import Job
from earmark.models import base as models
from earmark.models.base import Model, Network
from earmark.models.checkpoint import Course
from earmark.plan.methods import method_of
from earmark.progress import Progress
from earmark.seeds import derive

LOSS = "loss"
"""What an interpreter descends, among its losses."""


class Interpreter(Protocol):
    """What is trained to explain a network.

    Attributes
    ----------
    network : torch.nn.Module
        Its own weights, and what else must be kept, as buffers.
    criterion : str
        Which of its losses, on validation clips, says which epoch is best: the least.
    about : mapping
        What its weights do not say of it, to be written as JSON.
    """

    @property
    def network(self) -> nn.Module: ...  # noqa: D102
    @property
    def criterion(self) -> str: ...  # noqa: D102
    @property
    def about(self) -> Mapping[str, Any]: ...  # noqa: D102

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of clips, each ``[B]``; the mean of :data:`LOSS`, a sum of others, is descended."""

    def compared(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the same :data:`LOSS`, ``[B]``, of what learned nothing, by name; NaN of a clip that is left out.

        A method's name stands for its explanations: one that is no control explains, and need not be beaten.
        """


@dataclass(frozen=True, eq=False)
class Material:
    """What an interpreter learns from.

    Attributes
    ----------
    job : Job
        Whose method it is; see :meth:`earmark.job.Job.seed`.
    model : Network
        What is to be explained, on the device that computes, without gradients of its weights.
    source : DataSet
        Where the clips are.
    device : torch.device
        That computes.
    """

    job: Job
    model: Network
    source: DataSet
    device: torch.device

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the method's family."""
        return self.job.config["explainers"][method_of(self.job.method).family]

    @functools.cached_property
    def training(self) -> Batch:
        """Training clips, of all recordings alike many: as many as the setting ``clips`` says, or all."""
        return self.gathered(self.source.split(self.job.split).train, self.settings["clips"])

    @functools.cached_property
    def validation(self) -> Batch:
        """The validation clips."""
        return self.gathered(self.source.split(self.job.split).validation)

    def gathered(self, rows: NDArray[np.int64], most: int | None = None) -> Batch:
        """Read clips, on the CPU; their targets are what the model answers to them.

        Parameters
        ----------
        rows : array of int [N]
            Rows of the clip index.
        most : int or None
            How many of them, spread over their recordings; None: all.
        """
        rows = self.some(rows, most)
        waveforms = self.source.waveforms(rows)
        stems = waveforms.new_empty(len(rows), 0, 0)
        if "stems" in method_of(self.job.method).needs:
            stems = stems_of(self.source, rows)
        answers = torch.from_numpy(predictions.of(self.job).answers(rows))
        return Batch(rows, waveforms, self.source.inputs(rows), answers, stems)

    def some(self, rows: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
        """Choose clips, `most` of them spread over their recordings, or all."""
        if most is None or most >= len(rows):
            return rows
        recordings = self.source.clips["recording"].to_numpy()[rows]
        return np.sort(rows[spread(recordings, most, self.job.seed("interpreters", "clips"))])


def material(job: Job) -> Material:
    """Open what the interpreter of a job learns from."""
    device = models.device(job.gpu)
    model = models.of(job)
    return Material(job, model.with_network(model.network.requires_grad_(False)), dataset.of(job), device)


def hidden_layers(model: Model, asked: list[str] | None, count: int, where: str) -> list[str]:
    """Name the hidden layers that an interpreter looks at.

    Parameters
    ----------
    model : Model
        What is explained.
    asked : list of str or None
        Those that a user names, from the input up; None: the outputs of the last convolutions.
    count : int
        How many of these, at most.
    where : str
        The key of the configuration that names them.

    Returns
    -------
    list of str
        From the input up.

    Raises
    ------
    EarmarkError
        If the model has none.
    """
    if asked is not None:
        return list(asked)
    found = model.convolutions()
    if not found:
        raise EarmarkError(
            f"the model has no convolution whose output an interpreter could look at: name its hidden layers in {where}"
        )
    return found[-count:]


def taken(batch: Batch, places: Tensor, device: torch.device) -> Batch:
    """Take clips ``[b]`` of a batch to a device."""
    tensors = {
        field.name: getattr(batch, field.name)[places].to(device)
        for field in dataclasses.fields(batch)
        if field.name != "clips"
    }
    return Batch(batch.clips[places.numpy()], **tensors)


def columns(losses: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the columns of ``history.csv``."""
    return ("epoch", *(f"{which}_{name}" for which in ("train", "validation") for name in losses), "best")


def learn(
    interpreter: Interpreter,
    training: Batch,
    validation: Batch,
    settings: Mapping[str, Any],
    seed: int,
    course: Course,
    progress: Progress,
) -> tuple[str, ...]:
    """Run the epochs that a training lacks; the best is that of the least criterion on the validation clips.

    Parameters
    ----------
    interpreter : Interpreter
        Whose weights change.
    training, validation : Batch
        On the CPU.
    settings : mapping
        ``epochs`` and ``batch_size``.
    seed : int
        Of the order of the clips and of what is drawn in every epoch.
    course : Course
        Of the interpreter's network; told of every epoch.
    progress : Progress
        Told too.

    Returns
    -------
    tuple of str
        What the columns of the course's history are.
    """
    device = next(interpreter.network.parameters()).device
    names = columns(judged(interpreter, validation.first(1), 1, device))
    place = names.index(f"validation_{interpreter.criterion}")
    for epoch in range(len(course.history), settings["epochs"]):
        begun = time.perf_counter()
        generator = torch.Generator().manual_seed(derive(seed, "epoch", epoch))
        order = torch.randperm(len(training.clips), generator=generator)
        sums: dict[str, Tensor] = {}
        interpreter.network.train()
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "draws", epoch))
            for rows in order.split(settings["batch_size"]):
                losses = interpreter.losses(taken(training, rows, device))
                course.optimizer.zero_grad()
                losses[LOSS].mean().backward()
                course.optimizer.step()
                for name, values in losses.items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + values.detach().sum()
        trained = [float(total) / len(order) for total in sums.values()]
        held = judged(interpreter, validation, settings["batch_size"], device)
        row = [epoch + 1, *trained, *(float(values.double().mean()) for values in held.values())]
        best = all(row[place] < past[place] for past in course.history)
        course.seconds += time.perf_counter() - begun
        course.ended([*row, int(best)], best)
        progress(epoch + 1, f"validation {interpreter.criterion} {row[place]:.4f}")
    interpreter.network.load_state_dict(course.best)
    return names


def validated(interpreter: Interpreter, clips: Batch, batch_size: int, own: str) -> dict[str, list[float]]:
    """Return the loss of clips, each ``[N]``, of an interpreter, called `own`, and of what learned nothing."""
    device = next(interpreter.network.parameters()).device
    found = {own: judged(interpreter, clips, batch_size, device)[LOSS].tolist()}
    for rows in torch.arange(len(clips.clips)).split(batch_size):
        for name, values in interpreter.compared(taken(clips, rows, device)).items():
            found.setdefault(name, []).extend(values.tolist())
    return found


@torch.no_grad()
def judged(interpreter: Interpreter, clips: Batch, batch_size: int, device: torch.device) -> dict[str, Tensor]:
    """Return the losses of clips, each ``[N]``, on the CPU; nothing is drawn by lot but what every call draws alike."""
    interpreter.network.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [
            interpreter.losses(taken(clips, rows, device)) for rows in torch.arange(len(clips.clips)).split(batch_size)
        ]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

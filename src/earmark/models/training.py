"""The training loop and what it draws (thesis 3.1, A.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from earmark.data.dataset import DataSet, Split
from earmark.models.base import build, logits_of
from earmark.models.checkpoint import Course
from earmark.models.graph import fused
from earmark.progress import Progress
from earmark.seeds import derive
from earmark.sound import augment
from earmark.sound.base import Frontend
from earmark.sound.spectrogram import Spectrogram

CROPS = 32
"""Random crops whose inputs are computed at once."""

WARM_UP = 5
"""Epochs in which the schedule ``cosine`` rises to the learning rate, before it falls to 0."""

HISTORY = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "best")

TrainingClips = Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]
"""Draws one epoch's inputs ``[N, *I]`` and targets ``[N]`` in recording order."""

Inputs = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Makes inputs ``[B, *I]`` of clips ``[B, S]``, whose places among an epoch's are ``[B]``."""


def training_clips(
    source: DataSet, split: Split, frontend: Frontend, settings: dict[str, Any], device: torch.device
) -> TrainingClips:
    """Choose between the clips as they are, and random crops of recordings with what `settings` do to them."""
    recordings = source.training_recordings(split)
    slack = recordings["recording_samples"].to_numpy() - frontend.clip_samples  # [N]
    targets = torch.tensor(recordings["class_index"].to_numpy())
    rows = recordings["recording"].to_numpy()
    silent = frontend.clip_samples - torch.tensor(source.recordings.loc[rows, "samples"].to_numpy())  # [N]
    moved = settings["offset"] and bool(silent.any())
    active = augment.is_active(settings)
    if not slack.any() and not active and not moved:  # nothing changes, so nothing is computed twice
        stored = source.inputs(split.train)
        return lambda generator: (stored, source.targets(split.train))

    def crops(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        starts = (torch.rand(len(rows), generator=generator, dtype=torch.float64) * torch.from_numpy(slack + 1)).long()
        inputs = _changed(frontend, settings, len(rows), generator, device) if active else _unchanged(frontend)
        delays = augment.delays(silent, generator) if moved else torch.zeros_like(silent)
        parts = [
            inputs(augment.delayed(source.crop(rows[part], starts[part]), delays[part]).to(device), part)
            for part in torch.arange(len(rows)).split(CROPS)
        ]
        return torch.cat(parts), targets

    return crops


def _unchanged(frontend: Frontend) -> Inputs:
    """Make inputs of clips as they are."""
    return lambda waveforms, rows: frontend(waveforms)


def _changed(
    frontend: Frontend, settings: dict[str, Any], count: int, generator: torch.Generator, device: torch.device
) -> Inputs:
    """Draw what is done to each of an epoch's clips, whose front end makes spectrograms."""
    assert isinstance(frontend, Spectrogram), "the configuration asks for changes of spectrograms"
    changes = augment.draw(settings, count, generator)
    noise = augment.noise(frontend, generator).to(device) if changes.noise.any() else None
    return lambda waveforms, rows: augment.logmels(frontend, waveforms, changes[rows], noise)


def optimiser(network: nn.Module, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Make what changes a network's weights, by the section ``train``."""
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["optimiser"] == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate, momentum=settings["momentum"], weight_decay=decay)
    return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)


def learning_rate(settings: Mapping[str, Any], epoch: int, step: int) -> float:
    """Return the learning rate of a step; epochs and steps count from 0, through the whole training."""
    highest = settings["learning_rate"]
    match settings["schedule"]:
        case "cosine":
            warm = min(1.0, (epoch + 1) / WARM_UP)
            return float(highest * warm * (1 + math.cos(math.pi * epoch / settings["epochs"])) / 2)
        case "step":
            return float(highest * settings["step_factor"] ** (step // settings["step_every"]))
    return float(highest)


class Trainer:
    """The training loop with everything that a resumed run must restore.

    Parameters
    ----------
    architecture : dict
        Arguments of :func:`earmark.models.base.build`.
    settings : dict
        The ``train`` section.
    seed : int
        Of the weights, and of every epoch's draws.
    device : torch.device
        Where to compute.
    """

    def __init__(self, architecture: dict[str, Any], settings: dict[str, Any], seed: int, device: torch.device) -> None:
        self.architecture, self.settings, self.seed, self.device = architecture, settings, seed, device
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "weights"))
            network = build(**architecture, batch_norm=settings["batch_norm"])
        # On a CPU the layout makes an epoch 1.5 times as fast; torch's stubs lack the argument.
        layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
        self.network: nn.Sequential = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = optimiser(self.network, settings)
        self.course = Course(self.network, self.optimizer)

    def train(self, clips: TrainingClips, validation: tuple[torch.Tensor, torch.Tensor], label: str = "train") -> None:
        """Run the remaining epochs and remember the best by validation accuracy, then loss."""
        progress = Progress(label, self.settings["epochs"])
        history = self.course.history
        for epoch in range(len(history), self.settings["epochs"]):
            loss, accuracy = self._epoch(clips, epoch)
            held_loss, held_accuracy = self._validate(*validation)
            past = [(row[4], -row[3]) for row in history]
            best = not past or (held_accuracy, -held_loss) > max(past)
            self.course.ended([epoch + 1, loss, accuracy, held_loss, held_accuracy, int(best)], best)
            progress(epoch + 1, f"loss {loss:.4f}, validation accuracy {held_accuracy:.2%}")

    def _epoch(self, clips: TrainingClips, epoch: int) -> tuple[float, float]:
        generator = torch.Generator().manual_seed(derive(self.seed, "epoch", epoch))
        inputs, targets = clips(generator)
        total, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.network.train()
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.seed, "dropout", epoch))
            steps = -(-len(inputs) // self.settings["batch_size"])
            for step, (batch, wanted) in enumerate(self._batches(inputs, targets, generator), start=epoch * steps):
                logits = self.network(batch)
                loss = nn.functional.cross_entropy(logits, wanted)
                self.optimizer.zero_grad()
                loss.backward()
                self._step(epoch, step)
                total += loss.detach() * len(batch)
                correct += (logits.argmax(dim=1) == wanted).sum()
        return float(total) / len(inputs), float(correct) / len(inputs)

    def _step(self, epoch: int, step: int) -> None:
        """Change the weights by their gradients; epochs and steps count from 0, through the whole training."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, epoch, step)
        if self.settings["clip_gradient"] is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings["clip_gradient"])
        self.optimizer.step()

    def _batches(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(inputs), generator=generator)
        for rows in order.split(self.settings["batch_size"]):
            batch = inputs[rows].to(self.device)
            widest = self.settings["time_mask"], self.settings["mel_mask"]
            yield augment.masked(batch, *widest, generator) if any(widest) else batch, targets[rows].to(self.device)

    def _validate(self, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        logits, targets = logits_of(self.network, inputs, self.device), targets.cpu()
        loss = nn.functional.cross_entropy(logits, targets)
        return float(loss), float((logits.argmax(dim=1) == targets).double().mean())

    def best_network(self) -> nn.Module:
        """Return the network of the best epoch, without batch normalisation."""
        self.network.load_state_dict(self.course.best)
        inputs = torch.empty(0, 1, *self.architecture["input_shape"], device=self.device)
        return fused(self.network, inputs)[0]


def recording_accuracy(logits: torch.Tensor, targets: torch.Tensor, recordings: np.ndarray) -> float:
    """Accuracy of the majority vote over each recording's clips; ties go to the larger summed logit.

    Parameters
    ----------
    logits : torch.Tensor
        ``[N, C]``.
    targets : torch.Tensor
        ``[N]``.
    recordings : numpy.ndarray
        Recording of every clip, ``[N]``.
    """
    names, member = np.unique(recordings, return_inverse=True)
    rows = torch.from_numpy(member)
    votes = torch.zeros(len(names), logits.shape[1], dtype=torch.float64)
    votes.index_add_(0, rows, nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).double())
    summed = torch.zeros_like(votes).index_add_(0, rows, logits.double())
    tie_break = summed / (4 * summed.abs().max().clamp_min(1e-300))  # below one vote
    truth = torch.zeros(len(names), dtype=torch.long).index_copy_(0, rows, targets)
    return float(((votes + tie_break).argmax(dim=1) == truth).double().mean())

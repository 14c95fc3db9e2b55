"""Stage ``train``: fit the network of one split and keep its best epoch (thesis 3.1, A.2).

Only validation clips choose the epoch; test clips are looked at once, afterwards. After every epoch a side
checkpoint is written, so that a training that was killed goes on where it stopped and ends with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from earmark import artifacts, augment, data, model
from earmark.errors import EarmarkError
from earmark.frontend import Frontend
from earmark.layout import Layout
from earmark.progress import Progress
from earmark.seeds import derive

log = logging.getLogger(__name__)

EVALUATION_BATCH = 256

CROPS = 32
"""Random crops whose spectrograms are computed at once."""

WARM_UP = 5
"""Epochs in which the schedule ``cosine`` rises to the learning rate, before it falls to 0."""

HISTORY = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "best")

TrainingClips = Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]
"""Draws one epoch's log-mel spectrograms ``[N, 1, F, T]`` and targets ``[N]`` in recording order."""


def run(results: Path, dataset: str, config: dict[str, Any], *, split: str, gpu: int, folds: int = 0) -> None:
    """Train a split's network; write ``model.safetensors``, ``metrics.json``, ``history.csv``, ``confusion.csv``.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``frontend``, ``model``, ``augment``, ``train``, ``seed``, ``torch_threads``.
    split : str
        ``main`` or ``cvN``.
    gpu : int
        0: on the CPU.
    folds : int
        How many a cross-validation counts on; 0: any number.

    Raises
    ------
    EarmarkError
        If the data set has another number of folds.
    """
    layout = Layout(results, dataset)
    device = model.device(gpu)
    source = data.open_dataset(layout)
    if folds not in (0, source.n_folds):
        raise EarmarkError(
            f"The recordings of '{dataset}' that can be used make {source.n_folds} folds, where the cross-validation "
            f"counted on {folds} by their names: call the same command again, it will count on {source.n_folds}."
        )
    chosen = source.split(split)
    frontend = Frontend.from_config(config)
    architecture = {
        **config["model"],
        "n_classes": len(source.classes),
        "input_shape": [frontend.n_mels, frontend.n_frames],
    }
    made = artifacts.provenance(config, str(device))
    checkpoint = layout.split(split) / ".checkpoint.safetensors"
    trainer = Trainer(architecture, config["train"], config["seed"], device)
    trainer.resume(checkpoint, _fingerprint(layout, made))
    log.info(
        "%d training recordings, %d validation and %d test clips",
        len(source.training_recordings(chosen)),
        len(chosen.validation),
        len(chosen.test),
    )
    validation = source.logmel(chosen.validation).to(device), source.targets(chosen.validation).to(device)
    clips = _training_clips(source, chosen, frontend, config["augment"], device)
    trainer.train(clips, validation, f"train {dataset}/{split}")

    network = trainer.best_network()
    logits = logits_of(network, source.logmel(chosen.test), device)  # [N, C]
    write_results(layout, split, source, chosen, trainer, logits, made)
    model.save(
        layout.model(split), network, architecture, [cls.slug for cls in source.classes], config["frontend"], made
    )
    checkpoint.unlink(missing_ok=True)


def _training_clips(
    source: data.DataSet, split: data.Split, frontend: Frontend, settings: dict[str, Any], device: torch.device
) -> TrainingClips:
    """Choose between the stored spectrograms, and random crops of recordings with what `settings` do to them."""
    recordings = source.training_recordings(split)
    slack = recordings["recording_samples"].to_numpy() - frontend.clip_samples  # [N]
    targets = torch.tensor(recordings["class_index"].to_numpy())
    rows = recordings["recording"].to_numpy()
    active = augment.is_active(settings)
    if not slack.any() and not active:  # nothing changes, so nothing is computed twice
        stored = source.logmel(split.train)
        return lambda generator: (stored, source.targets(split.train))

    def crops(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        starts = (torch.rand(len(rows), generator=generator, dtype=torch.float64) * torch.from_numpy(slack + 1)).long()
        changes = augment.draw(settings, len(rows), generator) if active else augment.unchanged(len(rows))
        noise = augment.noise(frontend, generator).to(device) if changes.noise.any() else None
        parts = [
            augment.logmels(frontend, source.crop(rows[part], starts[part]).to(device), changes[part], noise)
            for part in torch.arange(len(rows)).split(CROPS)
        ]
        return torch.cat(parts), targets

    return crops


def logits_of(network: nn.Module, logmels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Evaluate a network in evaluation mode: ``[N, 1, F, T]`` to logits ``[N, C]`` on the CPU."""
    evaluated = model.evaluated(network)
    size = model.batch_size(logmels.shape[1:], device, EVALUATION_BATCH)
    with torch.inference_mode():
        return torch.cat([evaluated(part.to(device)).cpu() for part in logmels.split(size)])


class Trainer:
    """The training loop with everything that a resumed run must restore.

    Parameters
    ----------
    architecture : dict
        Arguments of :func:`earmark.model.build`.
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
            network = model.build(**architecture, batch_norm=settings["batch_norm"])
        # On a CPU the layout makes an epoch 1.5 times as fast; torch's stubs lack the argument.
        layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
        self.network: nn.Sequential = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
        )
        self.history: list[list[float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.save: Callable[[], None] = lambda: None

    def train(self, clips: TrainingClips, validation: tuple[torch.Tensor, torch.Tensor], label: str = "train") -> None:
        """Run the remaining epochs and remember the best by validation accuracy, then loss."""
        progress = Progress(label, self.settings["epochs"])
        for epoch in range(len(self.history), self.settings["epochs"]):
            loss, accuracy = self._epoch(clips, epoch)
            held_loss, held_accuracy = self._validate(*validation)
            past = [(row[4], -row[3]) for row in self.history]
            best = not past or (held_accuracy, -held_loss) > max(past)
            if best:
                self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.history.append([epoch + 1, loss, accuracy, held_loss, held_accuracy, int(best)])
            self.save()
            progress(epoch + 1, f"loss {loss:.4f}, validation accuracy {held_accuracy:.2%}")

    def _rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, which counts from 0."""
        highest, epochs = self.settings["learning_rate"], self.settings["epochs"]
        if self.settings["schedule"] == "constant":
            return float(highest)
        warm = min(1.0, (epoch + 1) / WARM_UP)
        return float(highest * warm * (1 + math.cos(math.pi * epoch / epochs)) / 2)

    def _epoch(self, clips: TrainingClips, epoch: int) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(epoch)
        generator = torch.Generator().manual_seed(derive(self.seed, "epoch", epoch))
        inputs, targets = clips(generator)
        total, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.network.train()
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.seed, "dropout", epoch))
            for batch, wanted in self._batches(inputs, targets, generator):
                logits = self.network(batch)
                loss = nn.functional.cross_entropy(logits, wanted)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(batch)
                correct += (logits.argmax(dim=1) == wanted).sum()
        return float(total) / len(inputs), float(correct) / len(inputs)

    def _batches(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(inputs), generator=generator)
        for rows in order.split(self.settings["batch_size"]):
            batch = inputs[rows].to(self.device)
            yield (
                augment.masked(batch, self.settings["time_mask"], self.settings["mel_mask"], generator),
                targets[rows].to(self.device),
            )

    def _validate(self, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        logits, targets = logits_of(self.network, inputs, self.device), targets.cpu()
        loss = nn.functional.cross_entropy(logits, targets)
        return float(loss), float((logits.argmax(dim=1) == targets).double().mean())

    def best_network(self) -> nn.Sequential:
        """Return the network of the best epoch, without batch normalisation."""
        self.network.load_state_dict(self.best)
        return model.fused(self.network)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Write checkpoints to `path` from now on, and go on from the one that lies there if it is of this training.

        Parameters
        ----------
        path : Path
            A ``.safetensors`` file.
        fingerprint : str
            Says what the training depends on; a checkpoint with another one is ignored.
        """
        self.save = lambda: self._save(path, fingerprint)
        try:
            tensors, metadata = artifacts.read_tensors(path)
        except FileNotFoundError:  # nothing to resume, or a job of a killed run finishes this very training now
            return
        if metadata["fingerprint"] != fingerprint:
            log.info("the checkpoint %s belongs to another training and is ignored", path)
            return
        part: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "adam": {}}
        for name, tensor in tensors.items():
            kind, rest = name.split("/", 1)
            part[kind][rest] = tensor
        self.network.load_state_dict(part["network"])
        self.best = part["best"]
        state = self.optimizer.state_dict()
        state["state"] = {}
        for name, tensor in part["adam"].items():
            index, key = name.split("/")
            state["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(state)
        self.history = metadata["history"]
        log.info("resumed after epoch %d", len(self.history))

    def _save(self, path: Path, fingerprint: str) -> None:
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{key}": tensor for key, tensor in state.items()}
        artifacts.write_tensors(path, tensors, {}, fingerprint=fingerprint, history=self.history)


def _fingerprint(layout: Layout, made: dict[str, Any]) -> str:
    """Hash what a training depends on: configuration, versions, code and data."""
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode())
    code = (module.__file__ for name, module in sys.modules.items() if name.startswith("earmark."))
    for path in (*map(Path, sorted(filter(None, code))), layout.manifest, layout.clip_index, layout.logmel):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


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


def write_results(
    layout: Layout,
    split: str,
    source: data.DataSet,
    chosen: data.Split,
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

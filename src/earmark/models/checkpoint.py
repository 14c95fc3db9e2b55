"""What a training is made of between two epochs, kept on disk: one that was killed ends as if it had not been."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earmark.store import artifacts

log = logging.getLogger(__name__)


class Course:
    """How far a training is: weights, the optimiser's state, the best epoch's weights, and a row per epoch.

    Parameters
    ----------
    network : torch.nn.Module
        Whose weights are kept, on the device that computes.
    optimizer : torch.optim.Optimizer
        Of its weights.

    Attributes
    ----------
    history : list of list of float
        A row per epoch.
    best : dict of str to Tensor
        Weights of the best one, empty before the first.
    seconds : float
        That whoever trains says the epochs took, those before a kill too.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        self.history: list[list[float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.seconds = 0.0
        self._place: tuple[Path, str] | None = None

    def ended(self, row: list[float], best: bool) -> None:
        """Note an epoch's row, and its weights if it is the best so far."""
        if best:
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.history.append(row)
        self.save()

    def resume(self, path: Path, fingerprint: str) -> None:
        """Write checkpoints to `path` from now on, and go on from the one that lies there if it is of this training.

        Parameters
        ----------
        path : Path
            A ``.safetensors`` file.
        fingerprint : str
            Says what the training depends on; a checkpoint with another one is ignored.
        """
        self._place = path, fingerprint
        try:
            tensors, metadata = artifacts.read_tensors(path)
        except FileNotFoundError:  # nothing to resume, or a job of a killed run finishes this very training now
            return
        if metadata["fingerprint"] != fingerprint:
            log.info("the checkpoint %s belongs to another training and is ignored", path)
            return
        part: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            kind, rest = name.split("/", 1)
            part[kind][rest] = tensor
        self.network.load_state_dict(part["network"])
        self.best = part["best"]
        state = self.optimizer.state_dict()
        state["state"] = {}
        for name, tensor in part["optimiser"].items():
            index, key = name.split("/")
            state["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(state)
        self.history, self.seconds = metadata["history"], metadata["seconds"]
        log.info("resumed after epoch %d", len(self.history))

    def save(self) -> None:
        """Write a checkpoint, if :meth:`resume` has said where."""
        if self._place is None:
            return
        path, fingerprint = self._place
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{key}": tensor for key, tensor in state.items()}
        about = {"fingerprint": fingerprint, "history": self.history, "seconds": self.seconds}
        artifacts.write_tensors(path, tensors, {}, **about)


def fingerprint(made: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Hash what a training depends on: provenance, with configuration and versions, and the files that it reads."""
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

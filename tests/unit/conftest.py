"""What several unit tests share: one small network, trained once, and clips that it knows."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from earmark.job import Job
from earmark.lrp.rules import Rules
from earmark.models import base as models
from earmark.models.base import Network
from earmark.models.cnn import build
from earmark.models.training import HISTORY
from earmark.sound.frames import Celled
from earmark.sound.logmel import LogMel
from earmark.stages import choose, predict
from earmark.store import artifacts
from earmark.store.layout import Layout

RULES = Rules((("conv1", "flat", 0.0), ("conv*", "gamma", 0.8), ("dense*", "epsilon", 0.0)), 1e-7)


LAYERS = {"conv1": 8, "conv2": 8, "conv3": 16}

FRONTEND = LogMel(16000, 480, 240, n_mels=32, n_frames=32)


@dataclass(frozen=True)
class Trained:
    """A float64 network with inputs [B, 1, 32, 32], their classes [B] and LRP rules."""

    model: Network
    inputs: torch.Tensor
    targets: torch.Tensor
    rules: Rules

    @property
    def network(self) -> nn.Sequential:
        """The module itself."""
        return self.model.network


@dataclass(frozen=True)
class Cells:
    """A front end of inputs that are made by hand, as far as explanations need it."""

    shape: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the heatmaps: the input's own."""
        return self.shape

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Cell by cell."""
        return inputs * contexts

    def sample_relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> None:
        """None: they are no samples."""

    def spread(self, cells: torch.Tensor) -> torch.Tensor:
        """Cell by cell."""
        return cells

    def gathered(self, maps: torch.Tensor) -> torch.Tensor:
        """Cell by cell."""
        return maps

    replaced, lowest = Celled.replaced, Celled.lowest


def model_of(network: nn.Module, *shape: int) -> Network:
    """Make a model of a network with inputs [B, *shape], [B, 1, 32, 32] by default."""
    return Network.around(network, Cells(shape or (1, 32, 32)))


def striped(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with bright rows (class 0) or bright columns (class 1) at a random place."""
    inputs = torch.randn(count, 1, 32, 32, generator=generator)
    targets = torch.randint(2, (count,), generator=generator)
    places = torch.randint(30, (count,), generator=generator)
    for clip, (target, place) in enumerate(zip(targets.tolist(), places.tolist(), strict=True)):
        band = slice(place, place + 3)
        cells = inputs[clip, 0, band] if target == 0 else inputs[clip, 0, :, band]
        cells += 3
    return inputs, targets


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Train on stripes until the classes are told apart."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build([8, 8, 16], [12], n_classes=2, input_shape=(32, 32))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(120):
        inputs, targets = striped(32, generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    inputs, targets = striped(24, generator)
    network = network.double().eval()
    known = network(inputs.double()).argmax(dim=1) == targets
    assert known.sum() > 16
    return Trained(Network(network, FRONTEND, tuple(STRIPES), LAYERS), inputs[known].double(), targets[known], RULES)


STRIPES = ["rows", "columns"]
"""Classes of the data set of stripes."""

STRIPES_FOLDS, STRIPES_PER_FOLD = 10, 16

STRIPES_MISLABELLED = [32, 33]
"""Two of its validation clips (fold 2), which show the other class."""


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Layout:
    """Write a data set of stripes in ten folds, four clips per group, and the network that knows them."""
    return written_stripes(tmp_path_factory.mktemp("stripes"), trained)


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Layout:
    """Write the same with clips that can be heard."""
    return noisy_stripes(tmp_path_factory.mktemp("noisy"), trained)


def written_stripes(folder: Path, trained: Trained) -> Layout:
    """Write a data set of stripes in ten folds, four clips per group, and the network that knows them."""
    layout = Layout(folder, "demo")
    inputs, targets = striped(STRIPES_FOLDS * STRIPES_PER_FOLD, torch.Generator().manual_seed(7))
    targets[STRIPES_MISLABELLED] = 1 - targets[STRIPES_MISLABELLED]
    columns = "clip path class group fold set offset samples recording_offset recording_samples recording".split()
    rows = []
    for clip, target in enumerate(targets.tolist()):
        name, fold = STRIPES[target], clip // STRIPES_PER_FOLD
        rows.append([clip, f"{name}/{clip}.wav", name, f"{clip // 4:03d}", fold, "main", clip, 1, clip, 1, clip])
    artifacts.write_csv(layout.clip_index, columns, rows, {})
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[c, c.title(), 80] for c in STRIPES], {})
    manifest = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
    artifacts.write_csv(layout.manifest, manifest, [[*row[1:5], 1.0, 16000, "", "ok", ""] for row in rows], {})
    np.save(layout.clips, np.zeros(len(rows), np.int16))
    artifacts.write_tensors(layout.logmel, {"logmel": inputs}, {}, clip_samples=1)
    architecture = {"name": "cnn", "filters": [8, 8, 16], "dense": [12], "n_classes": 2, "input_shape": [32, 32]}
    network = models.build(**architecture)
    network.load_state_dict(trained.network.state_dict())
    models.save(layout.model("main"), network, architecture, STRIPES, dataclasses.asdict(FRONTEND), {})
    predicted(layout)
    chosen(layout)
    return layout


def noisy_stripes(folder: Path, trained: Trained) -> Layout:
    """Give the data set of stripes something to hear: noise of two kinds, some of it silent at the begin."""
    layout = written_stripes(folder, trained)
    index, size = artifacts.read_csv(layout.clip_index), FRONTEND.clip_samples
    count = len(index)
    noise = np.random.default_rng(0).normal(0, 0.05, (count, size))
    noise[1::2] = np.cumsum(noise[1::2], axis=1) / 20  # lower
    noise[::3, : size // 4] = 0
    index["offset"] = index["recording_offset"] = [str(clip * size) for clip in range(count)]
    index["samples"] = index["recording_samples"] = str(size)
    artifacts.write_csv(layout.clip_index, list(index), index.to_numpy().tolist(), {})
    np.save(layout.clips, (noise.clip(-1, 1) * 32767).astype(np.int16).reshape(-1))
    tensors, _ = artifacts.read_tensors(layout.logmel)
    artifacts.write_tensors(layout.logmel, tensors, {}, clip_samples=size, frontend=dataclasses.asdict(FRONTEND))
    return layout


STRIPES_CHOICE = {
    "explain": {"clips": 20, "gallery": 3, "classes": []},
    "objects": {"clips": 20},
    "composites": {"clips": 100},
    "seed": 0,
}
"""Sections of `choose`."""


def predicted(layout: Layout) -> None:
    """Let the network answer, as if it had been trained for three epochs of which the second was kept."""
    epochs = [[1, 0.9, 0.5, 0.8, 0.6, 1], [2, 0.5, 0.8, 0.3, 0.9, 1], [3, 0.4, 0.9, 0.7, 0.7, 0]]
    artifacts.write_csv(layout.split("main") / "history.csv", HISTORY, epochs, {})
    predict.run(Job("predict", layout.results, layout.dataset, {"seed": 0}, split="main"))


def chosen(layout: Layout, **changes: Any) -> None:
    """Choose clips by its answers."""
    choose.run(Job("choose", layout.results, layout.dataset, STRIPES_CHOICE | changes, split="main"))


def copied(layout: Layout, folder: Path) -> Layout:
    """Copy a data set's results to a folder of their own."""
    shutil.copytree(layout.root, folder / layout.dataset)
    return Layout(folder, layout.dataset)


def blank(layout: Layout, clips: slice = slice(None)) -> None:
    """Silence clips, by default all, and let the network answer again: it knows no class of them, or one."""
    tensors, metadata = artifacts.read_tensors(layout.logmel)
    tensors["logmel"][clips] = 0
    artifacts.write_tensors(layout.logmel, tensors, {}, clip_samples=metadata["clip_samples"])
    predicted(layout)

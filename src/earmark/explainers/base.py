"""What every explainer is: clips in, parts of an explanation out.

A family's module makes its explainers by ``build``, and what they rest on by ``find``; whoever explains goes
through this door and knows no method by name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import dataset, predictions
from earmark.data.dataset import ClassInfo, DataSet, stems_of
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models.base import Model
from earmark.plan.methods import PACKAGE, learner_of, method_of
from earmark.store import artifacts

BATCH = 64
"""Clips that an explainer is given at once; bounds memory and decides nothing."""

BACKGROUND = 50
"""Most training clips of a class that methods compare with."""


@dataclass(frozen=True)
class Batch:
    """Clips to be explained.

    Attributes
    ----------
    clips : array of int [B]
        Rows of the clip index.
    waveforms : Tensor [B, S]
        At their recorded level; ``[B, 0]`` unless the method's file says that it hears them.
    inputs : Tensor [B, *I]
        What the network gets.
    targets : Tensor [B]
        Explained classes.
    stems : Tensor [B, O, S]
        Each sound object at its level in the clip, 0 where it is absent, or each source that another program separated;
        ``[B, 0, 0]`` unless the method's file says that it needs them.
    """

    clips: NDArray[np.int64]
    waveforms: Tensor
    inputs: Tensor
    targets: Tensor
    stems: Tensor

    def first(self, count: int) -> Batch:
        """Keep the first clips, at most all."""
        kept = slice(max(count, 0))
        return Batch(*(getattr(self, one.name)[kept] for one in fields(self)))


@dataclass(frozen=True)
class Background:
    """Training clips to compare with, the same for every method and class, in random order.

    Attributes
    ----------
    clips : array of int [N]
        Rows of the clip index.
    inputs : Tensor [N, *I]
        What the network gets, on the CPU.
    targets : Tensor [N]
        Classes that they are labelled as; without labels those that the model answers.
    waveforms : Tensor [N, S] or None
        At their recorded level, on the CPU; None unless the method's file says that it hears them.
    """

    clips: NDArray[np.int64]
    inputs: Tensor
    targets: Tensor
    waveforms: Tensor | None = None

    def of_class(self, target: int) -> Background:
        """Keep the clips of a class."""
        kept = self.targets == target
        heard = None if self.waveforms is None else self.waveforms[kept]
        return Background(self.clips[kept.numpy()], self.inputs[kept], self.targets[kept], heard)


@dataclass(frozen=True)
class Parts:
    """An explanation of B clips in K parts; a method gives maps, or makes sounds itself.

    Attributes
    ----------
    maps : Tensor [B, K, *grid] or None
        Relevance on the front end's grid.
    samples : Tensor [B, K, 1, S] or None
        Relevance of samples, of waveform models only.
    sounds : Tensor [B, K, S] or None
        Where the method makes sound itself.
    checks : mapping of str to float
        What it measured of itself.
    """

    maps: Tensor | None = None
    samples: Tensor | None = None
    sounds: Tensor | None = None
    checks: Mapping[str, float] = field(default_factory=dict)


Explainer = Callable[[Batch], Parts]


def family(method: str) -> Any:
    """Import the module of a method's family."""
    return importlib.import_module(f"{PACKAGE.name}.{method_of(method).module}")


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Any, seed: int) -> Explainer:
    """Make the explainer of a method.

    Parameters
    ----------
    method : str
        Its name, with the variant.
    model : Model
        What is explained.
    layer : str
        Where; ``input`` for methods that know no layer.
    settings : mapping
        ``lrp``, and ``explainers`` with the family's section.
    state : object
        What was fitted: see :func:`state_of`.
    seed : int
        Of everything that it draws, clip by clip.

    Raises
    ------
    EarmarkError
        When clips are explained, if the parts' maps are not ``[B, K, *grid]``.
    """
    made = family(method).build(method, model, layer, settings, state, seed)

    def explain(batch: Batch) -> Parts:
        parts = made(batch)
        _check(method, parts, (len(batch.inputs), *model.frontend.grid))
        return parts

    return explain


def _check(method: str, parts: Parts, shape: tuple[int, ...]) -> None:
    """Refuse maps that do not lie on the front end's grid, clip by clip and part by part."""
    if parts.maps is None:
        return
    count, *grid = shape
    found = list(parts.maps.shape)
    if len(found) != len(grid) + 2 or [found[0], *found[2:]] != [count, *grid] or not found[1]:
        raise EarmarkError(
            f"{method} gave maps {found} of {count} clips, where [B, K, *grid] must be [{count}, K, "
            f"{', '.join(map(str, grid))}]"
        )


def across(
    method: str, model: Model, layer: str, settings: Mapping[str, Any], states: Sequence[Any], seeds: Sequence[int]
) -> Callable[[Batch], list[Parts]]:
    """Make a function that explains clips by several states, such as those of every class, each with its own seed.

    A family whose states have work in common says so by a function of this name; else one explainer follows another.
    """
    shared = getattr(family(method), "across", None)
    if shared is not None:
        return shared(method, model, layer, settings, states, seeds)
    explainers = [build(method, model, layer, settings, state, seed) for state, seed in zip(states, seeds, strict=True)]
    return lambda batch: [explainer(batch) for explainer in explainers]


def state_of(job: Job, cls: str) -> Any:
    """Read what the job's method learned, was fitted to a class or asks for as background; None for other methods."""
    method = method_of(job.method)
    if "training" in method.needs:
        return background_of(job)
    if method.is_trained:
        return learned(job.layout.trained(job.split, learner_of(job.method)), job.k)
    return family(job.method).load(job.of_class(cls)) if method.per_class else None


@dataclass(frozen=True)
class Learned:
    """What a method learned, on the CPU.

    Attributes
    ----------
    weights : dict of str to Tensor
        By name.
    about : dict
        What these do not say of it.
    parts : int
        Parts that an explanation is to have, of methods that give several.
    """

    weights: dict[str, Tensor]
    about: dict[str, Any]
    parts: int = 1


def learned(folder: Path, parts: int = 1) -> Learned:
    """Read what a method learned, from the folder that the stage `learn` wrote."""
    weights, told = artifacts.read_tensors(folder / "model.safetensors")
    return Learned(weights, told["about"], parts)


@functools.lru_cache(maxsize=1)
def background_of(job: Job) -> Background:
    """Draw training clips of every explained class of the job's split."""
    source, answers = dataset.of(job), predictions.of(job)
    generator = np.random.default_rng(job.seed("background"))
    rows, targets = [], []
    for cls in dataset.explained(job.config, source):
        own = answers.of_class(source, answers.split(source, job.split, cls).train, cls)
        rows.append(generator.permutation(own)[:BACKGROUND])
        targets.append(np.full(len(rows[-1]), cls.index))
    order = generator.permutation(sum(map(len, rows)))
    clips = np.concatenate(rows)[order]
    waveforms = source.waveforms(clips) if method_of(job.method).hears else None
    return Background(clips, source.inputs(clips), torch.from_numpy(np.concatenate(targets)[order]), waveforms)


def seed_of(job: Job, cls: str) -> int:
    """Return the seed of the job's method for a class."""
    return job.seed(*job.method.split("~"), cls)


def batches(
    source: DataSet, clips: NDArray[np.int64], cls: ClassInfo, method: str, device: torch.device
) -> Iterator[Batch]:
    """Cut clips of a class into what an explainer is given at once."""
    asked = method_of(method)
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH]
        inputs = source.inputs(part).to(device)
        waveforms = source.waveforms(part).to(device) if asked.hears else inputs.new_empty(len(part), 0)
        stems = inputs.new_empty(len(part), 0, 0)
        if "stems" in asked.needs:
            stems = stems_of(source, part).to(device)
        elif "separated" in asked.needs:
            stems = source.separated(part).to(device)
        yield Batch(part, waveforms, inputs, torch.full((len(part),), cls.index, device=device), stems)


def joined(parts: Sequence[Parts]) -> Parts:
    """Put the parts of batches after one another, on the CPU; of what each measured of itself the largest counts."""

    def column(name: str) -> Tensor | None:
        tensors = [tensor.cpu() for one in parts if (tensor := getattr(one, name)) is not None]
        return torch.cat(tensors) if tensors else None

    checks = {name: max(one.checks[name] for one in parts) for name in parts[0].checks}
    return Parts(column("maps"), column("samples"), column("sounds"), checks)

"""Activation and context vectors of clips at one layer (thesis 3.2.2.1)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data import dataset, predictions
from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.predictions import Predictions
from earmark.data.selection import spread
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import Rules
from earmark.models import base as models
from earmark.models.base import Model, Network
from earmark.seeds import derive

CLIPS = 16
"""Clips whose whole grids are held at once."""

WINDOW = 1024
"""Positions of a finer grid that are taken of each clip."""


@dataclass(frozen=True)
class Material:
    """What a method of subspaces is fitted to: a class at a layer.

    Attributes
    ----------
    job : Job
        Split, layer, K, what else a search starts from, and the settings.
    cls : ClassInfo
        The class.
    activations, contexts : torch.Tensor
        Pairs ``[N, D]``, on the device to compute on.
    clips : array of int [B] or None
        For methods fitted to whole clips: rows of the clip index to take instead of those that the method chooses.
    other_seed : int or None
        Of the search, in the place of the configuration's.
    """

    job: Job
    cls: ClassInfo
    activations: torch.Tensor
    contexts: torch.Tensor
    clips: NDArray[np.int64] | None = None
    other_seed: int | None = None

    def seed(self, *purpose: str | int) -> int:
        """Derive the seed of a search, or of a draw of subspaces, for the class."""
        seed = self.job.config["seed"] if self.other_seed is None else self.other_seed
        return derive(seed, *purpose, self.cls.slug)

    def only(self, rows: torch.Tensor) -> Material:
        """Keep some of the clips, or of the pairs of methods that are fitted to these; rows may come several times."""
        if self.clips is not None:
            return replace(self, clips=self.clips[rows.numpy()])
        chosen = rows.to(self.activations.device)
        return replace(self, activations=self.activations[chosen], contexts=self.contexts[chosen])


@functools.lru_cache(maxsize=1)
def opened(job: Job) -> tuple[DataSet, Predictions, Network]:
    """Open what a job's classes are all fitted to, beside their pairs: data set, predictions and model."""
    return dataset.of(job), predictions.of(job), models.of(job)


def pairs_of(
    model: Model,
    source: DataSet,
    clips: np.ndarray,
    cls: ClassInfo,
    layer: str,
    rules: Rules,
    config: dict[str, Any],
) -> dict[str, torch.Tensor]:
    """Draw pairs of one class from clips of it that are recognised.

    Parameters
    ----------
    model : Model
        On the device to compute on.
    source : DataSet
        What the clips are of.
    clips : numpy.ndarray
        Rows of the clip index.
    cls : ClassInfo
        The class.
    layer : str
        Where.
    rules : Rules
        Rule of each layer.
    config : dict
        ``pairs``, ``seed``.

    Returns
    -------
    dict of str to torch.Tensor
        ``activations`` and ``contexts`` ``[N, D]``, ``clip`` ``[N]`` (row of the clip index), ``position`` ``[N, m]``
        on the layer's grid of m dimensions; N = 0 without clips.
    """
    device = next(model.network.parameters()).device
    recordings = source.clips["recording"].to_numpy()[clips]
    chosen = clips[spread(recordings, config["pairs"]["clips"], derive(config["seed"], "pairs", cls.slug))]
    asked = chosen if len(chosen) else np.arange(1)  # any clip tells the widths of no pairs
    inputs = source.inputs(asked).to(device)
    targets = torch.full((len(asked),), cls.index, device=device)
    activations, contexts = attributor.pairs_at(model, inputs, targets, layer, rules)  # [B, D, *g]
    tensors = sample_positions(
        activations[: len(chosen)].cpu(),
        contexts[: len(chosen)].cpu(),
        config["pairs"]["positions"],
        torch.Generator().manual_seed(derive(config["seed"], "positions", cls.slug)),
    )
    return tensors | {"clip": torch.from_numpy(chosen)[tensors["clip"]]}


def grid_at(model: Model, source: DataSet, layer: str) -> tuple[int, ...]:
    """Return the shape of a layer's grid; none for a layer without."""
    device = next(model.network.parameters()).device
    return tuple(model.watched(source.inputs(np.arange(1)).to(device), layer)[0].shape[2:])


def window_of(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the window that is taken of a grid, whose sides multiply to `WINDOW` where it is finer."""
    side = round(WINDOW ** (1 / len(grid))) if grid else 1
    return tuple(min(length, side) for length in grid)


def grids_of(
    model: Model, source: DataSet, clips: NDArray[np.int64], cls: ClassInfo, layer: str, rules: Rules, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activation and context vectors of clips on their whole grid, or in a random window of it.

    Parameters
    ----------
    model, source, clips, cls, layer, rules
        As in :func:`pairs_of`.
    seed : int
        Of where the windows lie, clip by clip.

    Returns
    -------
    activations, contexts : torch.Tensor
        ``[B, D, *g]``; g is what :func:`window_of` leaves of the layer's grid.
    """
    device = next(model.network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    for some in np.array_split(clips, max(1, -(-len(clips) // CLIPS))):
        inputs = source.inputs(some).to(device)
        targets = torch.full((len(some),), cls.index, device=device)
        both = torch.stack(attributor.pairs_at(model, inputs, targets, layer, rules))  # [2, B, D, *g]
        window = window_of(both.shape[3:])
        cut = both.new_empty(*both.shape[:3], *window)
        for clip in range(len(some)):
            piece = both[:, clip]
            for axis, size in enumerate(window, start=2):
                first = torch.randint(piece.shape[axis] - size + 1, (1,), generator=generator)
                piece = piece.narrow(axis, int(first), size)
            cut[:, clip] = piece
        parts.append((cut[0], cut[1]))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def sample_positions(
    activations: torch.Tensor, contexts: torch.Tensor, positions: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Draw positions of the layer's grid without replacement, anew for every clip.

    Parameters
    ----------
    activations, contexts : torch.Tensor
        ``[B, D, *g]``, g of m dimensions.
    positions : int
        How many per clip; all if the grid has fewer.
    generator : torch.Generator
        Of the draw.

    Returns
    -------
    dict of str to torch.Tensor
        ``activations`` and ``contexts`` ``[N, D]``, ``clip`` ``[N]`` (row of the batch), ``position`` ``[N, m]``
        (row and column of a spectrogram's grid).
    """
    count, size, *grid = activations.shape
    drawn = torch.rand(count, math.prod(grid), generator=generator).argsort(dim=1)[:, :positions]  # [B, P]
    index = drawn.unsqueeze(1).expand(-1, size, -1)  # [B, D, P]

    def picked(maps: torch.Tensor) -> torch.Tensor:
        return maps.reshape(count, size, math.prod(grid)).gather(2, index).transpose(1, 2).reshape(-1, size)

    places = torch.unravel_index(drawn.flatten(), tuple(grid)) if grid else ()
    return {
        "activations": picked(activations),
        "contexts": picked(contexts),
        "clip": torch.arange(count).repeat_interleave(drawn.shape[1]),
        "position": torch.stack(places, dim=1) if grid else torch.empty(drawn.numel(), 0, dtype=torch.long),
    }

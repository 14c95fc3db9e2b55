"""Activation and context vectors of clips at one layer (thesis 3.2.2.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from earmark.data.dataset import ClassInfo, DataSet
from earmark.data.selection import spread
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import Rules
from earmark.models.base import Model
from earmark.seeds import derive


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
    """

    job: Job
    cls: ClassInfo
    activations: torch.Tensor
    contexts: torch.Tensor


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
        on the layer's grid of m dimensions; empty if there are no clips.
    """
    device = next(model.network.parameters()).device
    if not len(clips):
        return {}
    recordings = source.clips["recording"].to_numpy()[clips]
    chosen = clips[spread(recordings, config["pairs"]["clips"], derive(config["seed"], "pairs", cls.slug))]
    inputs = source.logmel(chosen).to(device)
    targets = torch.full((len(chosen),), cls.index, device=device)
    activations, contexts = attributor.pairs_at(model, inputs, targets, layer, rules)  # [B, D, *g]
    tensors = sample_positions(
        activations.cpu(),
        contexts.cpu(),
        config["pairs"]["positions"],
        torch.Generator().manual_seed(derive(config["seed"], "positions", cls.slug)),
    )
    return tensors | {"clip": torch.from_numpy(chosen)[tensors["clip"]]}


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
        return maps.reshape(count, size, -1).gather(2, index).transpose(1, 2).reshape(-1, size)

    places = torch.unravel_index(drawn.flatten(), tuple(grid)) if grid else ()
    return {
        "activations": picked(activations),
        "contexts": picked(contexts),
        "clip": torch.arange(count).repeat_interleave(drawn.shape[1]),
        "position": torch.stack(places, dim=1) if grid else torch.empty(drawn.numel(), 0, dtype=torch.long),
    }

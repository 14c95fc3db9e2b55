"""Family ``perturb``: what the model answers when parts of a clip are missing (Zeiler and Fergus 2014).

Parts are taken out of the sound, and what remains goes through the model's own front end at the whole clip's level: so
that any model can be explained, whatever is inside it and whatever it hears through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from earmark.explainers.base import Batch, Explainer, Parts
from earmark.models.base import Model

AT_ONCE = 32
"""Sounds that are rendered and answered at once: bounds the memory."""


def rectangles(grid: tuple[int, ...], patch: int) -> Tensor:
    """Tile a grid ``(1, F, T)``: bool ``[P, F, T]``; those at the far edges may be smaller."""
    rows, columns = (torch.arange(cells) // patch for cells in grid[-2:])
    number = rows[:, None] * (int(columns[-1]) + 1) + columns  # [F, T]
    return number == torch.arange(int(number.max()) + 1).view(-1, 1, 1)


def drops(model: Model, waveform: Tensor, target: int, removed: Tensor) -> Tensor:
    """Measure how much a logit falls when parts of a clip are taken out.

    Parameters
    ----------
    model : Model
        What is explained.
    waveform : Tensor
        The clip, ``[S]``.
    target : int
        The class.
    removed : Tensor
        Masks ``[P, F, T]`` on the front end's grid, 1 where nothing remains.

    Returns
    -------
    Tensor
        ``[P]``.
    """
    frontend = model.frontend
    spectrum = frontend.stft(waveform.unsqueeze(0))  # [1, n_bins, T]
    with torch.no_grad():
        whole = model.logits(frontend(waveform.unsqueeze(0)))[0, target]
        without = [
            model.logits(frontend(frontend.istft((1 - frontend.lift(part.to(waveform))) * spectrum), waveform))
            for part in removed.split(AT_ONCE)
        ]
    return whole - torch.cat(without)[:, target]


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: None, seed: int) -> Explainer:
    """Make the explainer ``occlusion``; see :func:`earmark.explainers.base.build`."""
    return occlusion(model, settings["explainers"]["perturb"]["patch"])


def occlusion(model: Model, patch: int) -> Explainer:
    """Make an explainer that spreads a rectangle's fall of the logit evenly over its cells.

    Parameters
    ----------
    model : Model
        What is explained.
    patch : int
        Cells along each side of a rectangle.
    """
    tiles = rectangles(model.frontend.grid, patch)  # [P, F, T]
    cells = tiles.sum(dim=(1, 2))  # [P]

    def explain(batch: Batch) -> Parts:
        per_cell = torch.zeros(len(batch.targets), len(tiles), dtype=batch.inputs.dtype)  # [B, P]
        for row, clip, target in zip(per_cell, batch.waveforms, batch.targets.tolist(), strict=True):
            row[:] = drops(model, clip, target, tiles).cpu() / cells
        maps = torch.einsum("bp,pft->bft", per_cell, tiles.to(per_cell))
        return Parts(maps.view(-1, 1, *model.frontend.grid).to(batch.inputs))

    return explain

"""Explanations of recordings longer than a clip: of all their clips, for one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import FULL_SCALE, ClassInfo
from earmark.explainers.base import BATCH, Batch, Explainer
from earmark.explainers.explanation import maps_of
from earmark.models.base import Model, answered
from earmark.sound.tracks import Joined, Tiling, cut


def answers(model: Model, track: NDArray[np.int16], tiling: Tiling, device: torch.device) -> Tensor:
    """Answer every clip of a track, on the CPU: logits ``[n, C]``."""
    found = [
        answered(model, model.frontend(waveforms).to(device)).cpu() for _, waveforms in _batches(model, track, tiling)
    ]
    return torch.cat(found)


def explained(
    model: Model,
    explainers: Sequence[Explainer],
    track: NDArray[np.int16],
    tiling: Tiling,
    cls: ClassInfo,
    room: Path,
    told: Callable[[int], None],
) -> Joined:
    """Explain every clip of a track for one class, by several explainers.

    Parameters
    ----------
    model : Model
        What is explained, on the device that computes.
    explainers : sequence of Explainer
        The standard one first, and one whose parts it is held against.
    track : array of int16 [n]
        Samples.
    tiling : Tiling
        How clips cover it.
    cls : ClassInfo
        What it is explained for.
    room : Path
        Where there is room for maps.
    told : callable
        Called with the number of clips that have been explained.

    Returns
    -------
    Joined
        The standard map first, then the K parts.
    """
    device = next(model.network.parameters()).device
    joined: Joined | None = None
    for clips, waveforms in _batches(model, track, tiling):
        inputs = model.frontend(waveforms).to(device)
        targets = torch.full((len(clips),), cls.index, device=device)
        batch = Batch(clips, waveforms.to(device), inputs, targets, inputs.new_empty(len(clips), 0, 0))
        maps = torch.cat([maps_of(explain(batch)) for explain in explainers], dim=1)[:, :, 0]  # [B, 1 + K, F, T]
        if joined is None:
            joined = Joined(tiling, maps.shape[1], maps.shape[2], room)
        for own in maps:
            joined.add(model.frontend.framed(own))
        told(int(clips[-1]) + 1)
    assert joined is not None  # a track has a clip at least
    return joined


def _batches(model: Model, track: NDArray[np.int16], tiling: Tiling) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Cut a track into what an explainer is given at once: numbers ``[B]`` of clips, and clips ``[B, S]``."""
    for first in range(0, len(tiling.starts), BATCH):
        clips = np.arange(first, min(first + BATCH, len(tiling.starts)))
        samples = model.frontend.clip_samples
        waves = np.stack([cut(track, tiling.starts[clip] * tiling.hop, samples) for clip in clips])
        yield clips, torch.from_numpy(waves) / FULL_SCALE

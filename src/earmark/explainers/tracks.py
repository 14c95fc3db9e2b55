"""Explanations of recordings longer than a clip: of all their clips, for one class, as maps, numbers and sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data.dataset import FULL_SCALE, ClassInfo
from earmark.explainers.base import BATCH, Batch, Explainer
from earmark.explainers.explanation import ROUNDING, maps_of
from earmark.models.base import Model, answered
from earmark.sound.base import Frontend
from earmark.sound.tracks import Joined, Scale, Tiling, cut, rendered, scale_of

TENTHS = 0.1
"""Seconds that a score stands for, as nearly as whole frames allow."""

DEPTH = "PCM_24"
"""Of sounds: concepts that are faint at their true level are not rounded away."""


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


def scores(joined: Joined, frontend: Frontend) -> list[tuple[str, int, float]]:
    """List the relevance of every concept in every tenth of a second: its middle, the concept, and the sum of cells."""
    hop, rate = frontend.hop, frontend.sample_rate
    width = max(round(TENTHS * rate / hop), 1)
    sums: NDArray[np.float32] = np.concatenate([maps[1:].sum(dim=1).numpy() for *_, maps in joined.blocks()], axis=1)
    rows: list[tuple[str, int, float]] = []
    for first in range(0, sums.shape[1], width):
        cells = sums[:, first : first + width]
        second = (first + (cells.shape[1] - 1) / 2) * hop / rate
        rows += [(f"{second:.4f}", number, float(value)) for number, value in enumerate(cells.sum(axis=1), start=1)]
    return rows


def write_sounds(
    folder: Path, frontend: Frontend, track: NDArray[np.int16], joined: Joined, percentile: float
) -> float:
    """Write a track, its explanation, the parts of that and what is left, as FLAC.

    Parameters
    ----------
    folder : Path
        Where; it must be there.
    frontend : Frontend
        Of the model.
    track : array of int16 [n]
        Samples.
    joined : Joined
        The maps.
    percentile : float
        See :func:`earmark.sound.tracks.scale_of`.

    Returns
    -------
    float
        What all sounds are multiplied by, so that none is clipped: 1 as a rule.
    """
    scale = scale_of(joined, percentile, ROUNDING)
    gain = 1.0
    while (peak := _write_at(gain, folder, frontend, track, joined, scale)) > 1.0:
        gain *= 0.99 / peak
    return gain


def _write_at(
    gain: float, folder: Path, frontend: Frontend, track: NDArray[np.int16], joined: Joined, scale: Scale
) -> float:
    """Write sounds, multiplied by a gain; their peak then."""
    concepts = [f"concept{number}" for number in range(1, joined.parts)]
    names = ["input", "standard", *concepts, *(["bypass"] if scale.bypassed else []), "rest"]
    rate, peak, done = frontend.sample_rate, 0.0, 0
    with ExitStack() as opened:
        files = [
            opened.enter_context(soundfile.SoundFile(folder / f"{name}.flac", "w", rate, 1, DEPTH, format="FLAC"))
            for name in names
        ]
        for block in rendered(frontend, track, joined, scale):
            whole = torch.from_numpy(track[done : done + block.shape[1]].astype(np.float32))
            done += len(whole)
            for file, sound in zip(files, (whole, *block, whole - block[0]), strict=True):
                scaled = sound.numpy() * np.float32(gain / FULL_SCALE)
                peak = max(peak, float(np.abs(scaled).max()))
                file.write(scaled)
    return peak


def _batches(model: Model, track: NDArray[np.int16], tiling: Tiling) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Cut a track into what an explainer is given at once: numbers ``[B]`` of clips, and clips ``[B, S]``."""
    for first in range(0, len(tiling.starts), BATCH):
        clips = np.arange(first, min(first + BATCH, len(tiling.starts)))
        samples = model.frontend.clip_samples
        waves = np.stack([cut(track, tiling.starts[clip] * tiling.hop, samples) for clip in clips])
        yield clips, torch.from_numpy(waves) / FULL_SCALE

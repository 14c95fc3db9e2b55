"""Stage ``score``: patch flipping of every scored clip's heatmaps, one row per clip."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from earmark import artifacts, data, model
from earmark.errors import EarmarkError
from earmark.evaluate import matched_budget, overlap, patch_flipping
from earmark.layout import INPUT_LAYER, Layout
from earmark.progress import Progress
from earmark.seeds import derive

log = logging.getLogger(__name__)

COLUMNS = (
    "cls",
    "clip",
    "path",
    "group",
    "logit",
    "thesis",
    "fair_zero",
    "fair_floor",
    "overlap",
    "matched_budget",
)
SCORES = COLUMNS[5:]

CLIPS = 64
"""Clips scored at once; bounds memory and decides nothing else but the order of ties."""


def run(
    results: Path, dataset: str, config: dict[str, Any], *, split: str, layer: str, method: str, k: int, gpu: int
) -> None:
    """Score the heatmaps of all classes and write ``scores.csv``.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``evaluate``, ``seed``.
    split, layer, method, k
        Coordinates of the heatmaps.
    gpu : int
        0: on the CPU.
    """
    layout = Layout(results, dataset)
    device = model.device(gpu)
    network = model.load(layout.model(split))[0].to(device)
    source = data.open_dataset(layout)
    progress = Progress(f"score {dataset}/{split}/{layer}/{method}/K~{k}", len(source.classes))
    rows: list[tuple[Any, ...]] = []
    for done, cls in enumerate(source.classes, start=1):
        clips, maps, logits = scored(layout.concept(split, layer, method, k, cls.slug) / "heatmaps.safetensors")
        standard = standard_maps(layout, split, cls.slug, clips)
        index = source.clips.iloc[clips]
        for part in batches(len(clips)):
            inputs = source.logmel(clips[part]).to(device)
            targets = torch.full((len(inputs),), cls.index, device=device)
            scores = score(network, inputs, targets, maps[part].to(device), standard[part].to(device), config)
            for row, values in zip(range(part.start, part.stop), scores.tolist(), strict=True):
                path, group = index["path"].iloc[row], index["group"].iloc[row]
                rows.append((cls.slug, clips[row], path, group, float(logits[row]), *values))
        progress(done, cls.slug)
    folder = layout.method(split, layer, method, k)
    artifacts.write_csv(folder / "scores.csv", COLUMNS, rows, artifacts.provenance(config, str(device)))
    log.info("%d clips scored", len(rows))


def score(
    network: nn.Module, inputs: Tensor, targets: Tensor, heatmaps: Tensor, standard: Tensor, config: Mapping[str, Any]
) -> Tensor:
    """Compute every score of a batch of clips.

    Parameters
    ----------
    network : nn.Module
        The explained model.
    inputs : Tensor [B, 1, F, T]
        Log-mel spectrograms.
    targets : Tensor [B]
        Explained classes.
    heatmaps : Tensor [B, K, 1, F, T]
        Of the concepts.
    standard : Tensor [B, 1, 1, F, T]
        Standard heatmaps of the same clips.
    config : mapping
        ``evaluate`` and ``seed``.

    Returns
    -------
    Tensor [B, 5]
        Columns in the order of ``SCORES``.
    """
    patch, seed = config["evaluate"]["patch"], ties_seed(config)
    zero = patch_flipping(network, inputs, targets, heatmaps, patch, "zero", seed)
    floor = patch_flipping(network, inputs, targets, heatmaps, patch, "floor", seed)
    control = matched_budget(network, inputs, targets, standard, zero.union_counts, patch, seed)
    return torch.stack([zero.thesis, zero.fair, floor.fair, overlap(heatmaps), control], dim=1)


def ties_seed(config: Mapping[str, Any]) -> int:
    """Return the seed that orders equally relevant patches, the same in every stage that flips patches."""
    return derive(config["seed"], "flipping")


def scored(path: Path) -> tuple[list[int], Tensor, Tensor]:
    """Read the scored clips of a ``heatmaps.safetensors``.

    Returns
    -------
    clips : list of int
        n rows of the clip index.
    heatmaps : Tensor [n, K, 1, F, T]
        Their heatmaps.
    logits : Tensor [n]
        Their logits of the explained class.
    """
    tensors, _ = artifacts.read_tensors(path)
    chosen = tensors["scored"].bool()
    return tensors["clips"][chosen].tolist(), tensors["heatmaps"][chosen], tensors["logits"][chosen]


def standard_maps(layout: Layout, split: str, cls: str, clips: list[int]) -> Tensor:
    """Read the standard heatmaps [n, 1, 1, F, T] of the given clips.

    Raises
    ------
    EarmarkError
        If one of the clips has no standard heatmap.
    """
    path = layout.concept(split, INPUT_LAYER, "standard", 1, cls) / "heatmaps.safetensors"
    tensors, _ = artifacts.read_tensors(path)
    row_of = {clip: row for row, clip in enumerate(tensors["clips"].tolist())}
    missing = [clip for clip in clips if clip not in row_of]
    if missing:
        raise EarmarkError(f"{path} lacks clip {missing[0]}: it is older than the heatmaps to be scored; explain again")
    return tensors["heatmaps"][[row_of[clip] for clip in clips]]


def batches(n_clips: int) -> Iterator[slice]:
    """Cut n clips into slices of at most ``CLIPS``, the same in every stage that flips patches."""
    for start in range(0, n_clips, CLIPS):
        yield slice(start, min(start + CLIPS, n_clips))

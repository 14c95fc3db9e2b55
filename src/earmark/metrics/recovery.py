"""How well concepts recover the known sound objects of clips: where their relevance lies, and what they sound like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from earmark.metrics.objects import BACKGROUND, object_cells, rank_accuracy, relevance_on
from earmark.metrics.sound import si_sdr
from earmark.sound.base import Frontend

MEASURED = ("concept", "object", "cells", "relevance", "rank_accuracy", "si_sdr")
"""What is known of a concept and an object of a clip; objects count from 1, ``BACKGROUND`` is what is none's."""


def recovery(
    frontend: Frontend, waveforms: Tensor, stems: Tensor, heatmaps: Tensor, sounds: Iterable[Tensor], ranked: bool
) -> list[list[tuple[Any, ...]]]:
    """Compare the concepts of clips with their objects.

    Parameters
    ----------
    frontend : Frontend
        Whose cells these are.
    waveforms : Tensor
        The clips, ``[B, S]``.
    stems : Tensor
        Their objects on the same scale, ``[B, O, S]``.
    heatmaps : Tensor
        Of their concepts, ``[B, K, F, T]``.
    sounds : iterable of Tensor
        Of the concepts of the first clips, ``[K, S]`` each; they are taken one by one.
    ranked : bool
        Whether to compute rank accuracies.

    Returns
    -------
    list of list of tuple
        Per clip the rows in the order of ``MEASURED``, empty where not computed; an object that is silent in a clip has
        no row.
    """
    cells = object_cells(frontend, waveforms, stems)  # [B, O, F, T]
    everywhere = torch.cat([~cells.any(dim=1, keepdim=True), cells], dim=1)  # [B, 1 + O, F, T], the background first
    relevance = relevance_on(heatmaps, everywhere)  # [B, K, 1 + O]
    unknown = torch.full((*heatmaps.shape[:2], stems.shape[1]), torch.nan, dtype=torch.float64)  # [B, K, O]
    accuracy = rank_accuracy(heatmaps, cells) if ranked else unknown
    ratios = unknown.clone()
    for row, made in enumerate(sounds):
        ratios[row] = si_sdr(made, stems[row])
    sizes = everywhere.flatten(2).sum(dim=2)  # [B, 1 + O]
    sounding = stems.abs().amax(dim=2) > 0  # [B, O]
    return [list(_rows(*parts)) for parts in zip(relevance, accuracy, sizes, ratios, sounding, strict=True)]


def _rows(
    relevance: Tensor, accuracy: Tensor, sizes: Tensor, ratios: Tensor, sounding: Tensor
) -> Iterator[tuple[Any, ...]]:
    for concept, (sums, hits) in enumerate(zip(relevance.tolist(), accuracy.tolist(), strict=True), start=1):
        yield concept, BACKGROUND, int(sizes[BACKGROUND]), sums[BACKGROUND], "", ""
        for place in torch.nonzero(sounding).squeeze(1).tolist():
            number = place + 1
            scores = hits[place], float(ratios[concept - 1, place])
            known = ("" if math.isnan(score) else score for score in scores)
            yield concept, number, int(sizes[number]), sums[number], *known

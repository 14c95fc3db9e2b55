"""The explanation of a clip as sounds: of the clip, of all of the explanation, of its concepts and of what is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from earmark.explainers import explanation
from earmark.sound.base import Frontend
from earmark.sound.masks import apply_masks, masks, render


def explanation_sounds(
    frontend: Frontend,
    waveform: Tensor,
    standard: Tensor,
    heatmaps: Tensor,
    settings: Mapping[str, Any],
    own: Tensor | None = None,
) -> dict[str, Tensor]:
    """Render a clip's explanation, a sound ``[S]`` each.

    Parameters
    ----------
    frontend : Frontend
        What the clip is seen through.
    waveform : Tensor
        The clip, ``[S]``.
    standard : Tensor
        Its standard heatmap, ``[1, F, T]`` or ``[F, T]``.
    heatmaps : Tensor
        Those of its concepts, ``[K, 1, F, T]`` or ``[K, F, T]``.
    settings : mapping
        ``sonify``.
    own : Tensor, optional
        Sounds ``[K, S]`` that the method made itself; they stay as they are.

    Returns
    -------
    dict of str to Tensor
        ``input``, ``standard``, ``concept1`` ... ``conceptK``, ``rest``, what the concepts lack of the clip; also
        ``bypass``, where relevance passes the layer by. Without ``standard``, and without concepts that are no sounds
        of their own, where the front end does not say where heatmaps lie.
    """
    options = settings["percentile"], settings["inverse"]
    sounds = {"input": waveform}
    if frontend.frequencies is not None:
        sounds["standard"] = render(frontend, waveform, standard, standard.unsqueeze(0), *options)[0]
    if own is not None:
        made = {f"concept{number}": sound for number, sound in enumerate(own, start=1)}
        return {**sounds, **made, "rest": waveform - own.sum(dim=0)}
    if frontend.frequencies is None:
        return sounds
    around = explanation.bypass(heatmaps, standard)
    concepts = render(frontend, waveform, standard, heatmaps, *options, around)
    sounds |= {f"concept{number}": sound for number, sound in enumerate(concepts, start=1)}
    if around is not None:
        sounds["bypass"] = render(frontend, waveform, standard, torch.cat([around[None], heatmaps]), *options)[0]
    return {**sounds, "rest": waveform - sounds["standard"]}


def concept_sound(
    frontend: Frontend, waveform: Tensor, standard: Tensor, heatmaps: Tensor, settings: Mapping[str, Any], concept: int
) -> Tensor:
    """Render one concept of a clip's explanation as sound ``[S]``, by its place from 0.

    The other parameters are those of :func:`explanation_sounds`.
    """
    around = explanation.bypass(heatmaps, standard)
    mask = masks(standard, heatmaps, settings["percentile"], around)[concept]
    return apply_masks(frontend, waveform, mask.unsqueeze(0), settings["inverse"])[0]

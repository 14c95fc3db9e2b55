"""Family ``controls``: what every explanation must beat, and, of clips whose sound objects are known, what none can.

Each is a trivial answer that a measure must tell from an explanation: cells at random, the loudest ones, the right
heatmap of the wrong clip, class or network. A measure that does not is none, and an explanation that does no better
says nothing of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from earmark.errors import EarmarkError
from earmark.explainers import base
from earmark.explainers.base import Background, Batch, Explainer, Parts
from earmark.metrics.masking import USED, drops
from earmark.models.base import Model
from earmark.models.contrasts import randomised, runners_up
from earmark.seeds import derive
from earmark.sound.base import Frontend
from earmark.store.layout import INPUT_LAYER, STANDARD

REACH = 3
"""Standard deviations at which a Gaussian ends."""


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Any, seed: int) -> Explainer:
    """Make a control; see :func:`earmark.explainers.base.build`."""
    grid = model.frontend.grid

    def own(key: str) -> Any:
        return settings["explainers"]["controls"][key]

    def standard(of: Model = model) -> Explainer:
        return base.build(STANDARD, of, INPUT_LAYER, settings, None, seed)

    made: dict[str, Callable[[], Explainer]] = {
        "noise": lambda: drawn(grid, lambda generator: torch.randn(grid, generator=generator), seed),
        "cells": lambda: drawn(grid, lambda generator: torch.rand(grid, generator=generator), seed),
        "smooth": lambda: drawn(grid, lambda generator: smooth(grid, own("width"), generator), seed),
        "allpass": lambda: passing(grid, 1.0),
        "silence": lambda: passing(grid, 0.0),
        "energy": lambda: energy(model.frontend),
        "quiet": lambda: energy(model.frontend, quiet=True),
        "class-mean": lambda: class_mean(model, state),
        "other-clip": lambda: other_clip(standard(), state, seed),
        "second-best": lambda: second_best(model, standard()),
        "randomised": lambda: standard(randomised(model, seed)),
        "oracle-stems": lambda: oracle(model),
    }
    return made[method.partition("~")[0]]()


def drawn(grid: tuple[int, ...], draw: Callable[[Generator], Tensor], seed: int) -> Explainer:
    """Make an explainer that draws a map ``[*grid]`` for each clip by itself."""

    def explain(batch: Batch) -> Parts:
        maps = torch.empty(len(batch.clips), 1, *grid)
        for place, clip in zip(maps, batch.clips.tolist(), strict=True):
            place[0] = draw(torch.Generator().manual_seed(derive(seed, clip)))
        return Parts(maps.to(batch.inputs))

    return explain


def smooth(grid: tuple[int, ...], width: float, generator: Generator) -> Tensor:
    """Draw cells that are uniform in [0, 1], as independent ones are, and alike within `width` cells: ``[*grid]``.

    White noise beyond the grid's edges takes part in a Gaussian blur of unit norm, so that every cell is standard
    normal, those at the edges too; what is returned is how often a normal number is less.
    """
    reach = math.ceil(REACH * width)
    profile = torch.exp(-(torch.arange(-reach, reach + 1) / width).square() / 2)
    profile = profile / profile.norm()
    _, rows, columns = grid
    white = torch.randn(1, 1, rows + 2 * reach, columns + 2 * reach, generator=generator)
    blurred = torch.nn.functional.conv2d(white, profile.view(1, 1, -1, 1))
    blurred = torch.nn.functional.conv2d(blurred, profile.view(1, 1, 1, -1))
    return torch.special.ndtr(blurred).view(grid)


def passing(grid: tuple[int, ...], share: float) -> Explainer:
    """Make an explainer that lets the same share of every clip pass, wherever."""

    def explain(batch: Batch) -> Parts:
        maps = batch.inputs.new_full((len(batch.inputs), 1, *grid), share)
        return Parts(maps, sounds=share * batch.waveforms.unsqueeze(1))

    return explain


def energy(frontend: Frontend, quiet: bool = False) -> Explainer:
    """Make an explainer that looks at a clip's spectrogram and at no model: loudest cells first, or quietest."""

    def explain(batch: Batch) -> Parts:
        maps = batch.inputs.new_empty(len(batch.inputs), 1, *frontend.grid)
        for place, clip in zip(maps, batch.waveforms, strict=True):
            found = frontend.energies(clip.unsqueeze(0))
            place[0] = found.max() - found if quiet else found
        return Parts(maps)

    return explain


def class_mean(model: Model, background: Background) -> Explainer:
    """Make an explainer by the share of the energy that each cell has in a class's training clips, on average."""
    frontend = model.frontend

    def mean(target: int) -> Tensor:
        energies = frontend.energies(waveforms_of(background, candidates(background, target)))  # [N, F, T]
        totals = energies.sum(dim=(1, 2), keepdim=True)
        return torch.where(totals > 0, energies / totals, 0.0).mean(dim=0)

    def explain(batch: Batch) -> Parts:
        targets = batch.targets.tolist()
        means = {target: mean(target) for target in dict.fromkeys(targets)}
        maps = batch.inputs.new_empty(len(targets), 1, *frontend.grid)
        for place, target in zip(maps, targets, strict=True):
            place[0, 0] = means[target]
        return Parts(maps)

    return explain


def other_clip(standard: Explainer, background: Background, seed: int) -> Explainer:
    """Make an explainer by the standard heatmap of a training clip of the class, drawn for each clip by itself."""

    def draw(clip: int, target: int) -> int:
        places = candidates(background, target, clip)
        return int(places[derive(seed, clip) % len(places)])

    def explain(batch: Batch) -> Parts:
        drawn = [draw(*pair) for pair in zip(batch.clips.tolist(), batch.targets.tolist(), strict=True)]
        places = torch.tensor(drawn, dtype=torch.long)
        other = replace(
            batch,
            clips=background.clips[places.numpy()],
            waveforms=waveforms_of(background, places).to(batch.waveforms),
            inputs=background.inputs[places].to(batch.inputs),
        )
        return standard(other)

    return explain


def candidates(background: Background, target: int, clip: int = -1) -> Tensor:
    """List the places of the training clips of a class, other than `clip`.

    Raises
    ------
    EarmarkError
        If there is none.
    """
    alike = (background.targets == target) & torch.from_numpy(background.clips != clip)
    places = torch.nonzero(alike).squeeze(1)
    if not len(places):
        raise EarmarkError(
            f"class number {target + 1} has no training clip to compare with: leave out the methods that need one"
        )
    return places


def waveforms_of(background: Background, places: Tensor) -> Tensor:
    """Return some of the training clips, ``[n, S]``."""
    assert background.waveforms is not None  # the family's file asks for them
    return background.waveforms[places]


def second_best(model: Model, standard: Explainer) -> Explainer:
    """Make an explainer by the standard heatmap for the class that a clip is most easily mistaken for."""

    def explain(batch: Batch) -> Parts:
        if len(model.classes) == 1:
            raise EarmarkError("the network has one class and no second-best one: leave out the methods that need one")
        return standard(replace(batch, targets=runners_up(model, batch.inputs, batch.targets)))

    return explain


def oracle(model: Model) -> Explainer:
    """Make an explainer by the stems that the model uses: the log-odds fall by more than `USED` without each."""

    def explain(batch: Batch) -> Parts:
        maps = batch.inputs.new_zeros(len(batch.inputs), 1, *model.frontend.grid)
        sounds = torch.zeros_like(batch.waveforms).unsqueeze(1)  # [B, 1, S]
        for row, (clip, stems) in enumerate(zip(batch.waveforms, batch.stems, strict=True)):
            used = drops(model, clip, batch.targets[row], stems) > USED  # [O]
            energies = model.frontend.energies(torch.cat([stems, (clip - stems.sum(dim=0)).unsqueeze(0)]))
            whole = energies.sum(dim=0)  # [F, T], with what is in no stem
            maps[row, 0] = torch.where(whole > 0, energies[:-1][used].sum(dim=0) / whole, 0.0)
            sounds[row, 0] = stems[used].sum(dim=0)
        return Parts(maps, sounds=sounds)

    return explain

"""Gradient maps of the same clips, ours and captum's, of the same draws where equality is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor

from earmark.explainers import base as explainers
from earmark.explainers import gradients
from earmark.explainers.base import Background, Batch
from earmark.models.base import Network, evaluated
from earmark.plan import config
from earmark.seeds import derive
from earmark.sound.base import silence
from earmark.store.layout import INPUT_LAYER

SEED = 0


@dataclass(frozen=True)
class Pair:
    """A method, by Earmark and by captum.

    Attributes
    ----------
    name : str
        The method.
    places : int
        How many gradients there are of each clip.
    ours : callable
        Makes all maps.
    theirs : tuple of callable
        As captum comes, and in smaller batches where it lets one choose.
    alike : callable
        Makes both maps from the same draws.
    """

    name: str
    places: int
    ours: Callable[[], Tensor]
    theirs: tuple[Callable[[], Tensor], ...]
    alike: Callable[[], tuple[Tensor, Tensor]]


def pairs(model: Network, clips: Tensor, targets: Tensor, others: Tensor) -> list[Pair]:
    """List the methods that take many gradients of each clip.

    Parameters
    ----------
    model : Network
        What is explained.
    clips : Tensor [B, *I]
        Which are.
    targets : Tensor [B]
        Classes.
    others : Tensor [N, *I]
        Clips to compare with.
    """
    return [made(model, clips, targets, others) for made in (_smoothgrad, _integrated, _shap)]


def _explained(name: str, model: Network, clips: Tensor, targets: Tensor, others: Tensor) -> Callable[[], Tensor]:
    """Make the call of an explainer as the workflow makes it."""
    numbers, nothing = np.arange(len(others)), clips.new_empty(len(clips), 0)
    background = Background(numbers, others, torch.zeros(len(others)))
    batch = Batch(np.arange(len(clips)), nothing, clips, targets, nothing.unsqueeze(2))

    def explain() -> Tensor:
        maps = explainers.build(name, model, INPUT_LAYER, config.fill({}), background, SEED)(batch).maps
        assert maps is not None
        return maps[:, 0]

    return explain


def _drawn(clips: Tensor, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """Draw what our explainers draw, clip by clip."""
    return torch.stack([draw(torch.Generator().manual_seed(derive(SEED, clip))) for clip in range(len(clips))])


def _smoothgrad(model: Network, clips: Tensor, targets: Tensor, others: Tensor) -> Pair:
    count, level = (config.fill({})["explainers"]["gradients"][name] for name in ("samples", "noise"))
    captum, ours = NoiseTunnel(Saliency(model.network)), _explained("smoothgrad", model, clips, targets, others)
    options: dict[str, Any] = {"target": targets, "nt_samples": count, "stdevs": level, "abs": False}

    def alike() -> tuple[Tensor, Tensor]:
        noise = _drawn(clips, lambda generator: torch.randn(count, *clips.shape[1:], generator=generator)).to(clips)
        span = (clips.amax(dim=(1, 2, 3)) - clips.amin(dim=(1, 2, 3))).view(-1, 1, 1, 1, 1)
        copies = (clips.unsqueeze(1) + level * span * noise).flatten(0, 1)
        with mock.patch.object(NoiseTunnel, "_add_noise_to_input", staticmethod(lambda *arguments: copies)):
            return ours(), captum.attribute(clips, **options).abs()

    calls = (
        lambda: captum.attribute(clips, **options),
        lambda: captum.attribute(clips, **options, nt_samples_batch_size=1),
    )
    return Pair("SmoothGrad", count, ours, calls, alike)


def _integrated(model: Network, clips: Tensor, targets: Tensor, others: Tensor) -> Pair:
    count = config.fill({})["explainers"]["gradients"]["nodes"]
    captum, start = IntegratedGradients(model.network), silence(model.frontend).to(clips)

    def ours() -> Tensor:  # without a second look at clips whose sum is wrong, which captum does not take
        network = evaluated(model.network).requires_grad_(False)
        return (clips - start) * gradients.integrated(network, clips, targets, start, count)

    def theirs(**options: Any) -> Tensor:
        return captum.attribute(clips, start.unsqueeze(0), targets, n_steps=count, **options)

    calls = theirs, lambda: theirs(internal_batch_size=len(clips))
    return Pair("integrated gradients", count, ours, calls, lambda: (ours(), theirs()))


def _shap(model: Network, clips: Tensor, targets: Tensor, others: Tensor) -> Pair:
    captum, ours = GradientShap(model.network), _explained("gradient-shap", model, clips, targets, others)

    def theirs() -> Tensor:
        return captum.attribute(clips, others, n_samples=len(others), target=targets)

    def alike() -> tuple[Tensor, Tensor]:
        shares = _drawn(clips, lambda generator: torch.rand(len(others), generator=generator)).flatten().numpy()
        with (
            mock.patch.object(np.random, "choice", lambda count, size: np.tile(np.arange(count), size // count)),
            mock.patch.object(np.random, "uniform", return_value=shares),
        ):
            return ours(), theirs()

    return Pair("GradientSHAP", len(others), ours, (theirs,), alike)

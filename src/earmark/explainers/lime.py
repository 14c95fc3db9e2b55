"""Family ``lime``: what each interpretable part of a clip adds to the model's log-odds.

SLIME (Mishra et al. 2017) and audioLIME (Haunschmid et al. 2020) differ in how they cut a clip, KernelSHAP (Lundberg
and Lee 2017) in how it weighs what the model answers to some of the parts. Where parts are few, all states are asked
for, and the weights are exact Shapley values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from earmark.explainers import interpretable, surrogates
from earmark.explainers.base import Batch, Explainer, Parts
from earmark.explainers.interpretable import Decomposition
from earmark.explainers.surrogates import MOST_EXACT, Answers, Search, Surrogate
from earmark.metrics.masking import log_odds
from earmark.models.base import Model, answered
from earmark.seeds import derive
from earmark.sound.base import Frontend


@dataclass(frozen=True)
class Clip:
    """What is cut: a clip ``[S]``, its stems or separated sources ``[O, S]``, where needed, and a seed of its own."""

    waveform: Tensor
    stems: Tensor
    seed: int


Settings = Mapping[str, Any]
Cut = Callable[[Frontend, Clip, Settings], Decomposition]


def _blocks(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    return interpretable.blocks(frontend, clip.waveform, settings["frequency_blocks"], settings["time_blocks"])


def _segments(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    return interpretable.blocks(frontend, clip.waveform, 1, settings["segments"])


def _struck(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    sources = interpretable.harmonic_percussive(frontend, clip.waveform)
    return interpretable.pieces(frontend, clip.waveform, sources, settings["pieces"])


def _factored(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    sources = interpretable.factors(frontend, clip.waveform, settings["components"], clip.seed)
    return interpretable.pieces(frontend, clip.waveform, sources, settings["pieces"])


def _stems(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    return interpretable.pieces(frontend, clip.waveform, frontend.stft(clip.stems), settings["pieces"])


METHODS: Mapping[str, tuple[Cut, Callable[[int, float], Search]]] = {
    "slime": (_blocks, surrogates.local),
    "slime-segments": (_segments, surrogates.local),
    "audiolime-hpss": (_struck, surrogates.local),
    "audiolime-nmf": (_factored, surrogates.local),
    "audiolime-stems": (_stems, surrogates.local),
    "audiolime-folder": (_stems, surrogates.local),
    "kernel-shap": (_blocks, surrogates.sampled),
}


def build(method: str, model: Model, layer: str, settings: Settings, state: None, seed: int) -> Explainer:
    """Make an explainer of the family; see :func:`earmark.explainers.base.build`."""
    own = settings["explainers"]["lime"]
    cut, search = METHODS[method]
    frontend, chosen = model.frontend, search(own["samples"], own["ridge"])

    def explain(batch: Batch) -> Parts:
        maps = batch.inputs.new_zeros(len(batch.clips), 1, *frontend.grid)
        sounds = torch.zeros_like(batch.waveforms).unsqueeze(1)  # [B, 1, S]
        left, counts = [0.0], [0]
        for row, clip in enumerate(batch.clips.tolist()):
            waveform, target = batch.waveforms[row], int(batch.targets[row])
            parts = cut(frontend, Clip(waveform, batch.stems[row], derive(seed, clip)), own)
            if not len(parts.sounds):
                continue  # silence has no parts
            generator = torch.Generator().manual_seed(derive(seed, clip))
            off = away(frontend, parts, waveform, own["absent"], generator)
            found = surrogate(answering(model, waveform, target, parts.sounds, off), len(off), chosen, generator)
            weights = found.weights.to(maps)
            maps[row] = torch.einsum("d,dft->ft", weights, parts.densities())
            sounds[row] = heard(parts.sounds, weights, own["top"])
            left.append(found.unexplained)
            counts.append(len(off))
        return Parts(maps, sounds=sounds, checks={"unexplained": max(left), "parts": max(counts)})

    return explain


def away(frontend: Frontend, parts: Decomposition, clip: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Say what stands for each part ``[d, S]`` of a clip ``[S]`` that is away: silence, or noise like the clip."""
    if kind == "silence":
        return torch.zeros_like(parts.sounds)
    return interpretable.replacements(frontend, parts, interpretable.background(frontend, clip, generator))


def answering(model: Model, clip: Tensor, target: int, on: Tensor, off: Tensor) -> Answers:
    """Make the function from states of a clip's parts to a class's log-odds.

    Parameters
    ----------
    model : Model
        What is explained.
    clip : Tensor
        ``[S]``; at its peak all are heard.
    target : int
        The class.
    on, off : Tensor
        ``[d, S]``, each part and what stands for it where it is away.

    Returns
    -------
    callable
        From ``[N, d]`` of 0 and 1 to float64 ``[N]``.
    """
    frontend = model.frontend
    sounds = torch.cat([on - off, off.sum(dim=0, keepdim=True)])  # [d + 1, S]; the last is always heard

    @torch.no_grad()
    def answers(states: Tensor) -> Tensor:
        inputs = frontend.mixed(sounds, torch.nn.functional.pad(states, (0, 1), value=1).to(clip.device), clip)
        logits = answered(model, inputs)  # [N, C]
        return log_odds(logits, torch.full((len(logits),), target, device=logits.device), model.multi_label)

    return answers


def surrogate(answers: Answers, parts: int, search: Search, generator: torch.Generator) -> Surrogate:
    """Find the additive surrogate of d parts: exactly where they are few, else by a search."""
    return (surrogates.exact if parts <= MOST_EXACT else search)(answers, parts, generator)


def heard(sounds: Tensor, weights: Tensor, top: int) -> Tensor:
    """Sum those of the sounds ``[d, S]`` whose weights ``[d]`` are positive, at most so many, the heaviest: ``[S]``."""
    heaviest = weights.argsort(descending=True, stable=True)[:top]
    return sounds[heaviest[weights[heaviest] > 0]].sum(dim=0)

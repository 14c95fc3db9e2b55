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
from earmark.explainers.base import Background, Batch, Explainer, Parts
from earmark.explainers.interpretable import Decomposition
from earmark.explainers.surrogates import MOST_EXACT, Answers, Search, Surrogate
from earmark.metrics.masking import log_odds
from earmark.models import mixtures
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

Asking = Callable[[Decomposition, Tensor, int, torch.Generator], Answers]
"""From a clip's parts, the clip ``[S]``, a class and a source of random numbers to what the model answers."""


def _blocks(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    return interpretable.blocks(frontend, clip.waveform, settings["frequency_blocks"], settings["time_blocks"])


def _rectangles(frontend: Frontend, clip: Clip, settings: Settings) -> Decomposition:
    return interpretable.rectangles(frontend, clip.waveform, settings["frequency_blocks"], settings["time_blocks"])


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


def mixing(model: Model, settings: Settings, background: Background | None) -> Asking:
    """Ask for the sounds of the parts that are there, and of what stands for the others."""

    def ask(parts: Decomposition, clip: Tensor, target: int, generator: torch.Generator) -> Answers:
        off = away(model.frontend, parts, clip, settings["absent"], generator)
        return answering(model, clip, target, parts.sounds, off)

    return ask


def replacing(model: Model, settings: Settings, background: Background | None) -> Asking:
    """Ask for the clip's input, its cells replaced by their mean over training clips where their part is away.

    That is an input of no sound, as 0 is to a network whose inputs are standardised (Mishra et al. 2017).
    """
    assert background is not None
    usual = background.inputs.mean(dim=0)  # [*I]

    def ask(parts: Decomposition, clip: Tensor, target: int, generator: torch.Generator) -> Answers:
        cells = parts.shares.unsqueeze(1)  # [d, 1, F, T], 0 and 1
        there = model.frontend(clip.unsqueeze(0))  # [1, *I]

        def answers(states: Tensor) -> Tensor:
            gone = torch.tensordot(states.to(cells), cells, dims=1) <= 0  # [N, 1, F, T]
            inputs = there.expand(len(states), *there.shape[1:])
            return odds(model, answered(model, model.frontend.replaced(inputs, gone, usual.to(there))), target)

        return answers

    return ask


METHODS: Mapping[str, tuple[Cut, Callable[[Model, Settings, Background | None], Asking], Callable[..., Search]]] = {
    "slime": (_blocks, mixing, surrogates.local),
    "slime-mean": (_rectangles, replacing, surrogates.local),
    "slime-segments": (_segments, mixing, surrogates.local),
    "audiolime-hpss": (_struck, mixing, surrogates.local),
    "audiolime-nmf": (_factored, mixing, surrogates.local),
    "audiolime-stems": (_stems, mixing, surrogates.local),
    "audiolime-folder": (_stems, mixing, surrogates.local),
    "kernel-shap": (_blocks, mixing, surrogates.sampled),
}


def build(method: str, model: Model, layer: str, settings: Settings, state: Background | None, seed: int) -> Explainer:
    """Make an explainer of the family; see :func:`earmark.explainers.base.build`.

    Raises
    ------
    EarmarkError
        When clips are explained, if nobody has said where the front end's cells lie.
    """
    own = settings["explainers"]["lime"]
    cut, asking, search = METHODS[method]
    frontend, ask, chosen = model.frontend, asking(model, own, state), search(own["samples"], own["ridge"])

    def explain(batch: Batch) -> Parts:
        maps = batch.inputs.new_zeros(len(batch.clips), 1, *frontend.grid)
        sounds = torch.zeros_like(batch.waveforms).unsqueeze(1)  # [B, 1, S]
        left, counts = [0.0], [0]
        for row, clip in enumerate(batch.clips.tolist()):
            waveform, target = batch.waveforms[row], int(batch.targets[row])
            parts = cut(frontend, Clip(waveform, batch.stems[row], derive(seed, clip)), own)
            if not len(parts.sounds):
                continue  # silence has no parts that sound
            generator = torch.Generator().manual_seed(derive(seed, clip))
            answers = ask(parts, waveform, target, generator)
            found = surrogate(answers, len(parts.sounds), chosen, generator)
            weights = found.weights.to(maps)
            maps[row] = torch.einsum("d,dft->ft", weights, parts.densities())
            sounds[row] = heard(parts.sounds, weights, own["top"])
            left.append(found.unexplained)
            counts.append(len(parts.sounds))
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
        chosen = torch.nn.functional.pad(states, (0, 1), value=1).to(clip.device)
        return odds(model, mixtures.answered(model, frontend.mixed(sounds, chosen, clip)), target)

    return answers


def odds(model: Model, logits: Tensor, target: int) -> Tensor:
    """Compute a class's log-odds by logits ``[N, C]``: float64 ``[N]``."""
    return log_odds(logits, torch.full((len(logits),), target, device=logits.device), model.multi_label)


def surrogate(answers: Answers, parts: int, search: Search, generator: torch.Generator) -> Surrogate:
    """Find the additive surrogate of d parts: exactly where they are few, else by a search."""
    return (surrogates.exact if parts <= MOST_EXACT else search)(answers, parts, generator)


def heard(sounds: Tensor, weights: Tensor, top: int) -> Tensor:
    """Sum those of the sounds ``[d, S]`` whose weights ``[d]`` are positive, at most so many, the heaviest: ``[S]``."""
    heaviest = weights.argsort(descending=True, stable=True)[:top]
    return sounds[heaviest[weights[heaviest] > 0]].sum(dim=0)

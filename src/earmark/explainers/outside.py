"""Explanations of contaminated clips, heard alone, and held against what the clips were contaminated with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from earmark.data.dataset import ClassInfo
from earmark.explainers import base, explanation
from earmark.explainers.base import Batch, Explainer
from earmark.job import Job
from earmark.metrics.masking import SCORES, first_cells, played, ranks, shares
from earmark.metrics.outside import answers, apart, asked, closer
from earmark.metrics.scores import ties_seeds
from earmark.metrics.truth import gain
from earmark.models import base as models
from earmark.models.base import Model
from earmark.sound.masks import apply_masks

OF_CLIP = ("moved", "without_clip", "without_contaminant", "source_auc", "source_ap", "source_gain")
"""What is known of a clip: whether its answer is another class; where it is not, the nats that log-odds lose without
either sound, how well relevance tells the cells of the two apart, and how much closer to the clip its cells are."""

OF_SOUND = ("budget", *SCORES, "source_gain")
"""What is known of a sound that an explanation was heard as."""


class Told(NamedTuple):
    """What is known of a clip, by the names in ``OF_CLIP``, and a row in the order of ``OF_SOUND`` for every sound."""

    clip: tuple[float, ...]
    sounds: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Judge:
    """Explains clips of a class, and scores the explanations.

    Attributes
    ----------
    model : Model
        What is explained.
    explain : callable
        The explainer.
    target : int
        The class.
    budgets : sequence of float
        Shares of the energy at which explanations are heard.
    seed : int
        The configuration's, for the order of equally relevant cells.
    device : torch.device
        Where it computes.
    """

    model: Model
    explain: Explainer
    target: int
    budgets: Sequence[float]
    seed: int
    device: torch.device

    @classmethod
    def of(cls, job: Job, model: Model, of_class: ClassInfo) -> Judge:
        """Make what explains a class by the job's method."""
        state, seed = base.state_of(job, of_class.slug), base.seed_of(job, of_class.slug)
        explain = base.build(job.method, model, job.layer, job.config, state, seed)
        budgets = shares(job.config["evaluate"]["budgets"])
        return cls(model, explain, of_class.index, budgets, job.config["seed"], models.device(job.gpu))

    def __call__(self, index: pd.DataFrame, sources: Tensor) -> list[Told]:
        """Judge clips, rows of the clip index, by their sources ``[B, 2, S]``: each clip, and what is added to it."""
        sources = sources.to(self.device)
        targets = torch.full((len(sources),), self.target, device=self.device)
        kept, fallen = answers(self.model, sources, targets)  # [B], [B, 2]
        told = [Told((1, *[math.nan] * (len(OF_CLIP) - 1)), []) for _ in sources]
        places = kept.nonzero()[:, 0].tolist()
        if places:
            mixtures = sources[kept].sum(dim=1)
            clips = index.index.to_numpy()[places]
            batch = Batch(clips, mixtures, self.model.frontend(mixtures), targets[kept], sources[kept])
            parts = self.explain(batch)
            cells = explanation.joined(explanation.maps_of(parts)).to(mixtures)  # [n, F, T]
            own = [None] * len(places) if parts.sounds is None else explanation.heard(parts).to(mixtures)
            seeds = ties_seeds(self.seed, index["path"].iloc[places])
            for place, *one in zip(places, cells, own, seeds, strict=True):
                told[place] = self.scored(sources[place], fallen[place], *one)
        return told

    def scored(self, sources: Tensor, fallen: Tensor, cells: Tensor, own: Tensor | None, seed: int) -> Told:
        """Score the explanation of a clip ``[2, S]`` by its cells ``[F, T]`` and, where it has one, its sound."""
        frontend, mixture = self.model.frontend, sources.sum(dim=0)
        most = first_cells(frontend, frontend.stft(mixture[None])[0], ranks(cells, seed), self.budgets)
        sounds = apply_masks(frontend, mixture, most)  # [M, S]
        target = torch.tensor(self.target, device=self.device)
        frame = played(self.model, mixture, target, sounds, self.budgets, own)
        known = bool(asked(fallen))
        every = sounds if own is None else torch.cat([sounds, own[None]])
        frame["source_gain"] = closer(every, sources).cpu().numpy() if known else math.nan
        truth = [math.nan] * 3
        if known:
            truth = [*apart(frontend, sources, cells), gain(frontend, mixture, sources[0], cells, seed)]
        return Told((0, *fallen.tolist(), *truth), list(frame[list(OF_SOUND)].itertuples(index=False, name=None)))

"""Stage ``composites``: which LRP rules explain best? (thesis, B.1.1, Fig. B.1).

The standard heatmaps of several sets of rules, called composites, are scored by patch flipping. Validation
clips decide: rules chosen by test clips would flatter every score that those clips give afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import RULES
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.attributor import Attributor
from earmark.lrp.rules import Rules, from_config
from earmark.metrics.flipped import Flipped, flip
from earmark.metrics.flipping import REPLACEMENTS
from earmark.metrics.scores import FLIPPED, ties_seeds
from earmark.models import base as models
from earmark.models.base import Model
from earmark.plan.config import CHANCE, CONFIGURED
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "candidate", "logit", *FLIPPED, "left_out")

CURVE_COLUMNS = ("cls", "clip", "group", "candidate", "replacement", "fraction", "ratio")


def run(job: Job) -> None:
    """Write ``composites.csv`` and ``composites_curves.csv``: scores, and curves, clip by clip.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``evaluate``, ``composites.candidates``, ``seed``.

    Raises
    ------
    EarmarkError
        If a candidate does not fit the network.
    """
    device = models.device(job.gpu)
    model = models.of(job)
    source, choice = dataset.of(job), chosen.of(job)
    candidates = read_candidates(model, job.config)
    classes = dataset.explained(job.config, source)
    progress = job.progress(len(classes))
    rows: list[tuple[Any, ...]] = []
    curves: list[tuple[Any, ...]] = []
    for done, cls in enumerate((cls for cls in classes if choice.has(cls, RULES)), start=1):
        clips, logits = choice.clips(cls.slug, RULES), choice.logits(cls.slug, RULES)
        left_out = choice.left_out(cls.slug, RULES)
        inputs = source.inputs(clips).to(device)
        targets = torch.full((len(clips),), cls.index, device=device)
        index = source.clips.iloc[clips]
        seed = job.seed("composites", CHANCE, cls.slug)
        ties = ties_seeds(job.config["seed"], index["path"])
        for name, rules in candidates.items():
            maps = relevance(model, inputs, targets, rules, seed)
            flipped = flip(model, inputs, targets, maps, job.config["evaluate"]["patch"], ties)
            curves += curve_rows((cls.slug, clips.tolist(), index["group"]), name, flipped)
            named = zip(clips.tolist(), index["path"], index["group"], strict=True)
            for clip, logit, scores in zip(named, logits.tolist(), flipped.scores.tolist(), strict=True):
                rows.append((cls.slug, *clip, name, logit, *scores, left_out))
        log.info("%s: %d clips under %d sets of rules", cls.slug, len(clips), len(candidates))
        progress(done, cls.slug)
    artifacts.write_csv(job.layout.composites(job.split), COLUMNS, rows, job.made)
    artifacts.write_csv(job.layout.composites_curves(job.split), CURVE_COLUMNS, curves, job.made)


def read_candidates(model: Model, config: Mapping[str, Any]) -> dict[str, Rules | None]:
    """Read the configured rules, the candidates, and None for patches in random order.

    Raises
    ------
    EarmarkError
        If a candidate does not fit the model; the sentence names it.
    """
    named = {CONFIGURED: config["lrp"]["rules"], **config["composites"]["candidates"]}
    device = next(model.network.parameters()).device
    found: dict[str, Rules | None] = {}
    for name, patterns in named.items():
        found[name] = rules = from_config({"lrp": {**config["lrp"], "rules": patterns}})
        try:
            Attributor(model, rules, torch.empty(0, *model.frontend.shape, device=device))
        except EarmarkError as error:
            raise EarmarkError(f"the LRP rules {name!r} do not fit the model: {error}") from error
    return {**found, CHANCE: None}


def relevance(model: Model, inputs: Tensor, targets: Tensor, rules: Rules | None, seed: int) -> Tensor:
    """Compute standard heatmaps [B, 1, F, T], or, where there are no rules, draw noise."""
    if rules is not None:
        return attributor.heatmaps(model, inputs, targets, rules)
    return torch.randn(len(inputs), *model.frontend.grid, generator=torch.Generator().manual_seed(seed)).to(inputs)


def curve_rows(
    clips: tuple[str, Iterable[int], Iterable[str]], candidate: str, flipped: Flipped
) -> Iterator[tuple[Any, ...]]:
    """Yield the curves of clips, given by their class, their numbers and their groups, under one set of rules.

    Yields
    ------
    tuple
        In the order of ``CURVE_COLUMNS``.
    """
    cls, numbers, groups = clips
    fractions = flipped.fractions.tolist()
    for clip, group, ratios in zip(numbers, groups, flipped.ratios.tolist(), strict=True):
        for kind, curve in zip(REPLACEMENTS, ratios, strict=True):
            for fraction, ratio in zip(fractions, curve, strict=True):
                yield cls, clip, group, candidate, kind, fraction, ratio

"""Stage ``composites``: which LRP rules explain best? (thesis, B.1.1, Fig. B.1).

The standard heatmaps of several sets of rules, called composites, are scored by patch flipping. Validation
clips decide: rules chosen by test clips would flatter every score that those clips give afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earmark import statistics
from earmark.data import chosen
from earmark.data.chosen import RULES
from earmark.data.dataset import open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import Rules, composite, from_config
from earmark.metrics.flipping import REPLACEMENTS, patch_flipping
from earmark.metrics.scores import batches, ties_seed
from earmark.models import base as models
from earmark.plan.config import CHANCE, CONFIGURED
from earmark.seeds import derive
from earmark.statistics import Clusters
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("cls", "clip", "path", "group", "candidate", "logit", "thesis", "fair_zero", "fair_floor", "left_out")

CURVE_COLUMNS = ("candidate", "replacement", "fraction", "ratio", "low", "high")


@dataclass(frozen=True)
class Flipped:
    """What flipping told of the clips of one class under one set of rules.

    Attributes
    ----------
    scores : Tensor [B, 3]
        ``thesis``, ``fair_zero``, ``fair_floor``.
    ratios : Tensor [B, 2, T + 1]
        Logit over the clip's own logit, by replacement and step.
    fractions : Tensor [T + 1]
        Fraction of the patches flipped at each step.
    """

    scores: Tensor
    ratios: Tensor
    fractions: Tensor


def run(job: Job) -> None:
    """Write ``composites.csv`` (a row per clip and candidate) and ``composites_curves.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``lrp``, ``evaluate``, ``composites.candidates``, ``seed``.

    Raises
    ------
    EarmarkError
        If a candidate does not fit the network, or no validation clip of a class is recognised.
    """
    device = models.device(job.gpu)
    network = models.load(job.layout.model(job.split))[0].to(device)
    source, choice = open_dataset(job.layout), chosen.of(job)
    candidates = read_candidates(network, job.config)
    progress = job.progress(len(source.classes))
    rows: list[tuple[Any, ...]] = []
    compared: list[np.ndarray] = []
    ratios: dict[str, list[Tensor]] = {}
    for done, cls in enumerate(source.classes, start=1):
        choice.require(cls, RULES)
        clips, logits = choice.clips(cls.slug, RULES), choice.logits(cls.slug, RULES)
        left_out = choice.left_out(cls.slug, RULES)
        compared.append(clips)
        inputs = source.logmel(clips).to(device)
        targets = torch.full((len(clips),), cls.index, device=device)
        index = source.clips.iloc[clips]
        seed = job.seed("composites", CHANCE, cls.slug)
        for name, rules in candidates.items():
            flipped = flip(network, inputs, targets, relevance(network, inputs, targets, rules, seed), job.config)
            ratios.setdefault(name, []).append(flipped.ratios)
            named = zip(clips.tolist(), index["path"], index["group"], strict=True)
            for clip, logit, scores in zip(named, logits.tolist(), flipped.scores.tolist(), strict=True):
                rows.append((cls.slug, *clip, name, logit, *scores, left_out))
        log.info("%s: %d clips under %d sets of rules", cls.slug, len(clips), len(candidates))
        progress(done, cls.slug)
    artifacts.write_csv(job.layout.composites(job.split), COLUMNS, rows, job.made)
    by_name = {name: torch.cat(parts).numpy() for name, parts in ratios.items()}
    index = source.clips.iloc[np.concatenate(compared)]
    clusters = Clusters.of(index["group"], index["class"])
    curves = curve_rows(by_name, flipped.fractions.tolist(), clusters, job.config)
    artifacts.write_csv(job.layout.composites_curves(job.split), CURVE_COLUMNS, curves, job.made)


def read_candidates(network: nn.Sequential, config: Mapping[str, Any]) -> dict[str, Rules | None]:
    """Read the configured rules, the candidates, and None for patches in random order.

    Raises
    ------
    EarmarkError
        If a candidate does not fit the network; the sentence names it.
    """
    named = {CONFIGURED: config["lrp"]["rules"], **config["composites"]["candidates"]}
    found: dict[str, Rules | None] = {}
    for name, patterns in named.items():
        found[name] = rules = from_config({"lrp": {**config["lrp"], "rules": patterns}})
        try:
            composite(network, rules)
        except EarmarkError as error:
            raise EarmarkError(f"the LRP rules {name!r} do not fit the model: {error}") from error
    return {**found, CHANCE: None}


def relevance(network: nn.Sequential, inputs: Tensor, targets: Tensor, rules: Rules | None, seed: int) -> Tensor:
    """Compute standard heatmaps [B, 1, F, T], or, where there are no rules, draw noise."""
    if rules is not None:
        return attributor.heatmaps(network, inputs, targets, rules)
    return torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed)).to(inputs)


def flip(network: nn.Module, inputs: Tensor, targets: Tensor, heatmaps: Tensor, config: Mapping[str, Any]) -> Flipped:
    """Flip the patches of clips by one heatmap each.

    Parameters
    ----------
    network : nn.Module
        The explained model.
    inputs : Tensor [B, 1, F, T]
        Log-mel spectrograms of at least one clip.
    targets : Tensor [B]
        Explained classes.
    heatmaps : Tensor [B, 1, F, T]
        Relevance.
    config : mapping
        ``evaluate`` and ``seed``.

    Returns
    -------
    Flipped
        On the CPU.
    """
    patch, seed = config["evaluate"]["patch"], ties_seed(config)
    scores, ratios = [], []
    for part in batches(len(inputs)):
        maps = heatmaps[part].unsqueeze(1)  # [B, 1, 1, F, T]
        zero, floor = (
            patch_flipping(network, inputs[part], targets[part], maps, patch, name, seed) for name in REPLACEMENTS
        )
        scores.append(torch.stack([zero.thesis, zero.fair, floor.fair], dim=1))
        logits = torch.stack([zero.curve[1], floor.curve[1]], dim=1).double()  # [B, 2, T + 1]
        ratios.append(logits / logits[:, :, :1])
    return Flipped(torch.cat(scores).cpu(), torch.cat(ratios).cpu(), zero.curve[0].cpu())


def curve_rows(
    ratios: Mapping[str, np.ndarray], fractions: list[float], clusters: Clusters, config: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Average curves over clips, then over classes, with intervals by group.

    Parameters
    ----------
    ratios : mapping of str to array [n, 2, T + 1]
        By candidate: logit over the clip's own, by replacement and step.
    fractions : list of float
        T + 1 fractions flipped.
    clusters : Clusters
        Of the n clips.
    config : mapping
        ``evaluate`` and ``seed``.

    Returns
    -------
    list of tuple
        In the order of ``CURVE_COLUMNS``.
    """
    values = np.concatenate([curves.reshape(len(curves), -1) for curves in ratios.values()], axis=1)
    seed = derive(config["seed"], "composites", "bootstrap")
    intervals = statistics.bootstrap(values, clusters, config["evaluate"]["bootstrap"], seed)
    places = [(name, kind, fraction) for name in ratios for kind in REPLACEMENTS for fraction in fractions]
    return [(*place, *interval) for place, interval in zip(places, intervals, strict=True)]

"""Stage ``relate``: which concepts networks of other data sets find too, in clips that both recognise.

Architecture, front end, labels and training may all be others. What is the same are the recordings: heatmaps of the
same clips are laid on one grid of time and frequency, where concepts are compared by where their relevance lies.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earmark.data.shared import shared_clips
from earmark.explainers.subspaces.alignment import Grouped
from earmark.explainers.subspaces.sides import Side
from earmark.job import Job
from earmark.metrics.correlation import TERMS
from earmark.models import base as models
from earmark.models.base import Model
from earmark.plan.methods import in_common
from earmark.sound.common import Common
from earmark.store import artifacts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)

COLUMNS = (
    *("cls", "other", "layer", "other_layer", "method", "k", "concept", "level", "group", "clips", "cells"),
    *(f"{kind}_{term}" for kind in ("found", "random") for term in TERMS),
)

CELLS = 2**25
"""Cells of concepts that are held at once; bounds memory and decides nothing else."""

DRAWS = 20
"""Draws of random subspaces of the other network."""


def run(job: Job) -> None:
    """Write ``beside.csv``: sums that correlations are made of, a row per pair of layers, concept and group of clips.

    Parameters
    ----------
    job : Job
        Of its configuration: ``grid``, ``evaluate.beside``, ``explain.classes``, ``seed``; of ``others``, by data set:
        ``lrp``, ``grid``, ``explain.classes``.

    Raises
    ------
    EarmarkError
        If a front end does not say where its cells lie.
    """
    rows: list[tuple[Any, ...]] = []
    for name in job.config["evaluate"]["beside"]:
        block, layout = job.config["others"][name], Layout(job.results, name)
        methods, ks = in_common(job.config["grid"], block["grid"])
        own = Side.of(job.layout, job.config, job.split, methods)
        other = Side.of(layout, block, job.split, methods)
        model = models.load(layout.model(job.split)).to(models.device(job.gpu))
        common = Common.of(own.source.frontend, other.source.frontend)
        pairs = shared_clips(own.source, other.source)  # [n, 2]
        asked = [(cls, k) for cls in own.classes if cls in other.classes for k in ks]
        progress = job.progress(len(asked), name)
        for done, (cls, k) in enumerate(asked, start=1):
            clips = pairs[own.recognises(pairs[:, 0], cls) & other.recognises(pairs[:, 1], cls)]
            if len(clips):
                seeds = [job.seed("beside", name, cls, k, draw) for draw in range(DRAWS)]
                rows += ((cls, name, *told) for told in compared((own, other), model, common, clips, cls, k, seeds))
            else:
                log.warning("%s: no clip is recognised here and in %s", cls, name)
            progress(done, f"{cls}, K = {k}")
    artifacts.write_csv(job.layout.beside(job.split), COLUMNS, rows, job.made)


def compared(
    sides: tuple[Side, Side],
    model: Model,
    common: Common,
    clips: NDArray[np.int64],
    cls: str,
    k: int,
    seeds: Sequence[int],
) -> Iterator[tuple[Any, ...]]:
    """Compare every concept with the other network's by the same method, and with random subspaces of that.

    Parameters
    ----------
    sides : (Side, Side)
        This data set, and the other one.
    model : Model
        The other one's.
    common : Common
        The grid that heatmaps of both are laid on.
    clips : array of int [n, 2]
        Rows of both clip indices.
    cls, k
        Class and number of concepts.
    seeds : sequence of int
        Of the draws.

    Yields
    ------
    tuple
        In the order of ``COLUMNS``, from the layer on.
    """
    own, other = sides
    found = Grouped()
    groups = own.source.clips["group"].to_numpy(str)[clips[:, 0]]
    concepts = k * (len(own.places) + len(other.places) + len(other.layers) * len(seeds))
    at_once = max(1, CELLS // (concepts * common.cells))
    for some in np.array_split(np.arange(len(clips)), -(-len(clips) // at_once)):
        ours, theirs = clips[some].T
        there = [*other.concepts(theirs, cls, k), *other.drawn(model, theirs, cls, k, seeds)]
        found.add(own.rows(own.concepts(ours, cls, k), common), other.rows(there, common), groups[some])
    for place, (layer, method) in enumerate(own.places):
        for number, other_layer in enumerate(other.layers):
            counterpart = other.places.index((other_layer, method))
            first = len(other.places) + number * len(seeds)
            matched, random, level = found.matched(place, counterpart, range(first, first + len(seeds)), k)
            for concept in range(k):
                about = layer, other_layer, method, k, concept + 1, float(level[concept])
                for group, (count, cells) in found.sizes.items():
                    terms = *matched[group][concept].tolist(), *random[group][concept].tolist()
                    yield (*about, group, count, cells, *terms)

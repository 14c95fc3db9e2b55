"""Views of a page: a class's concepts by one method, at one layer and for one K."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earmark.data.dataset import ClassInfo
from earmark.data.predictions import Predictions
from earmark.explainers import explanation
from earmark.explainers.explanation import TOP, Explanation
from earmark.metrics.scores import METRICS
from earmark.page import files, names
from earmark.page.names import Name
from earmark.page.pictures import Pictures
from earmark.page.sounds import INPUT, Library, read
from earmark.plan.methods import method_of
from earmark.sound.audible import AUDIBLE
from earmark.sound.base import Frontend
from earmark.statistics import DRAWS, Bar, Interval
from earmark.store.layout import STANDARD
from earmark.tables import agreement, concepts, labels, stability
from earmark.tables.concepts import NUMBER
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.written import Tables

SCORES = (
    ("flipping", "thesis", "patch flipping, all concepts at once"),
    ("flipping", "fair_zero", "patch flipping, in one order"),
    ("flipping", "overlap", "overlap of concepts"),
    ("flipping", "ssim", "structural similarity of concepts"),
    ("ground_truth", "nmi", "information on sound objects"),
)
"""Tables and metrics that stand beside a view, and how they are called there."""


@dataclass(frozen=True)
class Place:
    """Which view: a class, and where and how its concepts were found."""

    cls: ClassInfo
    at: At

    @property
    def name(self) -> str:
        """Its name in links and files."""
        return f"{self.cls.slug}.{self.at.layer}.{self.at.method}.K{self.at.k}"

    @property
    def key(self) -> dict[str, Any]:
        """What it is."""
        return {
            "id": self.name,
            "cls": self.cls.slug,
            "layer": self.at.layer,
            "method": self.at.method,
            "k": self.at.k,
        }


@dataclass(frozen=True)
class Views:
    """What views are made from.

    Attributes
    ----------
    study : Study
        Results.
    frontend : Frontend
        The model's.
    predictions : Predictions
        Its answers to all clips.
    tables : Tables
        Its tables, each read once for all views.
    sounds : Library
        Where sounds go.
    pictures : Pictures
        Where pictures of clips go.
    """

    study: Study
    frontend: Frontend
    predictions: Predictions
    tables: Tables
    sounds: Library
    pictures: Pictures

    def view(self, place: Place) -> dict[str, Any]:
        """Store the sounds of a view whose heatmaps exist, and say what it shows."""
        folder = self.study.method(place.at) / place.cls.slug
        found = explanation.read(folder / explanation.NAME)
        whole = explanation.read(self.study.heatmaps(labels.STANDARD, place.cls.slug))
        sounds = folder / "sounds"
        shown, scored = found.only(found.gallery), found.only(found.scored)
        rendered = (sounds / "clips.csv").exists()
        return {
            **place.key,
            "summary": list(_summary(place, self.tables)),
            "clips": [self._clip(place, shown, whole, row, sounds) for row in range(len(shown.clips))],
            "concepts": [] if place.at.method == STANDARD else list(self._concepts(place, scored, sounds)),
            "notes": [] if rendered else [f"Concepts of {place.at.method} are seen here and not heard: sonify.methods"],
        }

    def _clip(self, place: Place, shown: Explanation, whole: Explanation, row: int, sounds: Path) -> dict[str, Any]:
        """Describe a clip of the gallery."""
        clip = int(shown.clips[row])
        standard, parts = whole.of([clip]).heatmaps[0, 0], shown.heatmaps[row]  # [1, F, T], [K, 1, F, T]
        maps: dict[str, Tensor] = {"standard": standard}
        if place.at.method != STANDARD:
            maps |= {f"concept{number}": part for number, part in enumerate(parts, start=1)}
        around = explanation.bypass(parts, standard) if _is_whole(place.at.method) else None
        maps |= {} if around is None else {"bypass": around}
        limit = max(float(part.abs().max()) for part in maps.values())
        folder = sounds / f"{row:03d}"
        wanted = [name for name in (INPUT, *maps, "rest", *AUDIBLE) if (folder / f"{name}.wav").exists()]
        return {
            "folder": folder.name,
            **self._recording(clip),
            "seconds": self.frontend.clip_samples / self.frontend.sample_rate,
            "answers": [round(logit, 4) for logit in self.predictions.logits[clip].tolist()],
            "cls_logit": files.number(shown.logits[row]),
            "limit": files.number(limit),
            "maps": [described(name, part[0], limit, float(standard.sum())) for name, part in maps.items()],
            "sounds": self.sounds.of_folder(folder, wanted) if wanted else self._input(clip),
        }

    def _input(self, clip: int) -> list[dict[str, Any]]:
        """Store the sound of a clip alone, in the same file as that of the views that are heard."""
        return self.sounds.of({INPUT: self.study.source.waveforms([clip])[0]})

    def _concepts(self, place: Place, scored: Explanation, sounds: Path) -> Iterator[dict[str, Any]]:
        """Describe every concept as on its card."""
        at, cls, tables = place.at, place.cls.slug, self.tables
        known = concepts.read(tables.rows("concepts", at, cls), at.k)
        if known is None:
            return
        objects = names.by_objects(tables.rows("recovery", at, cls), at.k)
        again = agreement.found_again(tables.rows("agreement", at, cls))
        stable = stability.affinities(tables.rows("stability", at, cls))
        profiles = scored.profiles()[:, 0]  # [K, F, T]
        for number, places in enumerate(scored.strongest(TOP).tolist(), start=1):
            profile, share = profiles[number - 1], known.shares[number - 1]
            folders = [sounds / "cards" / f"concept{number}" / str(rank) for rank in range(1, len(places) + 1)]
            name = objects[number - 1] if objects else _name(folders, profile, self.frontend)
            remarks = [
                known.apart.of_concept(number),
                again.get(str(number), ""),
                *_stable(stable.get(str(number), {})),
            ]
            yield {
                "number": number,
                "share": files.number(share.estimate),
                "interval": [share.low, share.high] if math.isfinite(share.low) else None,
                **name._asdict(),
                "remarks": [remark for remark in remarks if remark],
                "profile": files.cells(profile, 0.0, float(profile.max()) or 1.0),
                "clips": [
                    {"rank": rank, **self._example(scored, number, row, folder)}
                    for rank, (row, folder) in enumerate(zip(places, folders, strict=True), start=1)
                ],
            }

    def _example(self, scored: Explanation, number: int, row: int, folder: Path) -> dict[str, Any]:
        """Describe a clip in which a concept weighs much."""
        relevance, part = scored.relevance[row], scored.heatmaps[row, number - 1, 0]
        limit = float(part.abs().max())
        wanted = [name for name in (INPUT, "concept") if (folder / f"{name}.wav").exists()]
        return {
            **self._recording(int(scored.clips[row])),
            "limit": files.number(limit),
            "relevance": files.number(relevance[number - 1]),
            "share": files.number(_ratio(relevance[number - 1], relevance.sum())),
            "map": files.cells(part, -limit, limit),
            "sounds": self.sounds.of_folder(folder, wanted) if wanted else [],
        }

    def _recording(self, clip: int) -> dict[str, Any]:
        """Name a clip and picture it."""
        return {
            "clip": clip,
            "path": str(self.study.source.clips["path"].iloc[clip]),
            "picture": self.pictures.of(clip),
        }


def _is_whole(method: str) -> bool:
    """Tell whether a method's parts sum to the standard heatmap."""
    return "sums_to_standard" in method_of(method).promises


def described(name: str, cells: Tensor, limit: float, total: float) -> dict[str, Any]:
    """Say what is shown of a clip's map ``[F, T]``, in full colour at `limit`; `total` is the relevance of all."""
    relevance = cells.double().sum()
    return {
        "name": name,
        "cells": files.cells(cells, -limit, limit),
        "sum": files.number(relevance),
        "share": files.number(_ratio(relevance, total)),
    }


def _summary(place: Place, tables: Tables) -> Iterator[dict[str, str]]:
    """Yield the numbers that a view is judged by, as far as they were computed."""
    where = (*place.at, place.cls.slug)
    number = tables.bars("concepts").get((*where, NUMBER))
    if number:
        value = f"{number[0]:.1f} of {place.at.k}"
        yield {"label": "concepts in effect", "value": value, "note": "those that are empty or alike count less"}
    for table, metric, label in SCORES:
        bar = tables.bars(table).get((*where, metric))
        if bar:
            direction = METRICS[metric].direction
            yield {"label": label, "value": _bar(bar), "note": f"{metric}; {direction} is better"}


def _stable(found: Mapping[str, tuple[Interval, float, bool]]) -> Iterator[str]:
    """Say how often a concept is found again by other draws."""
    for kind, (affinity, random, unstable) in found.items():
        mark = ", unstable" if unstable else ""
        yield f"affinity over {DRAWS[kind]} {_bar(affinity)}{mark}; of random subspaces {random:.2f}"


def _name(folders: Sequence[Path], profile: Tensor, frontend: Frontend) -> Name:
    """Name a concept whose objects nobody knows: by its sounds, or where there are none by its heatmaps."""
    paths = [path for folder in folders if (path := folder / "concept.wav").exists()]
    if paths:
        return names.by_sounds(torch.stack([read(path) for path in paths]), frontend.sample_rate)
    return names.by_rows(profile, frontend.frequencies)


def _bar(bar: Bar) -> str:
    estimate, low, high = bar
    return f"{estimate:.3f}" + (f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) else "")


def _ratio(part: Tensor | float, whole: Tensor | float) -> float:
    """Divide relevance by that of all; NaN where that does not speak for the class: nothing is a part of it."""
    return float(part) / float(whole) if float(whole) > 0 else math.nan

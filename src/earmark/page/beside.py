"""Explanations of a clip side by side: maps, sounds, and what the model says when it hears one alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data.dataset import ClassInfo
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.metrics.masking import NATIVE, listened_at, written
from earmark.page import files
from earmark.page.pictures import Pictures
from earmark.page.sounds import INPUT, Library, read
from earmark.plan.methods import named
from earmark.statistics import ALL, Bar
from earmark.store import artifacts
from earmark.tables import masking
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.written import Tables

HEARD = {"energy": float, "logodds": float, "logodds_in": float, "logodds_out": float}
"""What the model said of a sound, as `mask` wrote it."""


@dataclass(frozen=True)
class Beside:
    """What explanations side by side are made from; attributes as those of :class:`earmark.page.views.Views`."""

    study: Study
    tables: Tables
    sounds: Library
    pictures: Pictures

    def explanations(self) -> list[dict[str, Any]]:
        """Describe the explanations that the model heard, the best by the headline of their table first."""
        known = self.tables.bars("masking")
        claims = masking.claims(self.tables.frame("masking"))
        found = [
            {
                "id": _named(at),
                "title": named(at.method).says,
                "control": named(at.method).control,
                "claim": at in claims,
                **_gain(known, at),
            }
            for at in self.study.masked
        ]
        return sorted(found, key=lambda one: -math.inf if one["gain"] is None else one["gain"], reverse=True)

    def of_class(self, cls: ClassInfo) -> dict[str, Any]:
        """Store the sounds of a class's clips that were kept, and say what is shown of them."""
        heard = {_named(at): self._heard(at, cls) for at in self.study.masked}
        clips = sorted({int(path.stem) for _, folder, _ in heard.values() for path in folder.glob("*.wav")})
        return {"clips": [self._clip(clip, heard) for clip in clips]}

    def _heard(self, at: At, cls: ClassInfo) -> tuple[Explanation, Path, dict[int, dict[str, float]]]:
        """Read the maps of an explanation, where its sounds lie, and what the model said of them, clip by clip."""
        spelled = self.study.spelled(at, self.study.config["evaluate"]["masking"])  # the first seed stands for all
        folder = self.study.method(at._replace(method=spelled[0]))
        rows = artifacts.read_csv(folder / "masking.csv", {"clip": int, **HEARD})
        own = rows[rows["cls"] == cls.slug]
        at_budget = written(listened_at(self.study.config["evaluate"]["budgets"]))
        budget = NATIVE if (own["budget"] == NATIVE).any() else at_budget
        said = own[own["budget"] == budget].set_index("clip")[list(HEARD)].to_dict("index")
        return explanation.read(folder / cls.slug / explanation.NAME), folder / "masked" / cls.slug, said

    def _clip(self, clip: int, heard: Mapping[str, Any]) -> dict[str, Any]:
        """Describe a clip, and every explanation of it that was heard."""
        waves = {INPUT: self.study.source.waveforms([clip])[0]}
        shown: list[dict[str, Any]] = []
        for method, (found, folder, said) in heard.items():
            path = folder / f"{clip}.wav"
            if path.exists():
                waves[method] = read(path)
                cells = explanation.joined(found.of([clip]).heatmaps)[0]
                limit = float(cells.abs().max())
                numbers = {name: files.number(value) for name, value in said[clip].items()}
                shown.append({"id": method, "map": files.cells(cells, -limit, limit), "limit": limit, **numbers})
        return {
            "clip": clip,
            "path": str(self.study.source.clips["path"].iloc[clip]),
            "picture": self.pictures.of(clip),
            "shown": shown,
            "sounds": self.sounds.of(waves),
        }


def _named(at: At) -> str:
    """Name an explanation as its row on the page."""
    return f"{at.method} at {at.layer}, K = {at.k}" if named(at.method).layered else at.method


def _gain(known: Mapping[Any, Bar], at: At) -> dict[str, Any]:
    """Give the headline of an explanation, and its interval: there is none for clips of a single group."""
    estimate, *interval = known.get((*at, ALL, masking.HEADLINE), (math.nan,) * 3)
    told = [files.number(bound, 4) for bound in interval]
    return {"gain": files.number(estimate, 4), "interval": None if None in told else told}

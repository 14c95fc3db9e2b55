"""What is compared: a data set, one model of it, and the part of the grid that is asked for; and its reader."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED
from earmark.data.dataset import ClassInfo, DataSet
from earmark.explainers import explanation
from earmark.job import Job
from earmark.plan.config import CHANCE, CONFIGURED
from earmark.plan.datasets import networks
from earmark.plan.methods import always, base_of, learners, method_of, named, shown
from earmark.seeds import derive
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables.labels import LEVELS, At, methods

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """What tables and figures are made of: a data set, one model of it, and the part of the grid to be compared."""

    layout: Layout
    source: DataSet
    config: Mapping[str, Any]
    split: str
    _missing: set[Path] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def of(cls, job: Job) -> Study:
        """Open what a job works on."""
        return cls(job.layout, dataset.of(job), job.config, job.split)

    @property
    def name(self) -> str:
        """The data set and the split, for titles."""
        return f"{self.layout.dataset}, {self.split}"

    @functools.cached_property
    def asked(self) -> list[ClassInfo]:
        """Classes that are to be explained, in the order of the model's logits."""
        return dataset.explained(self.config, self.source)

    @property
    def classes(self) -> list[ClassInfo]:
        """Those of them that have clips, which tables and figures are of."""
        return [cls for cls in self.asked if cls.slug not in self.without]

    @functools.cached_property
    def without(self) -> dict[str, str]:
        """Why classes have no clips, by slug; none where that is not known."""
        if not self.has(self.layout.chosen(self.split)):
            return {}
        choice = chosen.read(self.layout, self.split)
        return {cls.slug: reason for cls in self.asked if (reason := choice.reason(cls.slug))}

    @property
    def slugs(self) -> list[str]:
        """Slugs of the classes."""
        return [cls.slug for cls in self.classes]

    @property
    def model_classes(self) -> list[str]:
        """Slugs of all classes that the model answers with, explained or not."""
        return [cls.slug for cls in self.source.classes]

    @property
    def methods(self) -> list[str]:
        """Methods of the grid that give concepts, the seeds of one as one."""
        return methods([name for name in self.config["grid"]["methods"] if method_of(name).parts])

    @property
    def levels(self) -> list[At]:
        """Explanations in one part: those of every table, and others of the grid."""
        others = methods([name for name in self.config["grid"]["methods"] if not method_of(name).parts])
        return list(
            dict.fromkeys([*LEVELS, *(At(layer, name, 1) for name in others for layer in self.layers_of(name))])
        )

    @property
    def controls(self) -> set[str]:
        """Methods that explain nothing."""
        return {name for name in (*self.methods, *(at.method for at in self.levels)) if named(name).control}

    @property
    def layers(self) -> list[str]:
        """Layers of the grid."""
        return list(self.config["grid"]["layers"])

    def layers_of(self, name: str) -> list[str]:
        """List the layers that a method, with or without its seed, works at; that of methods that know none."""
        return self.layers if named(base_of(name)).layered else [INPUT_LAYER]

    @property
    def ks(self) -> list[int]:
        """Numbers of concepts of the grid."""
        return list(self.config["grid"]["k"])

    @property
    def grid(self) -> list[At]:
        """All of the grid, K by K and layer by layer."""
        return self.over_grid(self.methods)

    @property
    def judged(self) -> list[At]:
        """All of the grid, first what has one part."""
        return [*(at for at in self.levels if at not in LEVELS), *self.grid]

    @property
    def crossed(self) -> list[At]:
        """Where there are cross-class matrices: nowhere with a single class."""
        return self.over_grid(self.config["evaluate"]["cross"]) if len(self.slugs) > 1 else []

    @property
    def stable(self) -> list[At]:
        """Where stability was measured."""
        return self.over_grid(self.config["stability"]["methods"])

    @property
    def masked(self) -> list[At]:
        """Explanations that the model hears."""
        return self.places(self.config["evaluate"]["masking"])

    @property
    def trained(self) -> list[str]:
        """Methods that learned to explain."""
        return learners(self.config)

    @property
    def tried(self) -> list[At]:
        """Explanations that are compared with those of other networks and classes, and of nearly equal clips."""
        return self.places(self.config["evaluate"]["sanity"])

    @property
    def contaminated(self) -> list[At]:
        """Explanations of clips that are contaminated by another sound."""
        return self.places(self.config["evaluate"]["outside"])

    def places(self, names: Sequence[str]) -> list[At]:
        """List where methods are, the seeds of one as one: those that give one part first, then the others."""
        return [
            At(layer, name, k)
            for parts in (False, True)
            for name in methods(names)
            if named(name).parts == parts
            for layer in self.layers_of(name)
            for k in named(name).counts(self.ks)
        ]

    @property
    def candidates(self) -> list[At]:
        """LRP rules to compare, the configured ones first and chance last; none where no candidate is named."""
        names = self.config["composites"]["candidates"]
        return [At(INPUT_LAYER, name, 1) for name in (CONFIGURED, *names, CHANCE)] if names else []

    @property
    def shown(self) -> list[str]:
        """Methods whose concepts are drawn."""
        return shown(self.config["grid"]["methods"])

    @property
    def middle(self) -> str:
        """The layer whose concepts are drawn."""
        return self.layers[len(self.layers) // 2]

    def middle_of(self, name: str) -> str:
        """Name the layer whose concepts by a method are drawn: the only one where it knows no layer."""
        return self.middle if named(base_of(name)).layered else INPUT_LAYER

    @property
    def draws(self) -> int:
        """Resamples behind every interval."""
        return int(self.config["evaluate"]["bootstrap"])

    @property
    def seed(self) -> int:
        """Seed of the resampling."""
        return derive(self.config["seed"], "compare")

    @property
    def networks(self) -> list[str]:
        """Splits of the networks that methods are compared over, the explained one first."""
        return networks(self.config)

    @property
    def splits(self) -> list[str]:
        """The explained split, those of further networks, and those of the cross-validation if asked for."""
        return [*self.networks, *self.folds]

    @property
    def folds(self) -> list[str]:
        """Splits of the cross-validation, if asked for."""
        return [f"cv{fold}" for fold in range(self.source.n_folds)] if self.config["cross_validation"] else []

    @functools.cached_property
    def fitted(self) -> list[str]:
        """Classes whose scored clips are not of the test folds alone: what was fitted saw them."""
        if not self.has(self.layout.chosen(self.split)):
            return []
        choice, split = chosen.read(self.layout, self.split), self.source.split(self.split)
        apart = np.setdiff1d(split.test, split.train)
        return [cls for cls in self.slugs if not np.isin(choice.clips(cls, SCORED), apart).all()]

    def of_network(self, split: str) -> Study:
        """Return the same for another network, with no more resamples than an estimate needs."""
        evaluate = {**self.config["evaluate"], "bootstrap": 1}
        return replace(self, split=split, config={**self.config, "evaluate": evaluate})

    def over_grid(self, names: list[str]) -> list[At]:
        """List methods at every layer and K, K by K and layer by layer, those last that know no layer."""
        everywhere = [*self.layers, INPUT_LAYER]
        return [
            At(layer, name, k)
            for k in self.ks
            for layer in everywhere
            for name in names
            if layer in self.layers_of(name)
        ]

    def folders(self, at: At) -> tuple[str, ...]:
        """Name the method folders that a row of the tables stands for."""
        return self.spelled(at, [*always(), *self.config["grid"]["methods"]])

    def spelled(self, at: At, names: Sequence[str]) -> tuple[str, ...]:
        """List those of some methods, each once, that a row of the tables stands for."""
        return tuple(name for name in dict.fromkeys(names) if at.method in (name, base_of(name)))

    def method(self, at: At) -> Path:
        """Folder of a method, layer and K."""
        return self.layout.method(self.split, *at)

    def heatmaps(self, at: At, cls: str) -> Path:
        """Path of the heatmaps of one class."""
        return self.layout.concept(self.split, *at, cls) / explanation.NAME

    def left_out(self, use: str) -> dict[str, int | None]:
        """Count, class by class, the clips that a use left out because they are not recognised; None: unknown."""
        if not self.has(self.layout.chosen(self.split)):
            return dict.fromkeys(self.slugs)
        choice = chosen.read(self.layout, self.split)
        return {slug: choice.left_out(slug, use) for slug in self.slugs}

    def has(self, path: Path) -> bool:
        """Tell whether a result is there; say so, once, where it is not."""
        if path.exists():
            return True
        if path not in self._missing:
            log.info("%s is missing: what is made of it stays empty", path)
            self._missing.add(path)
        return False

    def read_csv(self, path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame | None:
        """Read a table as :func:`earmark.store.artifacts.read_csv`; None where it is not there."""
        return artifacts.read_csv(path, types) if self.has(path) else None

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read a JSON object; an empty one where it is not there."""
        return json.loads(path.read_text(encoding="utf-8")) if self.has(path) else {}

    def read_metadata(self, path: Path) -> dict[str, Any]:
        """Read what is written beside tensors; nothing where they are not there."""
        return artifacts.read_metadata(path) if self.has(path) else {}

"""What is compared: a data set, one model of it, and the part of the grid that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data import chosen
from earmark.data.dataset import DataSet
from earmark.seeds import derive
from earmark.sound.logmel import LogMel
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import summary
from earmark.tables.summary import RANDOM, At

LEVELS = {At(INPUT_LAYER, "standard", 1): ("standard",), At(INPUT_LAYER, "noise", 1): ("noise~0",)}
"""Heatmaps without subspaces that every table holds, and the folders they lie in."""


@dataclass(frozen=True)
class Study:
    """What the stage works on: a data set, one model of it, and the part of the grid to be compared."""

    layout: Layout
    source: DataSet
    frontend: LogMel
    config: Mapping[str, Any]
    split: str

    @property
    def methods(self) -> list[str]:
        """Methods of the grid, the seeds of ``random`` as one."""
        return summary.methods(self.config["grid"]["methods"])

    @property
    def layers(self) -> list[str]:
        """Layers of the grid."""
        return list(self.config["grid"]["layers"])

    @property
    def ks(self) -> list[int]:
        """Numbers of concepts of the grid."""
        return list(self.config["grid"]["k"])

    @property
    def crossed(self) -> list[str]:
        """Methods with cross-class matrices."""
        return list(self.config["evaluate"]["cross"])

    @property
    def stable(self) -> list[str]:
        """Methods whose stability was measured."""
        return list(self.config["stability"]["methods"])

    @property
    def grid(self) -> list[At]:
        """All of the grid, K by K and layer by layer."""
        return [At(layer, method, k) for k in self.ks for layer in self.layers for method in self.methods]

    @property
    def candidates(self) -> list[At]:
        """LRP rules to compare, the configured ones first; none where no candidate is named."""
        names = self.config["composites"]["candidates"]
        return summary.candidates(names) if names else []

    @property
    def shown(self) -> list[str]:
        """Methods whose concepts are drawn: the first, and the first seed of ``random`` for comparison."""
        names = list(self.config["grid"]["methods"])
        return names[:1] + [name for name in names[1:] if name.startswith(f"{RANDOM}~")][:1]

    @property
    def draws(self) -> int:
        """Resamples behind every interval."""
        return int(self.config["evaluate"]["bootstrap"])

    @property
    def seed(self) -> int:
        """Seed of the resampling."""
        return derive(self.config["seed"], "compare")

    def left_out(self, use: str) -> dict[str, int | None]:
        """Count, class by class, the clips that a use left out because they are not recognised; None: unknown."""
        slugs = [cls.slug for cls in self.source.classes]
        if not self.layout.chosen(self.split).exists():
            return dict.fromkeys(slugs)
        choice = chosen.read(self.layout, self.split)
        return {slug: choice.left_out(slug, use) for slug in slugs}

    def folders(self, at: At) -> tuple[str, ...]:
        """Name the method folders that a row of the tables stands for."""
        if at in LEVELS:
            return LEVELS[at]
        seeds = tuple(name for name in self.config["grid"]["methods"] if name.startswith(f"{RANDOM}~"))
        return seeds if at.method == RANDOM else (at.method,)

    def heatmaps(self, layer: str, method: str, k: int, cls: str) -> Path:
        """Path of the heatmaps of one class."""
        return self.layout.concept(self.split, layer, method, k, cls) / "heatmaps.safetensors"

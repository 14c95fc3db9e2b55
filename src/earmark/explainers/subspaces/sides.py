"""The two sides of a comparison of concepts: data sets of the same recordings, each with a network of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import chosen, dataset
from earmark.data.chosen import SCORED, Chosen
from earmark.data.dataset import ClassInfo, DataSet
from earmark.explainers import explanation
from earmark.explainers.subspaces.alignment import random_heatmaps, spread
from earmark.lrp.rules import from_config
from earmark.models.base import Model
from earmark.sound.common import Common
from earmark.store.layout import Layout

Clips = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """A data set, and the part of its results that is compared.

    Attributes
    ----------
    source : DataSet
        Its clips.
    choice : Chosen
        Those of them that are explained.
    classes : dict of str to ClassInfo
        Those that are explained, by slug.
    block : mapping
        Its sections ``grid`` and, where random subspaces are drawn, ``lrp``.
    split : str
        Which network.
    methods : sequence of str
        Of the grids of both sides.
    """

    source: DataSet
    choice: Chosen
    classes: dict[str, ClassInfo]
    block: Mapping[str, Any]
    split: str
    methods: Sequence[str]

    @classmethod
    def of(cls, layout: Layout, block: Mapping[str, Any], split: str, methods: Sequence[str]) -> Side:
        """Open a data set by its layout."""
        source = dataset.open_dataset(layout)
        classes = {one.slug: one for one in dataset.explained(block, source)}
        return cls(source, chosen.read(layout, split), classes, block, split, methods)

    @property
    def layers(self) -> list[str]:
        """Of its grid."""
        return list(self.block["grid"]["layers"])

    @property
    def places(self) -> list[tuple[str, str]]:
        """Layers and methods, layer by layer."""
        return list(product(self.layers, self.methods))

    def recognises(self, clips: Clips, cls: str) -> NDArray[np.bool_]:
        """Say which of some clips it recognises and explains as a class."""
        return np.isin(clips, self.choice.clips(cls, SCORED))

    def concepts(self, clips: Clips, cls: str, k: int) -> list[Tensor]:
        """Read the heatmaps ``[n, K, *grid]`` of clips at every place."""
        paths = [self.source.layout.concept(self.split, *place, k, cls) / explanation.NAME for place in self.places]
        return [explanation.read(path).of(clips.tolist()).heatmaps for path in paths]

    def drawn(self, model: Model, clips: Clips, cls: str, k: int, seeds: Sequence[int]) -> list[Tensor]:
        """Explain clips by random subspaces of the network: heatmaps ``[n, K, *grid]`` per layer and draw."""
        rules = from_config({"lrp": self.block["lrp"]})
        inputs = self.source.inputs(clips).to(next(model.network.parameters()).device)
        targets = torch.full((len(clips),), self.classes[cls].index, device=inputs.device)
        return [
            maps for layer in self.layers for maps in random_heatmaps(model, inputs, targets, layer, k, rules, seeds)
        ]

    def rows(self, heatmaps: Sequence[Tensor], common: Common) -> Tensor:
        """Lay heatmaps ``[n, K, *grid]`` on a common grid, all concepts one after the other: ``[P, n, cells]``."""
        laid = [common.laid(self.source.frontend, maps.clamp_min(0)) for maps in heatmaps]
        return torch.cat([spread(maps).view(maps.shape[1], len(maps), -1) for maps in laid])

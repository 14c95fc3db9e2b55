"""Family ``controls``: maps that explain nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from earmark.explainers.base import Batch, Explainer, Parts
from earmark.models.base import Model
from earmark.seeds import derive


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: None, seed: int) -> Explainer:
    """Make ``noise~SEED``: standard normal cells, drawn for each clip by itself."""

    def explain(batch: Batch) -> Parts:
        maps = torch.empty(len(batch.clips), 1, *model.frontend.grid)
        for place, clip in zip(maps, batch.clips.tolist(), strict=True):
            place.normal_(generator=torch.Generator().manual_seed(derive(seed, clip)))
        return Parts(maps.to(batch.inputs))

    return explain

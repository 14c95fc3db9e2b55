"""Family ``lrp``: the relevance of every input cell, the explanation that others are parts of (thesis 3.2.1).

Of a network that LRP cannot look into, occlusion is the whole explanation: nothing can be divided into concepts there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.explainers import perturb
from earmark.explainers.base import Batch, Explainer, Parts
from earmark.lrp import attributor
from earmark.lrp.rules import from_config
from earmark.models.base import Model
from earmark.plan.config import OCCLUSION


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: None, seed: int) -> Explainer:
    """Make the explainer ``standard``; see :func:`earmark.explainers.base.build`."""
    if settings["lrp"]["rules"] == OCCLUSION:
        return perturb.occlusion(model, settings["explainers"]["lrp"]["patch"])
    rules = from_config({"lrp": settings["lrp"]})

    def explain(batch: Batch) -> Parts:
        maps, samples = attributor.relevance(model, batch.inputs, batch.targets, rules)  # [B, *grid], [B, 1, S]
        return Parts(maps.unsqueeze(1), samples if samples is None else samples.unsqueeze(1))

    return explain

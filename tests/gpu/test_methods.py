"""Every method explains on a GPU what it explains on the CPU."""

import copy
from dataclasses import replace

import pytest

from earmark.explainers import base as explainers
from earmark.models import base as models
from earmark.plan.methods import method_of
from earmark.store.layout import INPUT_LAYER
from tests.unit.explainers.test_contract import LAYER, NAMES, SETTINGS, batch_of, state_of, trained

__all__ = ["trained"]

TOLERANCE = 1e-4
"""Part of the largest value; interpreters compute in single precision."""

ENOUGH = copy.deepcopy(SETTINGS)
ENOUGH["explainers"]["lime"]["samples"] = 400
"""With fewer, parts have equal weights, and rounding decides which of them are heard."""


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same(trained, name):
    method = method_of(name)
    layer, state, found = LAYER if method.layered else INPUT_LAYER, state_of(method, trained), []
    for gpu in (0, 1):
        there = {part: getattr(trained, part).to(models.device(gpu)) for part in ("model", "inputs", "targets")}
        on = replace(trained, **there)
        explain = explainers.build(name, on.model, layer, ENOUGH, state, 1)
        found.append(explainers.joined([explain(batch_of(on))]))
    for one, other in ((getattr(parts, kind) for parts in found) for kind in ("maps", "samples", "sounds")):
        assert (one is None) == (other is None)
        assert one is None or float((one - other).abs().max()) <= TOLERANCE * float(one.abs().max())

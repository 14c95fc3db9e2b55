"""Costs are counted where the network is asked, whatever asks and whichever copy answers."""

from __future__ import annotations

import gc
import time
import weakref

import pytest
import torch

from earmark.explainers import base as explainers
from earmark.models.base import Network
from earmark.models.meter import Meter
from earmark.store.layout import INPUT_LAYER
from tests.unit.conftest import Trained
from tests.unit.explainers.test_contract import LAYER, SETTINGS, K, batch_of, state_of
from tests.unit.networks import Residual, drawn

CPU = torch.device("cpu")

CLIPS = 4

PATCHES = 16
"""Rectangles of 8 x 8 cells on a grid of 32 x 32."""


def asked(trained: Trained, name: str) -> tuple[float, float]:
    """Count what a method asks of the network per clip, forward and backward."""
    method = explainers.method_of(name)
    meter, layer = Meter(), LAYER if method.layered else INPUT_LAYER
    explain = explainers.build(name, meter.read(trained.model), layer, SETTINGS, state_of(method, trained), 1)
    explain(batch_of(trained, slice(CLIPS)))
    return meter.forward / CLIPS, meter.backward / CLIPS


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("energy", 0, 0),
        ("noise~3", 0, 0),
        ("saliency", 1, 1),
        ("input-x-gradient", 1, 1),
        ("smoothgrad", 50, 50),
        ("gradient-shap", 24, 24),  # of as many training clips
        ("gradcam", 1, 1),
        ("occlusion", 1 + PATCHES, 0),
        ("slime-segments", 2**4, 0),  # all selections of few segments
    ],
)
def test_a_method_asks_as_often_as_its_formula_says(trained: Trained, name: str, forward: int, backward: int) -> None:
    found = asked(trained, name)
    assert found[1] == backward
    assert found[0] == pytest.approx(forward, abs=1 / CLIPS)  # a layer is looked for with one clip


def test_relevance_goes_down_once_for_a_map_and_once_for_each_part(trained: Trained) -> None:
    looked = 1 / CLIPS  # how modules are connected is found with one clip
    assert asked(trained, "standard") == (1 + looked, 1)
    assert asked(trained, "drsa") == (1 + looked, K)


def test_another_network_of_the_same_modules_is_counted_too(trained: Trained) -> None:
    looked = 2 / CLIPS  # which modules to draw anew, and how they are connected
    assert asked(trained, "randomised") == (1 + looked, 1)


def test_maps_are_those_of_the_model_itself_which_keeps_no_hook(trained: Trained) -> None:
    for name in ("saliency", "standard", "drsa", "occlusion"):
        method = explainers.method_of(name)
        layer, state = LAYER if method.layered else INPUT_LAYER, state_of(method, trained)
        one, other = (
            explainers.build(name, model, layer, SETTINGS, state, 1)(batch_of(trained, slice(CLIPS))).maps
            for model in (trained.model, Meter().read(trained.model))
        )
        assert one is not None and other is not None and torch.equal(one, other)
    assert not trained.network._forward_hooks and not trained.network._forward_pre_hooks


def test_what_can_be_asked_module_by_module_still_can(trained: Trained) -> None:
    """Else selections of parts of a clip take twice as long as they do elsewhere."""
    assert list(map(type, Meter().read(trained.model).steps)) == list(map(type, trained.model.steps))
    assert len(trained.model.steps) > 1


def test_any_module_is_counted_and_two_meters_do_not_mix() -> None:
    model = Network.around(drawn(Residual()), _Cells())
    first, second = Meter(), Meter()
    inputs = torch.randn(3, *model.frontend.shape, dtype=torch.float64, requires_grad=True)
    first.read(model).logits(inputs).sum().backward()
    with torch.no_grad():
        second.read(model).logits(inputs[:2])
    assert (first.forward, first.backward) == (3, 3)
    assert (second.forward, second.backward) == (2, 0)


def test_a_pass_that_was_counted_is_freed() -> None:
    model = Meter().read(Network.around(drawn(Residual()), _Cells()))
    logits = model.logits(torch.randn(3, *model.frontend.shape, dtype=torch.float64, requires_grad=True))
    logits.sum().backward()
    kept = weakref.ref(logits)
    gc.disable()  # which finds no cycles through what autograd keeps
    try:
        del logits
        assert kept() is None
    finally:
        gc.enable()


class _Cells:
    shape = (1, 8, 8)


def test_time_is_that_of_its_blocks_added_up() -> None:
    meter = Meter()
    for _ in range(2):
        with meter.running(CPU):
            time.sleep(0.01)
    time.sleep(0.2)
    assert 0.02 <= meter.seconds < 0.2

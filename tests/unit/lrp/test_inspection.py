"""Rules and layers that fit a network, and how they are shown."""

from __future__ import annotations

import pytest
import torch
import yaml
from torch import nn

from earmark.errors import EarmarkError
from earmark.lrp.inspection import inspected, written
from earmark.lrp.suggest import patterns, suggested
from earmark.models.graph import fused
from earmark.plan import config
from tests.unit.networks import Gated, Residual, drawn, wave

IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
WAVES = torch.randn(2, 1, 64, generator=torch.Generator().manual_seed(2))


def rules_for(network: nn.Module, inputs: torch.Tensor = IMAGES) -> list[dict[str, object]]:
    return suggested(fused(drawn(network).float(), inputs)[1], inputs.shape[1:])


def test_a_spectrogram_enters_by_flat_and_convolutions_take_gamma() -> None:
    assert rules_for(Residual()) == [
        {"layers": "stem", "rule": "flat"},
        {"layers": "conv*", "rule": "gamma", "gamma": 0.25},
        {"layers": "wide", "rule": "gamma", "gamma": 0.25},
        {"layers": "*", "rule": "epsilon"},
    ]


def test_a_waveform_enters_by_epsilon() -> None:
    assert rules_for(wave(), WAVES) == [
        {"layers": "3", "rule": "gamma", "gamma": 0.25},
        {"layers": "*", "rule": "epsilon"},
    ]


def test_signed_inputs_take_generalised_gamma_and_activations_pass() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    assert rules_for(network) == [
        {"layers": "0", "rule": "flat"},
        {"layers": "2", "rule": "generalised-gamma", "gamma": 0.25},
        {"layers": "*", "rule": "epsilon"},
        {"layers": "*", "rule": "pass"},
    ]


def test_an_input_that_goes_elsewhere_too_enters_by_epsilon() -> None:
    class Skipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.stem(x) + x).mean(dim=3)[:, 0]

    assert rules_for(Skipped()) == [{"layers": "*", "rule": "epsilon"}]


@pytest.mark.parametrize(
    ("names", "others", "expected"),
    [
        (["conv2", "conv3"], ["dense1"], ["conv*"]),
        (["layer1.0.conv1", "layer2.10.conv2"], ["stem"], ["layer*.*.conv*"]),
        (["conv2", "conv3"], ["conv4"], ["conv2", "conv3"]),
        (["3", "6"], ["9"], ["3", "6"]),
        ([], ["a"], []),
    ],
)
def test_patterns_fit_their_names_and_no_others(names: list[str], others: list[str], expected: list[str]) -> None:
    assert patterns(names, others) == expected


@pytest.mark.parametrize(("network", "inputs"), [(Residual(), IMAGES), (wave(), WAVES)])
def test_what_is_suggested_can_be_pasted(network: nn.Module, inputs: torch.Tensor) -> None:
    found = inspected(drawn(network).float(), inputs)
    assert found.faults == () and found.coverage is not None and found.coverage.holds
    pasted = yaml.safe_load(written(found).split("\n\n")[-1])
    assert pasted["lrp"]["rules"] == found.rules
    assert pasted["grid"]["layers"] == list(found.offered)
    assert config.fill({"lrp": pasted["lrp"]})["lrp"]["rules"] == found.rules


def test_a_table_says_what_each_module_is() -> None:
    found = inspected(drawn(Residual(inplace=True, shared=True)).float(), IMAGES)
    rows = {layer.layer: layer for layer in found.layers}
    assert list(rows) == "stem relu4 conv1 norm1 conv2 norm2 wide pool head".split()
    assert (rows["stem"].rule, rows["conv1"].rule, rows["head"].rule) == ("flat", "gamma 0.25", "epsilon")
    assert rows["norm1"].rule == "" and rows["norm1"].note.startswith("fused into conv1")
    assert rows["relu4"].note == "called 4 times, the last is the layer"
    assert rows["conv1"].note == "taken after relu4" and rows["conv1"].output == "6x8x8"
    assert found.offered == ("stem",), "the other convolutions stand in branches"
    text = written(found)
    assert "100.0 %" in text and "absorbed" in text


def test_a_forward_that_leaves_pytorch_is_a_sentence() -> None:
    network = drawn(Gated(lambda h, g: torch.from_numpy((h + g).numpy()))).float()
    with pytest.raises(
        EarmarkError, match=r"cannot follow the network's answer back to its input: Can't call numpy\(\)"
    ):
        inspected(network, IMAGES)


def test_what_lrp_cannot_explain_is_listed_all_the_same() -> None:
    found = inspected(drawn(Gated(lambda h, g: h * g.sigmoid())).float(), IMAGES)
    assert found.coverage is None and found.offered == ()
    assert [(layer.layer, layer.through) for layer in found.layers] == [("stem", None), ("other", None), ("head", None)]
    (fault,) = found.faults
    assert "a sigmoid" in fault
    assert "lrp:" not in written(found)


class Shifted(nn.Module):
    """Convolutions behind a pooled ReLU, a sum of two, one with a constant, and an unrectified one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pooled, self.summed, self.moved, self.bare = (nn.Conv2d(size, 2, 1) for size in (1, 2, 2, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = nn.functional.max_pool2d(nn.functional.relu(self.stem(x)), 2)
        second = self.pooled(first).relu()
        third = self.summed(first + second).relu()
        fourth = self.moved(third - 0.1)
        return self.bare(fourth).mean(dim=(2, 3))


def test_gamma_is_for_inputs_that_nothing_can_make_negative() -> None:
    """On a few clips other inputs may happen to be positive, and on the next they are not."""
    assert rules_for(Shifted()) == [
        {"layers": "stem", "rule": "flat"},
        {"layers": "pooled", "rule": "gamma", "gamma": 0.25},
        {"layers": "summed", "rule": "gamma", "gamma": 0.25},
        {"layers": "moved", "rule": "generalised-gamma", "gamma": 0.25},
        {"layers": "bare", "rule": "generalised-gamma", "gamma": 0.25},
    ]

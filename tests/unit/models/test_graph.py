"""Who reads what in a network, whatever the order of definition, in place or not, once or several times."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.models.graph import Place, fused, probed, watched
from tests.unit.conftest import model_of
from tests.unit.networks import Residual, drawn, wave

INPUTS = torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
EVERY = [{}, {"inplace": True}, {"shared": True}, {"inplace": True, "shared": True}]


class Mixed(nn.Module):
    """The convolution is read by its ReLU and by an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.conv = nn.ReLU(), nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 2]."""
        h = self.conv(x)
        return (self.relu(h) + h).mean(dim=(2, 3))


@pytest.mark.parametrize("how", EVERY)
def test_a_linear_module_stands_for_its_relu_where_that_is_alone_in_reading_it(how) -> None:
    graph = probed(drawn(Residual(**how)), INPUTS)
    relus = [Place("relu4", n) for n in range(4)] if "shared" in how else [Place(f"relu{n}", 0) for n in range(1, 5)]
    layers = {"stem": relus[0], "conv1": relus[1], "norm1": relus[1], "wide": relus[3]}
    # The sum with what skips the branch is what the third ReLU reads.
    layers |= {"conv2": Place("norm2", 0), "norm2": Place("norm2", 0), "pool": Place("pool", 0)}
    assert {layer: graph.place(layer, []) for layer in layers} == layers
    assert graph.place("relu4", []) == relus[3], "of several calls the last"
    entry = graph.entry()
    assert entry and entry.name == "stem"


def test_a_relu_that_shares_its_input_is_not_the_layer() -> None:
    graph = probed(drawn(Mixed()), INPUTS)
    assert graph.place("conv", []) == Place("conv", 0)
    with pytest.raises(EarmarkError, match="no layer 'conv7' to explain; it has conv, relu"):
        graph.place("conv7", ["conv", "relu"])


def test_every_module_with_channels_is_a_layer() -> None:
    layers = model_of(drawn(Residual()), 1, 8, 8).layers
    assert list(layers) == "stem relu1 conv1 norm1 relu2 conv2 norm2 relu3 wide relu4 pool head".split()
    assert (layers["conv1"], layers["pool"], layers["head"]) == (6, 12, 3)
    assert model_of(drawn(wave()), 1, 64).layers["3"] == 8


@pytest.mark.parametrize("how", EVERY)
@pytest.mark.parametrize("layer", ["stem", "conv1", "conv2", "relu3", "wide"])
def test_operations_in_place_leave_what_is_watched_alone(how, layer: str) -> None:
    plain, other = drawn(Residual()), drawn(Residual(**how))
    expected, logits = watched(plain, INPUTS, probed(plain, INPUTS).place(layer, []))
    if layer == "relu3" and "shared" in how:
        return  # it has no name of its own
    found = watched(other, INPUTS, probed(other, INPUTS).place(layer, []))
    assert torch.equal(found.activations, expected)
    assert torch.equal(found.logits, logits)
    gradient, wanted = (
        torch.autograd.grad(*pair) for pair in ((found.logits.sum(), found.activations), (logits.sum(), expected))
    )
    assert torch.equal(gradient[0], wanted[0])
    assert not any(module._forward_hooks for module in other.modules())


def test_a_watched_layer_is_a_leaf_where_inputs_need_no_gradient() -> None:
    network = drawn(Residual()).requires_grad_(False)
    assert watched(network, INPUTS, Place("relu1", 0)).activations.is_leaf
    with torch.no_grad():
        assert not watched(network, INPUTS, Place("relu1", 0)).activations.requires_grad


@pytest.mark.parametrize("how", EVERY)
def test_normalisation_is_fused_where_it_reads_a_convolution_by_itself(how) -> None:
    network = drawn(Residual(**how))
    state = copy.deepcopy(network.state_dict())
    with torch.inference_mode():
        found, _ = fused(network, INPUTS)
    assert isinstance(found.norm1, nn.Identity) and isinstance(found.norm2, nn.Identity)
    torch.testing.assert_close(found(INPUTS), network(INPUTS), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_normalisation_of_what_others_read_too_or_of_several_values_stays() -> None:
    class Odd(nn.Module):
        def __init__(self, shared: bool) -> None:
            super().__init__()
            self.shared = shared
            self.conv, self.after, self.norm = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.conv(x)
            h = self.norm(self.after(self.norm(h))) if self.shared else self.norm(h) + h
            return h.mean(dim=(2, 3))

    for shared in (True, False):
        network = drawn(Odd(shared))
        found, graph = fused(network, INPUTS)
        assert graph.normalised() == [] and isinstance(found.norm, nn.BatchNorm2d)
        assert torch.equal(found(INPUTS), network(INPUTS))


def test_a_network_in_training_is_left_so_and_looked_at_as_evaluated() -> None:
    network = drawn(Residual())
    expected = network(INPUTS)
    model = model_of(network.train(), 1, 8, 8)
    torch.testing.assert_close(model.logits(INPUTS), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.watched(INPUTS, "head")[1], expected, rtol=1e-12, atol=1e-12)
    assert network.training and not any(module._forward_hooks for module in network.modules())


def test_an_input_by_keyword_is_refused_in_a_sentence() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(1, 4, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.inner(input=inputs).mean(dim=(2, 3))

    network = Keyword().eval()
    with pytest.raises(EarmarkError, match="inner is given its input by keyword"):
        probed(network, torch.randn(1, 1, 8, 8))
    assert not network.inner._forward_pre_hooks

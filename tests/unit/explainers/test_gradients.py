"""Gradient maps keep what theory promises, and equal captum's where its options match."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import (
    GradientShap,
    GuidedBackprop,
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Saliency,
)
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers import gradients
from earmark.explainers.base import Background, Batch, Parts
from earmark.models.base import Network
from earmark.models.external import Function
from earmark.plan.config import fill
from earmark.plan.methods import families
from earmark.seeds import derive
from earmark.sound.base import silence
from earmark.sound.waveform import Waveform
from earmark.store.layout import INPUT_LAYER, STANDARD
from tests.unit.conftest import FRONTEND
from tests.unit.networks import Residual, drawn, normed, wave

pytestmark = pytest.mark.filterwarnings(
    "ignore:Input Tensor 0 did not already require gradients",  # captum's of inputs that it changes back
    "ignore:Setting .*hooks on ReLU",
)

METHODS = families()["gradients"].methods
AT_INPUT = [name for name, method in METHODS.items() if not method.layered]
FLOOR = FRONTEND.floor
SEED = 3


def maps_of(name, model, inputs, targets, layer=INPUT_LAYER, others=None, **settings) -> torch.Tensor:
    """Explain clips by a method: maps [B, *grid]."""
    return parts_of(name, model, inputs, targets, layer, others, **settings).maps[:, 0]


def parts_of(name, model, inputs, targets, layer=INPUT_LAYER, others=None, **settings) -> Parts:
    others = inputs if others is None else others
    state = Background(np.arange(len(others)), others, torch.zeros(len(others)))
    explain = explainers.build(name, model, layer, fill({"explainers": {"gradients": settings}}), state, SEED)
    nothing = inputs.new_empty(len(inputs), 0)
    return explain(Batch(np.arange(len(inputs)), nothing, inputs, targets, nothing.unsqueeze(2)))


def noise_of(inputs, count):
    """Draw what a method draws for clips 0, 1, ...: [B, n, *I]."""
    generators = [torch.Generator().manual_seed(derive(SEED, clip)) for clip in range(len(inputs))]
    return torch.stack([torch.randn(count, *inputs.shape[1:], generator=one) for one in generators]).double()


def close(found, expected, to=1e-5):
    return bool((found - expected).abs().max() <= to * expected.abs().max())


def change_of(network, inputs, targets):
    """Say how much more than at silence the logit is."""
    quiet = torch.full_like(inputs, FLOOR)
    with torch.no_grad():
        return (network(inputs) - network(quiet)).gather(1, targets[:, None])[:, 0]


@pytest.fixture(scope="module")
def few(trained):
    """Return the trained network with six clips and their classes."""
    return trained.model, trained.inputs[:6], trained.targets[:6]


@pytest.fixture(scope="module")
def linear():
    """Return a model whose logits are sums of weighted cells, its weights [C, *I], and clips with classes."""
    network = drawn(nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3)))
    inputs = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    return Network.around(network, FRONTEND), network[1].weight.detach().view(3, 1, 32, 32), inputs


# What theory promises


@pytest.mark.parametrize("name", ["input-x-gradient", "integrated-gradients", "gradient-shap"])
def test_of_a_linear_model_what_exceeds_silence_is_weighted(linear, name) -> None:
    model, weights, inputs = linear
    targets = torch.tensor([0, 1, 2, 0])
    maps = maps_of(name, model, inputs, targets, others=torch.full((1, 1, 32, 32), FLOOR))
    assert close(maps, weights[targets] * (inputs - FLOOR), 1e-10)


@pytest.mark.parametrize("name", ["saliency", "smoothgrad", "guided-backprop"])
def test_of_a_linear_model_the_size_of_its_weights_is_left(linear, name) -> None:
    model, weights, inputs = linear
    targets = torch.tensor([2, 1, 0, 1])
    assert close(maps_of(name, model, inputs, targets), weights[targets].abs(), 1e-10)


def test_training_clips_are_compared_with_as_many_as_asked(linear) -> None:
    model, weights, inputs = linear
    targets, others = torch.zeros(4, dtype=torch.long), inputs.flip(0)
    maps = maps_of("gradient-shap", model, inputs, targets, others=others, baselines=2)
    assert close(maps, weights[targets] * (inputs - others[:2].mean(dim=0)), 1e-10)


@pytest.mark.parametrize("nodes", [2, 64])
def test_integrated_gradients_sum_to_the_change_of_the_logit(few, nodes) -> None:
    model, inputs, targets = few
    parts = parts_of("integrated-gradients", *few, nodes=nodes)
    change = change_of(model.network, inputs, targets)
    missed = (parts.maps.flatten(1).sum(dim=1) - change).abs() / change.abs()
    assert missed.max() < 0.01
    assert parts.checks["completeness"] == pytest.approx(float(missed.max()), rel=1e-6)


def test_what_no_gradient_sees_is_reported() -> None:
    class Step(nn.Module):
        def forward(self, inputs):
            return (inputs > 0).double().mean(dim=(1, 2, 3)).unsqueeze(1) + 0 * inputs.flatten(1).sum(1, keepdim=True)

    inputs = torch.ones(1, 1, 32, 32).double()
    parts = parts_of("integrated-gradients", Network.around(Step(), FRONTEND), inputs, torch.tensor([0]))
    assert parts.checks["completeness"] == 1


class Written(nn.Module):
    """The trained network's function, in other words."""

    def __init__(self, network) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {k.replace(".", "_"): v.detach().clone() for k, v in network.named_parameters()}
        )

    def forward(self, x):
        w = self.weights
        rectified = (functional.relu, lambda x: x.clamp(min=0), torch.relu_)
        for number, rectify in enumerate(rectified, start=1):
            padded = functional.pad(x, (1, 1, 1, 1))
            x = functional.conv2d(padded, w[f"conv{number}_weight"]) + w[f"conv{number}_bias"].view(-1, 1, 1)
            x = rectify(functional.max_pool2d(x, 2))  # a maximum and a ReLU may change places
        x = functional.threshold(x.flatten(1) @ w["dense1_weight"].T + w["dense1_bias"], 0, 0)
        return x @ w["dense2_weight"].T + w["dense2_bias"]


@pytest.mark.parametrize("name", AT_INPUT)
def test_two_ways_to_write_a_function_have_one_explanation(few, name) -> None:
    model, inputs, targets = few
    other = Network.around(Written(model.network), FRONTEND)
    assert close(maps_of(name, other, inputs, targets), maps_of(name, *few), 1e-8)


@pytest.mark.parametrize("how", [{"inplace": True}, {"shared": True}, {"inplace": True, "shared": True}])
@pytest.mark.parametrize("guided", [False, True])
def test_relus_in_place_or_shared_change_nothing(how, guided) -> None:
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    targets = torch.tensor([0, 1, 2])
    plain, other = (gradients.gradients(drawn(Residual(**options)), inputs, targets, guided) for options in ({}, how))
    assert torch.equal(plain, other)


RELUS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "function": functional.relu,
    "in place": torch.relu_,
    "clamp": lambda x: x.clamp(min=0),
    "clamp of cells": lambda x: torch.clamp(x, torch.zeros(4)),
    "clamp_min": lambda x: x.clamp_min(0),
    "threshold": nn.Threshold(0, 0),
    "bounded": nn.ReLU6(),
}


@pytest.mark.parametrize("how", RELUS)
def test_a_guided_relu_hands_on_what_is_positive_of_what_is_open(how) -> None:
    class Signed(nn.Module):
        def forward(self, x):
            return (RELUS[how](x.clone()) * torch.tensor([1.0, -2.0, 3.0, -4.0])).sum(dim=1, keepdim=True)

    inputs, targets = torch.tensor([[0.5, 0.5, -0.5, -0.5]]), torch.tensor([0])
    assert gradients.gradients(Signed(), inputs, targets).tolist() == [[1, -2, 0, 0]]
    assert gradients.gradients(Signed(), inputs, targets, guided=True).tolist() == [[1, 0, 0, 0]]


def test_other_bounds_are_no_relus() -> None:
    class Clipped(nn.Module):
        def forward(self, x):
            return -functional.hardtanh(x).clamp(max=0.7).sum(dim=1, keepdim=True)

    inputs, targets = torch.tensor([[0.5, -0.5, 0.8, 2.0]]), torch.tensor([0])
    assert gradients.gradients(Clipped(), inputs, targets, guided=True).tolist() == [[-1, -1, 0, 0]]


def test_guided_backpropagation_of_a_positive_path_is_the_gradient() -> None:
    network = drawn(nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), nn.ReLU(), nn.Linear(8, 2)))
    for weights in network.parameters():
        weights.data.abs_()
    inputs = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(2)).double()
    targets = torch.tensor([0, 1, 1])
    plain, guided = (gradients.gradients(network, inputs, targets, guided) for guided in (False, True))
    assert torch.equal(plain, guided)
    assert plain.min() > 0


def test_upper_layers_decide_integrated_gradients_and_lrp_and_hardly_guided_backpropagation(trained) -> None:
    other = copy.deepcopy(trained.network)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in ("dense1", "dense2"):
            other.get_submodule(name).reset_parameters()
    models = trained.model, replace(trained.model, network=other)

    def likeness(name):
        before, after = (maps_of(name, model, trained.inputs, trained.targets).flatten(1) for model in models)
        return float(functional.cosine_similarity(before, after).mean())

    assert likeness("integrated-gradients") < 0.5
    assert likeness(STANDARD) < 0.5
    assert likeness("guided-backprop") > 0.8


def test_gradcam_of_a_mean_and_a_linear_module_is_the_weighted_map() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.head = nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.relu(self.conv(x)).mean(dim=(2, 3)))

    network = drawn(Pooled())
    inputs = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(2)).double()
    targets = torch.tensor([0, 1, 2])
    maps = maps_of("gradcam", Network.around(network, FRONTEND), inputs, targets, "conv")
    activations = network.relu(network.conv(inputs)).detach()  # [B, D, F, T]
    summed = torch.einsum("bd,bdft->bft", network.head.weight[targets].detach(), activations)
    assert summed.min() < 0
    assert close(maps[:, 0], summed.relu() / 32**2, 1e-10)


def test_a_network_of_waveforms_has_maps_in_time_and_frequency() -> None:
    model = Network.around(drawn(wave()), Waveform(8000, 64, n_fft=16, hop=8, peak_scaling=False))
    inputs = torch.randn(3, 1, 64, generator=torch.Generator().manual_seed(2)).double()
    targets = torch.tensor([0, 1, 2])
    found = {
        name: parts_of(name, model, inputs, targets, "0" if method.layered else INPUT_LAYER)
        for name, method in METHODS.items()
    }
    assert {tuple(parts.maps.shape) for parts in found.values()} == {(3, 1, 1, 9, 9)}
    with torch.no_grad():
        change = (model.network(inputs) - model.network(torch.zeros_like(inputs))).gather(1, targets[:, None])[:, 0]
    assert torch.allclose(found["integrated-gradients"].maps.flatten(1).sum(dim=1), change, rtol=0.01)
    slopes = gradients.gradients(model.network, inputs, targets)
    sums = found["input-x-gradient"].maps.flatten(1).sum(dim=1)
    assert torch.allclose(sums, (inputs * slopes).flatten(1).sum(dim=1))
    heard = found["gradcam"].maps[:, 0, 0]
    assert torch.equal(heard, heard[:, :1].expand_as(heard)), "a layer that knows time alone"
    assert heard.std(dim=2).max() > 0


# captum as an oracle


@pytest.fixture(scope="module", params=["ours", "foreign"])
def known(request, trained):
    """Return a network of ours, or a foreign one with normed convolutions, with six clips and their classes."""
    model = trained.model if request.param == "ours" else Network.around(drawn(normed()), FRONTEND)
    return model, trained.inputs[:6], trained.targets[:6]


def rectified(model) -> dict[str, nn.Module]:
    """List layers of a network of these two, and the ReLUs that they stand for."""
    names = {"conv2": "relu_conv2", "conv3": "relu_conv3"} if "conv2" in model.layers else {"1": "2", "4": "5"}
    return {layer: model.network.get_submodule(relu) for layer, relu in names.items()}


def test_saliency_equals_captums(known) -> None:
    model, inputs, targets = known
    assert close(maps_of("saliency", *known), Saliency(model.network).attribute(inputs, target=targets))


class Above(nn.Module):
    """A network that is told what its input has more than silence."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs):
        return self.network(inputs + FLOOR)


def test_input_x_gradient_equals_captums_where_silence_is_0(known) -> None:
    model, inputs, targets = known
    theirs = InputXGradient(Above(model.network)).attribute(inputs - FLOOR, target=targets)
    assert close(maps_of("input-x-gradient", *known), theirs)


def test_smoothgrad_equals_captums_for_the_same_noise(known, monkeypatch) -> None:
    model, inputs, targets = known
    spread = (inputs.amax(dim=(1, 2, 3)) - inputs.amin(dim=(1, 2, 3))).view(-1, 1, 1, 1, 1)
    noisy = inputs[:, None] + 0.2 * spread * noise_of(inputs, 10)  # [B, n, *I]
    monkeypatch.setattr(NoiseTunnel, "_add_noise_to_input", staticmethod(lambda *arguments: noisy.flatten(0, 1)))
    theirs = NoiseTunnel(Saliency(model.network)).attribute(inputs, nt_samples=10, target=targets, abs=False)
    assert close(maps_of("smoothgrad", *known, samples=10, noise=0.2), theirs.abs())


def test_integrated_gradients_equal_captums(known) -> None:
    model, inputs, targets = known
    quiet = silence(FRONTEND).double()
    means = gradients.integrated(model.network, inputs, targets, quiet, 20)
    theirs = IntegratedGradients(model.network).attribute(inputs, quiet[None], targets, n_steps=20)
    assert close((inputs - quiet) * means, theirs)


def test_gradient_shap_equals_captums_for_the_same_draws(known, monkeypatch) -> None:
    model, inputs, targets = known
    others = inputs.flip(0)
    shares = [torch.rand(len(others), generator=torch.Generator().manual_seed(derive(SEED, n))) for n in range(6)]
    monkeypatch.setattr(np.random, "choice", lambda count, size: np.tile(np.arange(count), size // count))
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: torch.cat(shares).numpy())
    theirs = GradientShap(model.network).attribute(inputs, others, n_samples=6, target=targets)
    assert close(maps_of("gradient-shap", *known, others=others), theirs)


def test_gradcam_equals_captums_before_the_pool(known) -> None:
    model, inputs, targets = known
    for layer, module in rectified(model).items():
        coarse = LayerGradCam(model.network, module).attribute(inputs, targets, relu_attributions=True)
        expected = LayerAttribution.interpolate(coarse, (32, 32), "bilinear").detach()
        assert close(maps_of("gradcam", *known, layer), expected)
        assert expected.any()


def test_guided_backpropagation_and_guided_gradcam_equal_captums(known) -> None:
    model, inputs, targets = known
    guided = GuidedBackprop(model.network).attribute(inputs, targets)
    assert close(gradients.gradients(model.network, inputs, targets, guided=True), guided)
    assert close(maps_of("guided-backprop", *known), guided.abs())
    layer, module = next(iter(rectified(model).items()))
    both = GuidedGradCam(model.network, module).attribute(inputs, targets, interpolate_mode="bilinear")
    assert close(maps_of("guided-gradcam", *known, layer), both.abs().detach())


# What cannot be explained


@pytest.mark.parametrize("name", AT_INPUT)
def test_a_plain_function_is_told_what_explains_it(name) -> None:
    model = Network.around(Function(lambda inputs: inputs.flatten(1)[:, :3].numpy()), FRONTEND)
    with pytest.raises(EarmarkError, match=r"^no gradient comes through the network .*answers: .*occlusion"):
        maps_of(name, model, torch.zeros(2, 1, 32, 32), torch.tensor([0, 1]))


def test_gradients_that_end_in_a_network_are_no_zeros() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1024, 2)

        def forward(self, inputs):
            return self.head(inputs.detach().flatten(1))

    with pytest.raises(EarmarkError, match="no gradient comes through the network"):
        gradients.gradients(Detached(), torch.zeros(1, 1, 32, 32), torch.tensor([0]))


class Halved(torch.autograd.Function):
    """An operation with a backward pass of its own."""

    @staticmethod
    def forward(context, inputs):
        return inputs / 2

    @staticmethod
    def backward(context, gradient):
        return gradient / 2


HIDING = {
    "CheckpointFunctionBackward": lambda module, inputs: checkpoint(module, inputs, use_reentrant=True),
    "HalvedBackward": lambda module, inputs: Halved.apply(module(inputs)),
}


@pytest.mark.parametrize("name", HIDING)
def test_what_hides_a_relu_is_named(name) -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2), nn.ReLU())

        def forward(self, inputs):
            return HIDING[name](self.module, inputs)

    with pytest.raises(EarmarkError, match=f"guided backpropagation must reach every ReLU, and {name} hides"):
        gradients.gradients(Hidden(), torch.ones(1, 1, 32, 32), torch.tensor([0]), guided=True)


def test_a_layer_without_cells_has_no_map(few) -> None:
    with pytest.raises(EarmarkError, match=r"^dense1 answers \[12\] numbers that lie nowhere in a clip: name a layer"):
        maps_of("gradcam", *few, "dense1")

"""The network: its architecture, its split, its file."""

from __future__ import annotations

import copy

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.models import base as models
from earmark.models.cnn import build, layer_names


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_architecture_of_the_thesis() -> None:
    network = build([8, 8, 16, 16, 16], [20, 20], n_classes=2, input_shape=(64, 64))
    assert layer_names(network) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    weights = [(1, 8), (8, 8), (8, 16), (16, 16), (16, 16)]
    expected = sum(9 * below * width + width for below, width in weights)
    expected += (64 * 20 + 20) + (20 * 20 + 20) + (20 * 2 + 2)
    assert parameters(network) == expected
    large = build([32, 32, 64, 64, 128], [128, 128], 10, (128, 128), dropout=0.5)
    assert large(torch.zeros(2, 1, 128, 128)).shape == (2, 10)
    assert sum(isinstance(module, torch.nn.Dropout) for module in large) == 2


def test_splitting_keeps_the_function(trained) -> None:
    for layer in layer_names(trained.network):
        lower, upper = models.split_at(trained.network, layer)
        hidden = lower(trained.inputs)
        assert float(hidden.detach().min()) == 0, "after the ReLU"
        assert torch.equal(upper(hidden), trained.network(trained.inputs))
    with pytest.raises(EarmarkError, match=r"no layer 'conv7'.*conv1, conv2, conv3"):
        models.split_at(trained.network, "conv7")


def test_saved_and_loaded_networks_agree(tmp_path, trained) -> None:
    architecture = {"filters": [8, 8, 16], "dense": [12], "n_classes": 2, "input_shape": [32, 32], "dropout": 0.0}
    path = tmp_path / "model.safetensors"
    network = copy.deepcopy(trained.network).float()
    models.save(path, network, architecture, ["a", "b"], {"hop": 240}, {"seed": 0})
    loaded, meta = models.load(path)
    assert torch.equal(loaded(trained.inputs.float()), network(trained.inputs.float()))
    assert meta["classes"] == ["a", "b"]
    assert meta["provenance"] == {"seed": 0}
    assert not loaded.training


def test_too_small_an_input_is_refused() -> None:
    with pytest.raises(EarmarkError, match="too small"):
        build([8] * 5, [20], 2, (16, 64))


def test_a_gpu_that_is_not_there_is_a_clear_error(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.device(0) == torch.device("cpu")
    with pytest.raises(EarmarkError, match="gpu=0 computes on the CPU: make run GPU=0, or snakemake --resources gpu=0"):
        models.device(1)


def test_a_gpu_that_cannot_compute_is_a_clear_error(monkeypatch) -> None:
    """A card older than PyTorch's build is there, and fails at the first operation."""

    def fail(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(EarmarkError, match="no kernel image is available for execution on the device; gpu=0 computes"):
        models.device(1)

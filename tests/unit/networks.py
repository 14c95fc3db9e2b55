"""Small networks unlike the thesis's, on inputs [B, 1, 8, 8], [B, 1, 32, 32] or [B, 1, 64]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Residual(nn.Module):
    """A skip by addition, then one by concatenation; modules are defined in the reverse order of their use.

    Parameters
    ----------
    inplace : bool
        ReLUs, and the addition, write over their input.
    shared : bool
        One ReLU does for all.
    skip : callable
        Applied to what skips the branch.
    """

    def __init__(
        self, inplace: bool = False, shared: bool = False, skip: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.inplace, self.skip = inplace, skip
        self.head = nn.Linear(12 * 4 * 4, 3)
        self.pool = nn.MaxPool2d(2)
        self.wide = nn.Conv2d(6, 6, 3, padding=1)
        self.norm2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.norm1, self.conv1 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        relu = nn.ReLU(inplace)
        self.relu4, self.relu3, self.relu2, self.relu1 = (relu if shared else nn.ReLU(inplace) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 3]."""
        h = self.relu1(self.stem(x))  # [B, 6, 8, 8]
        branch = self.norm2(self.conv2(self.relu2(self.norm1(self.conv1(h)))))
        if self.inplace:
            branch += self.skip(h)
            h = branch
        else:
            h = self.added(branch, self.skip(h))
        h = self.relu3(h)
        h = torch.cat([h, self.relu4(self.wide(h))], dim=1)  # [B, 12, 8, 8]
        return self.head(self.pool(h).flatten(1))

    def added(self, branch: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        """Add what skipped the branch."""
        return branch + skipped


class Gated(nn.Module):
    """A branch opens and closes another, by a sigmoid that stands in forward.

    Parameters
    ----------
    gate : callable
        Of the two branches.
    """

    def __init__(self, gate: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.gate = gate
        self.stem, self.other = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, 8, 8] to [B, 3]."""
        h = self.stem(x).relu()
        return self.head(self.gate(h, self.other(h)).flatten(1))


def wave() -> nn.Module:
    """Build a network of waveforms [B, 1, 64], with grids of one dimension."""
    return nn.Sequential(
        nn.Conv1d(1, 4, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def normed() -> nn.Sequential:
    """Build a network of inputs [B, 1, 32, 32] whose convolutions are normalised before their ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2, padding=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 3),
    )


def drawn(network: nn.Module, biases: bool = True, seed: int = 0) -> nn.Module:
    """Draw a network's parameters and statistics anew, without anything added if `biases` is false."""
    generator = torch.Generator().manual_seed(seed)
    network.double().eval()
    with torch.no_grad():
        for module in network.modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if name in ("bias", "running_mean"):
                    tensor.normal_(std=0.2, generator=generator).mul_(biases)
                elif name == "running_var" or (name == "weight" and tensor.dim() == 1):
                    tensor.uniform_(0.5, 2, generator=generator)
                elif name == "weight":
                    tensor.normal_(std=(2 / tensor[0].numel()) ** 0.5, generator=generator)
    return network

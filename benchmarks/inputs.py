"""What the benchmark computes on: a network trained a little on structured clips, its pairs and subspaces.

Everything follows from fixed seeds, so that both sides, and every run, see the same inputs. Speed depends on
the inputs only where an iteration converges, so there they must resemble the real ones: sparse activations,
contexts with a negative part, classes made of several patterns each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from earmark.explainers.subspaces.baselines import random
from earmark.explainers.subspaces.basis import Subspaces
from earmark.lrp import attributor
from earmark.lrp.rules import Rules
from earmark.models import blocks
from earmark.models.base import Network
from earmark.models.cnn import build
from earmark.sound.logmel import LogMel

PATTERNS = 4
"""Patterns of a class, as the thesis's synthetic classes have (Table 4.1)."""


@dataclass(frozen=True)
class Size:
    """A network's size, and the pairs that the thesis fits subspaces to (4.1.2, 4.2.1)."""

    filters: tuple[int, ...]
    dense: tuple[int, ...]
    n_classes: int
    side: int
    patch: int
    pair_clips: int
    positions: int
    rules: Rules


def _gtzan_rules() -> Rules:
    """Table 4.3, with contexts as the thesis takes them: both sides must explain the same."""
    gammas = {"conv2": 0.4, "conv3": 0.4, "conv4": 0.2, "conv5": 0.1}
    patterns = [("conv1", "wsquare", 0.0), *((layer, "gamma", gamma) for layer, gamma in gammas.items())]
    return Rules((*patterns, ("dense*", "epsilon", 0.0)), 1e-7, "ratio")


GTZAN = Size((32, 32, 64, 64, 128), (128, 128), 10, 128, 16, 240, 40, _gtzan_rules())
SYNTHETIC = Size(
    (8, 8, 16, 16, 16),
    (20, 20),
    2,
    64,
    8,
    500,
    16,
    Rules((("conv1", "flat", 0.0), ("conv*", "gamma", 0.8), ("dense*", "epsilon", 0.0)), 1e-7, "ratio"),
)


def clips(size: Size, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw log-mel-like clips ``[B, 1, F, T]`` and their classes ``[B]``.

    Every clip holds one to four of its class's patterns: harmonics of one pitch, beating at one rate.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(size.n_classes, (count,), generator=generator)
    pattern = torch.arange(PATTERNS) + PATTERNS * targets[:, None]  # [B, P]
    present = torch.rand(count, PATTERNS, generator=generator) < 0.6
    present[torch.arange(count), torch.randint(PATTERNS, (count,), generator=generator)] = True
    rows, columns = torch.arange(size.side) / size.side, torch.arange(size.side)
    total = PATTERNS * size.n_classes
    pitch = 0.04 + 0.2 * ((pattern * 7) % total) / total  # [B, P], as a fraction of all rows
    period = 6.0 + 20.0 * ((pattern * 11) % total) / total  # frames
    phase = torch.rand(count, PATTERNS, 1, generator=generator)
    harmonics = torch.exp(-(((rows / pitch[..., None] + 0.5) % 1 - 0.5) / 0.15).square())  # [B, P, F]
    harmonics = harmonics * (rows > pitch[..., None] / 2) * (rows < 4 * pitch[..., None])
    beats = (torch.sin(2 * torch.pi * (columns / period[..., None] + phase)) + 0.3).clamp_min(0)  # [B, P, T]
    level = 0.5 + torch.rand(count, PATTERNS, generator=generator)
    energy = torch.einsum("bp,bpf,bpt->bft", level * present, harmonics, beats)
    noise = 0.02 * torch.rand(count, size.side, size.side, generator=generator)
    return torch.log10(energy + noise + 1e-4).unsqueeze(1), targets


def model(size: Size, steps: int) -> Network:
    """Train a network a little: enough for sparse activations and for contexts with structure."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained = build(size.filters, size.dense, size.n_classes, (size.side, size.side))
        trained = trained.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(trained.parameters(), lr=1e-3)
        for step in range(steps):
            inputs, targets = clips(size, 24, 1000 + step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(trained(inputs), targets).backward()
            optimizer.step()
    trained = trained.to(memory_format=torch.contiguous_format).eval()
    frontend = LogMel(16000, 480, 240, n_mels=size.side, n_frames=size.side)
    return Network(trained, frontend, tuple(map(str, range(size.n_classes))), blocks.layers(trained))


def pairs(model: Network, size: Size, layer: str, cls: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the pairs of one class at one layer, as stage ``collect`` does, ``[N, D]`` each."""
    inputs, targets = clips(size, size.pair_clips * size.n_classes * 2, seed=1)
    mine = torch.nonzero(targets == cls).squeeze(1)[: size.pair_clips]
    generator = torch.Generator().manual_seed(2)
    activations, contexts = [], []
    for batch in mine.split(16):
        maps = attributor.pairs_at(model, inputs[batch], targets[batch], layer, size.rules)
        positions = maps[0][0, 0].numel()
        chosen = torch.rand(len(batch), positions, generator=generator).argsort(dim=1)[:, : size.positions]
        for found, part in zip((activations, contexts), maps, strict=True):
            vectors = part.flatten(2).transpose(1, 2)  # [b, h w, D]
            found.append(vectors.gather(1, chosen[..., None].expand(-1, -1, vectors.shape[2])).flatten(0, 1))
    return torch.cat(activations), torch.cat(contexts)


def grids(model: Network, size: Size, layer: str, count: int, cls: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Collect one class's activations and contexts on the whole grid of a layer, ``[B, D, h, w]`` each."""
    inputs, targets = clips(size, 2 * count * size.n_classes, seed=1)
    mine = torch.nonzero(targets == cls).squeeze(1)[:count]
    assert len(mine) == count
    parts = [attributor.pairs_at(model, inputs[rows], targets[rows], layer, size.rules) for rows in mine.split(16)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def simulated_pairs(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make pairs of any size: sparse mixtures of non-negative patterns, contexts that weigh them, in part negative."""
    generator = torch.Generator().manual_seed(3)
    patterns = torch.randn(12, size, generator=generator).clamp_min(0)
    mixed = torch.rand(count, 12, generator=generator) * (torch.rand(count, 12, generator=generator) < 0.25)
    noise = torch.randn(2, count, size, generator=generator)
    activations = (mixed @ patterns + 0.3 * noise[0] - 0.2).clamp_min(0)
    contexts = (mixed * torch.linspace(0.3, 1.5, 12)) @ patterns - 0.3 + 0.5 * noise[1]
    return activations, contexts


def bases(n_channels: int, n_subspaces: int, count: int) -> list[Subspaces]:
    """Random subspaces, one set for each of `count` classes: time does not depend on which they are."""
    return [random(n_channels, n_subspaces, seed) for seed in range(count)]


def waveforms(count: int, samples: int) -> torch.Tensor:
    """Noise that swells and fades, ``[B, samples]``."""
    generator = torch.Generator().manual_seed(4)
    envelope = torch.linspace(0, 8 * torch.pi, samples).sin().abs()
    return 0.3 * envelope * torch.randn(count, samples, generator=generator)

"""A dual-path transformer that makes masks of sequences of frames, as SepFormer's MaskNet (Subakan et al. 2021, 2.2).

A long sequence is cut into chunks that overlap by half. One transformer looks along each chunk, another across the
chunks at the same place in them; so no attention is ever paid to all frames at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def chunk_of(chunk: int, frames: int) -> int:
    """Say how long chunks of so many frames are: `chunk`, or shorter where all frames fit into an even number."""
    return min(chunk, frames + frames % 2)


def segmented(frames: Tensor, chunk: int) -> Tensor:
    """Cut sequences into chunks that overlap by half; every frame lies in two.

    Parameters
    ----------
    frames : Tensor
        ``[B, D, T]``.
    chunk : int
        Frames of a chunk, even.

    Returns
    -------
    Tensor
        ``[B, D, chunk, n]``, with zeros beyond the ends.
    """
    half, count = chunk // 2, frames.shape[-1]
    behind = -count % half + half
    return nn.functional.pad(frames, (half, behind)).unfold(-1, chunk, half).transpose(-2, -1)


def overlapped(chunks: Tensor, count: int) -> Tensor:
    """Put chunks ``[B, D, chunk, n]`` back into their sequences ``[B, D, count]``, the mean of two at every frame."""
    first, second = chunks.chunk(2, dim=-2)  # [B, D, chunk / 2, n] each
    halves = nn.functional.pad(first, (0, 1)) + nn.functional.pad(second, (1, 0))  # [B, D, chunk / 2, n + 1]
    frames = halves.transpose(-2, -1).flatten(-2) / 2
    return frames.narrow(-1, first.shape[-2], count)


def positions(count: int, width: int, like: Tensor) -> Tensor:
    """Make sinusoids ``[count, width]`` that tell places apart (Vaswani et al. 2017, 3.5)."""
    channel = torch.arange(width, device=like.device)
    rates = torch.exp(-math.log(1e4) * (channel - channel % 2) / width)  # [width]
    angles = torch.arange(count, device=like.device).unsqueeze(1) * rates
    return torch.where(channel % 2 == 0, angles.sin(), angles.cos()).to(like)


class Path(nn.Module):
    """Transformer layers along the second last direction, normalised and added to what they were given.

    Parameters
    ----------
    width, heads, feedforward, layers : int
        Channels, heads of attention, units between the two linear maps behind it, and layers.
    """

    def __init__(self, width: int, heads: int, feedforward: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True, norm_first=True)
                for _ in range(layers)
            )
        )
        self.norm = nn.GroupNorm(1, width)

    def forward(self, cells: Tensor) -> Tensor:
        """Look along m cells of each of n sequences: ``[B, D, m, n]`` to the same."""
        count, width, length, sequences = cells.shape
        rows = cells.permute(0, 3, 2, 1).flatten(0, 1)  # [B n, m, D]
        seen = self.layers(rows + positions(length, width, rows))
        return cells + self.norm(seen.view(count, sequences, length, width).permute(0, 3, 2, 1))


class MaskNet(nn.Module):
    """Makes masks of sequences.

    Parameters
    ----------
    channels : int
        Of the sequences and of the masks.
    chunk : int
        Frames of a chunk, even; sequences that are shorter are one.
    heads, head_width : int
        Heads of attention and channels of each.
    feedforward : int
        Units between the two linear maps behind each attention.
    blocks : int
        How often one path follows the other.
    layers : int
        Of each path.
    """

    def __init__(
        self, channels: int, chunk: int, heads: int, head_width: int, feedforward: int, blocks: int, layers: int
    ) -> None:
        super().__init__()
        width = heads * head_width
        self.chunk = chunk
        self.enter = nn.Sequential(nn.GroupNorm(1, channels), nn.Conv1d(channels, width, 1))
        self.along = nn.ModuleList(Path(width, heads, feedforward, layers) for _ in range(blocks))
        self.across = nn.ModuleList(Path(width, heads, feedforward, layers) for _ in range(blocks))
        self.leave = nn.Sequential(nn.PReLU(), nn.Conv1d(width, channels, 1), nn.Sigmoid())

    def forward(self, frames: Tensor) -> Tensor:
        """Make masks between 0 and 1 of sequences ``[B, C, T]``: ``[B, C, T]``."""
        count = frames.shape[-1]
        chunks = segmented(self.enter(frames), chunk_of(self.chunk, count))  # [B, D, K, n]
        for along, across in zip(self.along, self.across, strict=True):
            chunks = across(along(chunks).transpose(2, 3)).transpose(2, 3)
        return self.leave(overlapped(chunks, count))

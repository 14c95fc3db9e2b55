"""What imitates a network by components of sound: Psi, which hears them in hidden maps, and Theta, which answers.

Parekh et al. 2022, Listen to Interpret: Psi turns hidden maps into activations of a fixed dictionary of spectra, and
Theta is linear in what these come to, so that every component has a part in every answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

UNITS, DROPOUT = 128, 0.4
"""Of the attention: hidden units, and the part of its inputs that training leaves out."""

ATTENTION, MAXIMUM = "attention", "max"
"""Ways to pool activations over time."""

POOLINGS = (ATTENTION, MAXIMUM)


class Psi(nn.Module):
    """Activations of a dictionary's components, heard in hidden maps.

    Every map gets a convolution of its own and is brought to one height, that of the lowest, and to the columns of the
    finest; together they lose their rows, and go on in time alone.

    Parameters
    ----------
    maps : sequence of Tensor [B, D, m, n]
        Of some clips: their shapes count, and their root mean square, by which maps are divided ever after.
    channels : int
        Of every convolution in between.
    components, frames : int
        K and T of what it gives.
    level : float
        Size of the activations.
    """

    scales: Tensor
    level: Tensor

    def __init__(self, maps: Sequence[Tensor], channels: int, components: int, frames: int, level: float) -> None:
        super().__init__()
        self.rows = min(one.shape[2] for one in maps)
        self.columns = max(one.shape[3] for one in maps)
        self.frames = frames
        self.register_buffer("scales", torch.tensor([float(one.square().mean().sqrt()) or 1.0 for one in maps]))
        self.register_buffer("level", torch.tensor(level))
        self.entries = nn.ModuleList(nn.Conv2d(one.shape[1], channels, 3, padding=1) for one in maps)
        self.joint = nn.Conv2d(channels * len(maps), 2 * channels, 3, padding=1)
        self.flat = nn.Conv2d(2 * channels, 2 * channels, (self.rows, 1))
        self.before = nn.Conv1d(2 * channels, components, 5, padding=2)
        self.last = nn.Conv1d(components, components, 5, padding=2)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map hidden maps ``[B, D, m, n]`` to activations ``[B, K, T]``, not negative."""
        seen = []
        for entry, scale, one in zip(self.entries, self.scales, maps, strict=True):
            own = torch.relu(entry(one / scale))  # [B, c, m, n]
            own = nn.functional.adaptive_avg_pool2d(own, (self.rows, one.shape[3]))
            seen.append(nn.functional.interpolate(own, (self.rows, self.columns), mode="bilinear"))
        joint = torch.relu(self.joint(torch.cat(seen, dim=1)))  # [B, 2 c, rows, columns]
        flat = torch.relu(self.flat(joint)).squeeze(2)  # [B, 2 c, columns]
        long = nn.functional.interpolate(flat, self.frames, mode="linear")  # [B, 2 c, T]
        return torch.relu(self.last(torch.relu(self.before(long)))) * self.level


class Attention(nn.Module):
    """Mean over time by weights that are learned (Ilse et al. 2018, eq. 9: a sigmoid gates)."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.value, self.gate = nn.Linear(components, UNITS), nn.Linear(components, UNITS)
        self.weight = nn.Linear(UNITS, 1, bias=False)

    def forward(self, activations: Tensor) -> Tensor:
        """Weigh the frames of activations ``[B, K, T]`` of size 1: ``[B, 1, T]``, which sum to 1."""
        frames = self.dropout(activations.transpose(1, 2))  # [B, T, K]
        gated = torch.tanh(self.value(frames)) * torch.sigmoid(self.gate(frames))  # [B, T, U]
        return self.weight(gated).transpose(1, 2).softmax(dim=2)


class Imitator(nn.Module):
    """Answers as a network does, by what it hears in the network's hidden maps of a dictionary's components.

    Parameters
    ----------
    psi : Psi
        Of K components.
    dictionary : Tensor [F, K]
        Their spectra.
    classes : int
        C.
    pooling : {"attention", "max"}
        From activations to one number per component.
    """

    dictionary: Tensor

    def __init__(self, psi: Psi, dictionary: Tensor, classes: int, pooling: str) -> None:
        super().__init__()
        count = dictionary.shape[1]
        self.psi = psi
        self.register_buffer("dictionary", dictionary)
        self.attention = Attention(count) if pooling == ATTENTION else None
        self.theta = nn.Linear(count, classes, bias=False)

    def pooled(self, activations: Tensor) -> Tensor:
        """Pool activations ``[B, K, T]`` over time: z ``[B, K]``."""
        if self.attention is None:
            return activations.amax(dim=2)
        return (self.attention(activations / self.psi.level) * activations).sum(dim=2)

    def contributions(self, pooled: Tensor) -> Tensor:
        """Part z ``[B, K]`` into what every component adds to every logit, ``[B, C, K]``: these sum to the logits."""
        return pooled.unsqueeze(1) * self.theta.weight


def relevance(contributions: Tensor) -> Tensor:
    """Divide contributions ``[..., K]`` by the largest of either sign: r in [-1, 1]; 0 where all are 0.

    Parekh et al. 2024, section III-E, where the largest is that without its sign: by the largest itself all would be
    turned round where each speaks against the class.
    """
    largest = contributions.abs().amax(dim=-1, keepdim=True)
    return contributions / largest.clamp_min(torch.finfo(contributions.dtype).tiny)


def mask(dictionary: Tensor, activations: Tensor, chosen: Tensor) -> Tensor:
    """Return what some components are of the model ``W H`` of a clip's spectrum, cell by cell.

    Parameters
    ----------
    dictionary : Tensor [F, K]
        W.
    activations : Tensor [B, K, T]
        H.
    chosen : Tensor [B, M, K]
        1 for the components of each of M parts, else 0.

    Returns
    -------
    Tensor [B, M, F, T]
        Masks in [0, 1]; masks of parts that hold every component once sum to 1 where the model is above 0. Where it is
        0 nobody has the cell: all masks are 0.
    """
    parts = torch.einsum("fk,bmk,bkt->bmft", dictionary, chosen, activations)
    whole = torch.einsum("fk,bkt->bft", dictionary, activations).unsqueeze(1)
    tiny = torch.finfo(whole.dtype).tiny
    return torch.where(whole > tiny, parts / whole.clamp_min(tiny), 0.0).clamp_max(1.0)

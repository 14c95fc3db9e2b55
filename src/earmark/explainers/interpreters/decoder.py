"""From what a network computes inside to a picture in time and frequency: the decoder of interpreters that make masks.

As in L-MAC (Paissan et al. 2024) and LMAC-TD (Paissan et al. 2025), it begins with the coarsest hidden maps and makes
them finer step by step, by transposed convolutions; at each step the next finer maps are added.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.models.base import Model

TWICE = (4, 2, 1)
"""Size, stride and padding of a transposed convolution whose output is twice as large in each direction."""

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
RESIZING = {1: "linear", 2: "bilinear"}


class Decoder(nn.Module):
    """Makes one number per row and column of hidden maps.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the maps of a clip, from the input up, as :func:`upright` gives them: ``(D, n)`` in time, or ``(D, m, n)`` in
        frequency and time. A map in time alone has one row where others have several.
    width : int
        Channels of what is computed between.
    rows, columns : int
        Of the output. Where all maps lie in time alone, each row is a channel of the last step.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.n_directions = max(len(shape) for shape in shapes) - 1
        convolution, transposed = CONVOLUTION[self.n_directions], TRANSPOSED[self.n_directions]
        self.size = (rows, columns)[-self.n_directions :]
        self.skips = nn.ModuleList(convolution(shape[0], width, 1) for shape in shapes)
        self.steps = nn.ModuleList(transposed(width, width, *TWICE) for _ in shapes[1:])
        self.last = transposed(width, 1 if self.n_directions == 2 else rows, *TWICE)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps ``[B, D, n]`` or ``[B, D, m, n]``, from the input up, into ``[B, rows, columns]``."""
        *finer, coarsest = [self.skips[place](self._laid_out(one)) for place, one in enumerate(maps)]
        made = coarsest.relu()  # [B, width, *g]
        for step, added in zip(self.steps, reversed(finer), strict=True):
            made = (resized(step(made), added.shape[2:]) + added).relu()
        made = resized(self.last(made), self.size)  # [B, 1, rows, columns] or [B, rows, columns]
        return made.squeeze(1) if self.n_directions == 2 else made

    def _laid_out(self, cells: Tensor) -> Tensor:
        """Give maps in time alone one row where others have several, in the decoder's precision."""
        placed = cells if cells.dim() == self.n_directions + 2 else cells.unsqueeze(2)
        return placed.to(self.last.weight)


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate maps ``[B, D, *g]`` to a size, unless they have it."""
    if maps.shape[2:] == torch.Size(size):
        return maps
    return nn.functional.interpolate(maps, tuple(size), mode=RESIZING[maps.dim() - 2])


def upright(layout: str, cells: Tensor) -> Tensor:
    """Lay out a layer's cells by time, or by frequency and time.

    Parameters
    ----------
    layout : str
        Of the two directions of an input; see :class:`earmark.sound.base.Frontend`.
    cells : Tensor
        ``[B, D]``, ``[B, D, n]`` in time, or ``[B, D, m, n]`` in the two directions of an input.

    Returns
    -------
    Tensor
        ``[B, D, n]`` or, frequency first, ``[B, D, m, n]``; cells without a place are one in time.

    Raises
    ------
    EarmarkError
        If there are more axes.
    """
    if cells.dim() > 4:
        raise EarmarkError(
            f"an interpreter cannot look at a layer whose output of a clip has {cells.dim() - 1} axes: name layers of "
            "channels, rows and columns at most"
        )
    if cells.dim() == 2:
        return cells.unsqueeze(2)
    return cells.transpose(2, 3) if cells.dim() == 4 and layout == "time-frequency" else cells


def shapes_of(model: Model, layers: Sequence[str]) -> list[tuple[int, ...]]:
    """Find the shapes of a clip's maps at layers, as :func:`upright` gives them."""
    like = next(model.network.parameters(), torch.empty(0))
    silent = model.frontend(torch.zeros(1, model.frontend.clip_samples)).to(like)
    return [tuple(upright(model.frontend.layout, one).shape[1:]) for one in model.hidden(layers)(silent).activations]

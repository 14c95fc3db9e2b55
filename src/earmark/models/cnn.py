"""The convolutional network of the thesis (3.1, Fig. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from earmark.errors import EarmarkError
from earmark.models import blocks


def build(
    filters: Sequence[int],
    dense: Sequence[int],
    n_classes: int,
    input_shape: Sequence[int],
    dropout: float = 0.0,
    batch_norm: bool = False,
    weight_std: float | None = None,
) -> nn.Sequential:
    """Build blocks of conv 3x3 'same' + ReLU + max-pool 2x2, then dense layers.

    Parameters
    ----------
    filters : sequence of int
        Channels of ``conv1`` ... ``convN``.
    dense : sequence of int
        Units of the hidden dense layers ``dense1`` ...; the output layer comes on top.
    n_classes : int
        Number of logits.
    input_shape : sequence of int
        Mel bands and frames ``(F, T)`` of the input.
    dropout : float
        Probability of dropout after every hidden dense layer.
    batch_norm : bool
        Whether each convolution's output is normalised before its ReLU (Ioffe and Szegedy 2015); it is
        fused into the weights once the network is trained.
    weight_std : float or None
        Of the weights as they are drawn, see :func:`earmark.models.blocks.network`.

    Returns
    -------
    torch.nn.Sequential
        Maps ``[B, 1, F, T]`` to logits ``[B, n_classes]``; modules are named ``conv1``, ``relu_conv1``,
        ``pool1``, ..., ``flatten``, ``dense1``, ``relu_dense1``, ....

    Raises
    ------
    EarmarkError
        If the input is too small for that many poolings.
    """
    rows, columns = input_shape
    shrink = 2 ** len(filters)
    if rows < shrink or columns < shrink:
        raise EarmarkError(f"an input of {rows} x {columns} is too small for {len(filters)} poolings by 2")
    modules: blocks.Modules = {}
    channels = 1
    for number, width in enumerate(filters, start=1):
        convolution = nn.Conv2d(channels, width, kernel_size=3, padding="same")
        norm = nn.BatchNorm2d(width) if batch_norm else None
        modules |= blocks.convolution(number, convolution, norm, nn.MaxPool2d(2))
        channels = width
    modules |= blocks.dense((channels, rows // shrink, columns // shrink), dense, n_classes, dropout)
    return blocks.network(modules, weight_std)

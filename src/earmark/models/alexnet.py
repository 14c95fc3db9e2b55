"""The modified AlexNet, which sees spectrograms (Becker et al. 2018; Krizhevsky et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from earmark.errors import EarmarkError
from earmark.models import blocks

SMALLEST = 67
"""Cells in each direction that leave one behind the last pooling."""

KERNELS = (
    {"kernel_size": 11, "stride": 4},
    {"kernel_size": 5, "padding": 2, "groups": 2},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": 3, "padding": 1, "groups": 2},
)
"""Of the convolutions."""

POOLED = (1, 2, 5)
"""Numbers of the convolutions that a pooling follows."""


def build(
    n_classes: int,
    filters: Sequence[int] = (96, 256, 384, 384, 256),
    dense: Sequence[int] = (1024, 1024),
    input_shape: Sequence[int] = (227, 227),
    dropout: float = 0.5,
    batch_norm: bool = False,
    weight_std: float | None = None,
) -> nn.Sequential:
    """Build AlexNet for one channel, with fewer units and without local response normalisation.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    filters : sequence of int
        Channels of ``conv1`` ... ``conv5``, even numbers.
    dense : sequence of int
        Units of the hidden dense layers ``dense1`` ...; the output layer comes on top.
    input_shape : sequence of int
        Rows and columns ``(F, T)`` of the input, 67 at least.
    dropout : float
        Probability of dropout after every hidden dense layer.
    batch_norm : bool
        Whether each convolution's output is normalised before its ReLU; not as published.
    weight_std : float or None
        Of the weights as they are drawn, see :func:`earmark.models.blocks.network`.

    Returns
    -------
    torch.nn.Sequential
        Maps ``[B, 1, F, T]`` to logits ``[B, n_classes]``; modules are named ``conv1``, ``relu_conv1``, ``pool1``,
        ``conv2``, ..., ``flatten``, ``dense1``, ``relu_dense1``, ``dropout1``, ....

    Raises
    ------
    EarmarkError
        If the input is too small, or there are not five even numbers of filters.
    """
    if min(input_shape) < SMALLEST:
        raise EarmarkError(
            f"an input of {input_shape[0]} x {input_shape[1]} is too small: it needs {SMALLEST} each way"
        )
    if len(filters) != len(KERNELS) or any(width % 2 for width in filters):
        raise EarmarkError(f"{len(KERNELS)} even numbers of filters are needed, not {list(filters)}")
    modules: blocks.Modules = {}
    channels, sizes = 1, list(input_shape)
    for number, (width, kernel) in enumerate(zip(filters, KERNELS, strict=True), start=1):
        convolution = nn.Conv2d(channels, width, **kernel)  # type: ignore[arg-type]
        norm = nn.BatchNorm2d(width) if batch_norm else None
        pool = nn.MaxPool2d(3, stride=2) if number in POOLED else None
        modules |= blocks.convolution(number, convolution, norm, pool)
        channels, sizes = width, [_passed(size, kernel, pool is not None) for size in sizes]
    modules |= blocks.dense((channels, *sizes), dense, n_classes, dropout)
    return blocks.network(modules, weight_std)


def _passed(size: int, kernel: dict[str, int], pooled: bool) -> int:
    """Count the cells in one direction behind a convolution and its pooling."""
    size = (size + 2 * kernel.get("padding", 0) - kernel["kernel_size"]) // kernel.get("stride", 1) + 1
    return (size - 3) // 2 + 1 if pooled else size

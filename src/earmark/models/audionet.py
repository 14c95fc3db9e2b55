"""AudioNet, which hears waveforms.

Becker et al. 2018, "Interpreting and explaining deep neural networks for classification of audio signals".
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from earmark.errors import EarmarkError
from earmark.models import blocks


def build(
    n_classes: int,
    filters: Sequence[int] = (100, 64, 128, 128, 128, 128),
    dense: Sequence[int] = (1024, 512),
    input_shape: Sequence[int] = (8000,),
    dropout: float = 0.5,
    batch_norm: bool = False,
    weight_std: float | None = 0.1,
) -> nn.Sequential:
    """Build blocks of conv of 3 samples + ReLU + max-pool by 2, then dense layers without ReLU between them.

    As published by default. The first pooling takes the largest of 3 samples, the others of 2; windows that begin
    before the end of what they pool count, though they end behind it.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    filters : sequence of int
        Channels of ``conv1`` ... ``convN``.
    dense : sequence of int
        Units of the hidden dense layers ``dense1`` ...; the output layer comes on top.
    input_shape : sequence of int
        Samples ``(S,)`` of the input.
    dropout : float
        Probability of dropout after every hidden dense layer.
    batch_norm : bool
        Whether each convolution's output is normalised before its ReLU; not as published.
    weight_std : float or None
        Of the weights as they are drawn, see :func:`earmark.models.blocks.network`.

    Returns
    -------
    torch.nn.Sequential
        Maps ``[B, 1, S]`` to logits ``[B, n_classes]``; modules are named ``conv1``, ``relu_conv1``, ``pool1``, ...,
        ``flatten``, ``dense1``, ``dropout1``, ....

    Raises
    ------
    EarmarkError
        If the input is too short for that many poolings.
    """
    (samples,) = input_shape
    if samples < 2 ** len(filters):
        raise EarmarkError(f"an input of {samples} samples is too short for {len(filters)} poolings by 2")
    modules: blocks.Modules = {}
    channels = 1
    for number, width in enumerate(filters, start=1):
        convolution = nn.Conv1d(channels, width, kernel_size=3, padding=1)
        norm = nn.BatchNorm1d(width) if batch_norm else None
        pool = nn.MaxPool1d(3 if number == 1 else 2, stride=2, ceil_mode=True)
        modules |= blocks.convolution(number, convolution, norm, pool)
        channels, samples = width, samples // 2 if number == 1 else -(-samples // 2)
    modules |= blocks.dense((channels, samples), dense, n_classes, dropout, rectified=False)
    return blocks.network(modules, weight_std)

"""The network `MTT_vgg` of musicnn 0.1.0 (Pons and Serra 2019), which gives music 50 tags of MagnaTagATune."""

from collections import OrderedDict

from torch import nn

CHANNELS = 128
TAGS = 50

POOLS = [((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))]
"""Kernel and stride of every pooling, time x mel."""

EPSILON = 1e-3
"""Added to variances, as in TensorFlow's batch normalisation."""


def build() -> nn.Sequential:
    """Build the network without its weights.

    Returns
    -------
    torch.nn.Sequential
        Maps log-mel spectrograms ``[B, 1, 187, 96]``, time x mel, to the probabilities ``[B, 50]`` of the tags.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules["input_norm"] = nn.BatchNorm2d(1, eps=EPSILON)
    channels = 1
    for number, (kernel, stride) in enumerate(POOLS, start=1):
        modules[f"conv{number}"] = nn.Conv2d(channels, CHANNELS, kernel_size=3, padding="same")
        modules[f"relu{number}"] = nn.ReLU()
        modules[f"norm{number}"] = nn.BatchNorm2d(CHANNELS, eps=EPSILON)
        modules[f"pool{number}"] = nn.MaxPool2d(kernel, stride)  # shapes behind them: 92 x 48 ... 2 x 1
        channels = CHANNELS
    modules["flatten"] = nn.Flatten()
    modules["dense"] = nn.Linear(CHANNELS * 2 * 1, TAGS)
    modules["sigmoid"] = nn.Sigmoid()
    return nn.Sequential(modules)

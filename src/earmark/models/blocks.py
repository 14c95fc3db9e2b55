"""What the networks of the papers are put together from; modules bear the names that layers have in results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from torch import nn

from earmark.models.graph import LINEAR

Modules = dict[str, nn.Module]


def convolution(number: int, module: nn.Module, norm: nn.Module | None, pool: nn.Module | None) -> Modules:
    """Name a convolution, its batch normalisation (Ioffe and Szegedy 2015), its ReLU and its pooling.

    Parameters
    ----------
    number : int
        From 1: ``conv1``, ``norm1``, ``relu_conv1``, ``pool1``.
    module : torch.nn.Module
        The convolution.
    norm, pool : torch.nn.Module or None
        None: there is none.
    """
    modules = {f"conv{number}": module, f"norm{number}": norm, f"relu_conv{number}": nn.ReLU(), f"pool{number}": pool}
    return {name: one for name, one in modules.items() if one is not None}


def dense(
    shape: Sequence[int], widths: Sequence[int], n_classes: int, dropout: float, rectified: bool = True
) -> Modules:
    """Make dense layers, ``dense1``, ...; the last gives the logits.

    Parameters
    ----------
    shape : sequence of int
        Of what comes in, without the batch; flattened.
    widths : sequence of int
        Units of the hidden layers.
    n_classes : int
        Number of logits.
    dropout : float
        Probability of dropout after every hidden layer.
    rectified : bool
        Whether a ReLU follows each of these.
    """
    modules: Modules = {"flatten": nn.Flatten()}
    units = prod(shape)
    for number, width in enumerate(widths, start=1):
        modules[f"dense{number}"] = nn.Linear(units, width)
        if rectified:
            modules[f"relu_dense{number}"] = nn.ReLU()
        if dropout > 0:
            modules[f"dropout{number}"] = nn.Dropout(dropout)
        units = width
    modules[f"dense{len(widths) + 1}"] = nn.Linear(units, n_classes)
    return modules


def network(modules: Mapping[str, nn.Module], weight_std: float | None) -> nn.Sequential:
    """Put modules one after the other.

    Parameters
    ----------
    modules : mapping of str to torch.nn.Module
        By name, from the input upwards.
    weight_std : float or None
        Standard deviation of the normal distribution that weights are drawn from, with biases of 0; None: they are
        as PyTorch draws them.
    """
    made = nn.Sequential()
    for name, module in modules.items():
        made.add_module(name, module)
        if weight_std is not None and isinstance(module, LINEAR):
            nn.init.normal_(module.weight, std=weight_std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return made


def layers(network: nn.Module) -> dict[str, int]:
    """Map the names of the convolutions, from the input upwards, to their numbers of filters."""
    kinds = (nn.Conv1d, nn.Conv2d)
    return {name: module.out_channels for name, module in network.named_children() if isinstance(module, kinds)}

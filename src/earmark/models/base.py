"""Networks on disk and in use, whatever they are."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from earmark.errors import EarmarkError
from earmark.models.cnn import build
from earmark.models.gpu import fault
from earmark.store import artifacts

EVALUATION_BATCH = 256

CACHED_CELLS = 2**16
"""Input cells that a CPU evaluates at once: more, and the activations leave its cache."""


def fused(model: nn.Sequential) -> nn.Sequential:
    """Copy a network in evaluation mode, with every batch normalisation fused into the convolution before it.

    Parameters
    ----------
    model : torch.nn.Sequential
        The network; left untouched.

    Returns
    -------
    torch.nn.Sequential
        The same function of its input, up to rounding, by fewer modules.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    last = ""
    for name, module in copy.deepcopy(model).eval().named_children():
        below = modules.get(last)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and isinstance(below, nn.Conv1d | nn.Conv2d):
            modules[last] = fuse_conv_bn_eval(below, module)
        else:
            modules[name] = module
            last = name
    return nn.Sequential(modules)


def evaluated(model: nn.Module) -> nn.Module:
    """Copy a network for evaluation, laid out as convolutions and poolings are quickest on a CPU."""
    copied = copy.deepcopy(model).eval()
    return copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch_size(shape: Sequence[int], device: torch.device, most: int) -> int:
    """Say how many inputs of a shape such as ``(1, F, T)`` to evaluate at once: `most`, fewer on a CPU."""
    return most if device.type != "cpu" else min(most, max(1, CACHED_CELLS // math.prod(shape)))


def split_at(model: nn.Sequential, layer: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Split a network at the output of a layer's ReLU, before pooling (spec of "at layer convN").

    Parameters
    ----------
    model : torch.nn.Sequential
        The network.
    layer : str
        Name of a module that a ReLU follows.

    Returns
    -------
    lower, upper : torch.nn.Sequential
        ``upper(lower(x)) == model(x)``; the modules are shared with `model`, not copied.

    Raises
    ------
    EarmarkError
        If there is no such layer.
    """
    names = [name for name, _ in model.named_children()]
    candidates = [name for name, after in pairwise(names) if isinstance(model.get_submodule(after), nn.ReLU)]
    if layer not in candidates:
        raise EarmarkError(f"the model has no layer {layer!r} to explain; it has {', '.join(candidates)}")
    children = OrderedDict(model.named_children())
    cut = names.index(layer) + 2
    lower = nn.Sequential(OrderedDict((name, children[name]) for name in names[:cut]))
    upper = nn.Sequential(OrderedDict((name, children[name]) for name in names[cut:]))
    return lower, upper


def save(
    path: Path,
    model: nn.Module,
    architecture: Mapping[str, Any],
    classes: Sequence[str],
    frontend: Mapping[str, Any],
    made: Mapping[str, Any],
) -> None:
    """Write weights with everything needed to rebuild and feed the network.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    model : torch.nn.Module
        The network.
    architecture : mapping
        Arguments of :func:`build`.
    classes : sequence of str
        Slugs of the classes, in the order of the logits.
    frontend : mapping
        The ``frontend`` section that the inputs are made with.
    made : mapping
        Provenance.
    """
    artifacts.write_tensors(
        path, model.state_dict(), made, architecture=dict(architecture), classes=list(classes), frontend=dict(frontend)
    )


def load(path: Path) -> tuple[nn.Sequential, dict[str, Any]]:
    """Read a network written by :func:`save`.

    Returns
    -------
    model : torch.nn.Sequential
        On the CPU, in evaluation mode.
    meta : dict
        ``architecture``, ``classes``, ``frontend`` and ``provenance``.
    """
    weights, meta = artifacts.read_tensors(Path(path))
    model = build(**meta["architecture"])
    model.load_state_dict(weights)
    return model.eval(), meta


def device(gpu: int) -> torch.device:
    """Return the device for a rule's ``gpu`` resource.

    Raises
    ------
    EarmarkError
        If a GPU is asked for and there is none that PyTorch can use.
    """
    why = fault() if gpu else None
    if why:
        raise EarmarkError(
            f"gpu={gpu} asks for a GPU, but {why}; gpu=0 computes on the CPU: "
            "make run GPU=0, or snakemake --resources gpu=0, or --gpu 0 of this command"
        )
    if gpu:
        torch.backends.cudnn.allow_tf32 = False  # results as on the CPU, not rounded to 10 bits
    return torch.device("cuda" if gpu else "cpu")


def logits_of(network: nn.Module, logmels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Evaluate a network in evaluation mode: ``[N, 1, F, T]`` to logits ``[N, C]`` on the CPU."""
    copied = evaluated(network)
    size = batch_size(logmels.shape[1:], device, EVALUATION_BATCH)
    with torch.inference_mode():
        return torch.cat([copied(part.to(device)).cpu() for part in logmels.split(size)])

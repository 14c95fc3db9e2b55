"""A user's own network: found, given its weights, and checked on a few inputs before anything is explained.

The user's module is the only code of theirs that runs; weights are read as tensors, never as pickled objects.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from earmark.data.dataset import DataSet
from earmark.errors import EarmarkError
from earmark.models.graph import LINEAR, Call, Graph, probed, replace
from earmark.plan import foreign
from earmark.plan.foreign import first_line

PROBABILITIES = (nn.Sigmoid, nn.Softmax, nn.LogSoftmax)
"""What makes probabilities of logits, at the end of a network."""

CLIPS = 8
"""Clips of a data set that a network is tried on."""

NOISE = 4
"""Inputs that a network is tried on where there are no recordings."""

NAMED = 3
"""Keys of a kind that a sentence names."""


class InputError(EarmarkError):
    """Inputs of this shape are none for the network."""


@dataclass(frozen=True)
class Adopted:
    """A network that can be explained, and what was done to it.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode, float32, on the CPU; answers inputs ``[B, *I]`` with logits ``[B, C]``.
    remarks : tuple of str
        A sentence each.
    """

    network: nn.Module
    remarks: tuple[str, ...]


class Function(nn.Module):
    """A function of inputs, whatever it computes with, as a network that nothing can look into.

    Parameters
    ----------
    function : callable
        Answers inputs ``[B, *I]``, float32 on the CPU, with logits ``[B, C]`` of any library.
    """

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Answer inputs ``[B, *I]``: ``[B, C]``."""
        return torch.as_tensor(self.function(inputs.detach().cpu())).to(inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        """Keep the function itself: what other libraries compute with can seldom be copied."""
        return Function(self.function).train(self.training)


def load_network(network: str, folder: Path) -> nn.Module:
    """Call the function that makes a user's network.

    Parameters
    ----------
    network, folder
        As in :func:`earmark.plan.foreign.made`: a function without arguments that returns a module, or a function of
        inputs.

    Raises
    ------
    EarmarkError
        As there, or if it makes neither.
    """
    built = foreign.made(network, folder, "network")
    if isinstance(built, nn.Module):
        return built
    if not callable(built) or isinstance(built, type):
        found = f"the class {built.__name__} itself" if isinstance(built, type) else f"a {type(built).__name__}"
        raise EarmarkError(f"{network} must return a torch.nn.Module, or a function of inputs, not {found}")
    return Function(built)


def load_weights(module: nn.Module, path: Path) -> None:
    """Give a network its weights, all of them and no others.

    Parameters
    ----------
    module : torch.nn.Module
        The network; its parameters and buffers are overwritten.
    path : Path
        A safetensors file, or a state dict written by ``torch.save``, also inside a checkpoint, and with a prefix that
        all keys share.

    Raises
    ------
    EarmarkError
        If the file is missing, holds something else than tensors, or does not fit.
    """
    if not path.is_file():
        raise EarmarkError(f"there is no file '{path}' to read weights from; name it relative to the configuration")
    own = module.state_dict()
    # How many batches statistics were taken of decides nothing in evaluation, and converters leave it out.
    counts = {key: count for key, count in own.items() if key.endswith("num_batches_tracked")}
    weights = counts | dict(_unprefixed(_state_dict(_saved(path), path), own))
    faults = _misfits(weights, own)
    if faults:
        raise EarmarkError(f"the weights in '{path}' do not fit the network: {'; '.join(faults)}")
    module.load_state_dict(weights)


def _saved(path: Path) -> Any:
    """Read a file of weights, whatever is in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_torchscript(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except EarmarkError:
        raise
    except safetensors.SafetensorError as error:
        raise EarmarkError(f"'{path}' is no safetensors file: {first_line(error)}") from error
    except Exception as error:
        if "GLOBAL" not in str(error):  # what the reader of tensors says of other objects
            raise EarmarkError(
                f"'{path}' is neither a safetensors file nor a state dict that torch.save wrote"
            ) from error
        raise EarmarkError(
            f"'{path}' holds a pickled module or other objects, and reading those runs code; if you trust it, write "
            f"its weights alone: import torch; saved = torch.load({path.name!r}, 'cpu', weights_only=False); "
            f"torch.save(saved['state_dict'] if isinstance(saved, dict) else saved.state_dict(), 'weights.pt')"
        ) from error


def _refuse_torchscript(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise EarmarkError(
                    f"'{path}' is a TorchScript archive, in which modules cannot be explained; write its weights alone "
                    f"and name a function that makes the network: import torch; "
                    f"torch.save(torch.jit.load({path.name!r}, map_location='cpu').state_dict(), 'weights.pt')"
                )


def _state_dict(saved: Any, path: Path) -> Mapping[str, torch.Tensor]:
    """Find the weights in what was saved: it is they, or one of its entries is."""
    if _is_state_dict(saved):
        return saved
    entries = {key: entry for key, entry in saved.items() if _is_state_dict(entry)} if isinstance(saved, dict) else {}
    if "state_dict" in entries or len(entries) == 1:
        return entries.get("state_dict", next(iter(entries.values())))
    held = f"several, {', '.join(map(str, entries))}: save" if entries else "none: save"
    raise EarmarkError(f"'{path}' must hold one state dict, and holds {held} network.state_dict() by itself")


def _is_state_dict(saved: Any) -> bool:
    return isinstance(saved, dict) and bool(saved) and all(isinstance(entry, torch.Tensor) for entry in saved.values())


def _unprefixed(weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Take off names that all weights share and the network's own do not, such as ``module.`` or ``model.``."""
    heads = {key.partition(".")[0] for key in weights}
    if len(heads) != 1 or heads == {key.partition(".")[0] for key in own} or any("." not in key for key in weights):
        return weights
    return _unprefixed({key.partition(".")[2]: weight for key, weight in weights.items()}, own)


def _misfits(weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> list[str]:
    """Say which keys are missing, unknown, or of another shape."""
    shapes = [
        f"{key} is {_shape(weights[key])} instead of {_shape(own[key])}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    found = {
        "missing": [key for key in own if key not in weights],
        "unknown": [key for key in weights if key not in own],
        "of another shape": shapes,
    }
    return [f"{what}: {_some(keys)}" for what, keys in found.items() if keys]


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def adopted(network: nn.Module, inputs: torch.Tensor, n_classes: int | None = None, outputs: str = "logits") -> Adopted:
    """Copy a network for explanation, and check what it answers.

    Parameters
    ----------
    network : torch.nn.Module
        The network; left untouched.
    inputs : torch.Tensor
        A few inputs, ``[B, *I]``, float32 on the CPU.
    n_classes : int or None
        How many logits there must be; None: any number.
    outputs : {"logits", "probabilities"}
        What it answers with; of probabilities the last sigmoid or softmax is taken off.

    Raises
    ------
    EarmarkError
        If it cannot be copied, cannot take the inputs, or answers what no explanation can start from.
    """
    copied = _copy(network)
    remarks = _moved(copied)
    copied.float().cpu().eval()
    logits = answers(copied, inputs, n_classes)
    graph = _graph(copied, inputs)
    if outputs == "probabilities":
        copied = without_probabilities(copied, inputs[:1])
        logits = answers(copied, inputs, n_classes)
    elif _are_probabilities(logits, graph):
        raise EarmarkError(
            "all that the network answers lies between 0 and 1, as probabilities do and logits do not; write "
            "outputs: probabilities where its last module is a sigmoid or softmax, else let it return its logits"
        )
    return Adopted(copied, tuple(remarks + _changes(copied, inputs)))


def of_dataset(settings: Mapping[str, Any], source: DataSet) -> tuple[Adopted, torch.Tensor]:
    """Make the network that a data set adopts, checked on some of its clips.

    Parameters
    ----------
    settings : mapping
        The section ``model`` of the data set's block.
    source : DataSet
        The data set.

    Returns
    -------
    adopted : Adopted
        As of :func:`adopted`.
    inputs : torch.Tensor
        Those clips' inputs, ``[B, *I]``.

    Raises
    ------
    EarmarkError
        For what :func:`load_network`, :func:`load_weights` and :func:`adopted` do.
    """
    network = load_network(settings["network"], Path.cwd())
    if settings["weights"] is not None:
        load_weights(network, Path(settings["weights"]).expanduser())
    places = np.unique(np.linspace(0, len(source.clips) - 1, CLIPS).round().astype(int))
    inputs = source.inputs(places)
    return adopted(network, inputs, len(source.classes), settings["outputs"]), inputs


def adopted_on_noise(
    network: nn.Module, shapes: Sequence[tuple[int, ...]], outputs: str = "logits"
) -> tuple[Adopted, torch.Tensor]:
    """Copy a network for explanation, checked on noise of the first shape that it takes.

    Parameters
    ----------
    network, outputs
        As in :func:`adopted`.
    shapes : sequence of tuple of int
        Of an input, ``*I``.

    Returns
    -------
    adopted : Adopted
        As of :func:`adopted`.
    inputs : torch.Tensor
        The noise, ``[4, *I]``.

    Raises
    ------
    EarmarkError
        If it takes none of the shapes, or for what :func:`adopted` does.
    """
    refused: list[str] = []
    for shape in shapes:
        inputs = torch.randn(NOISE, *shape, generator=torch.Generator().manual_seed(0))
        try:
            return adopted(network, inputs, outputs=outputs), inputs
        except InputError as error:
            refused.append(str(error))
    raise InputError(f"{'; '.join(refused)}; name the shape of an input, as in --input 1x128x128")


def _copy(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise EarmarkError(
            f"the network cannot be copied: {first_line(error)}; "
            "use torch.nn.utils.parametrizations for weight norm, and keep no computed tensors in modules"
        ) from error


def _graph(network: nn.Module, inputs: torch.Tensor) -> Graph | None:
    """Follow a network's answer back to its input, where that can be: not through NumPy, say."""
    try:
        return probed(_copy(network).requires_grad_(False), inputs[:1])
    except RuntimeError:
        return None


def _moved(network: nn.Module) -> list[str]:
    """Say what changes where a network goes to the CPU and to float32."""
    tensors = [*network.parameters(), *network.buffers()]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} - {torch.float32}
    devices = {tensor.device.type for tensor in tensors} - {"cpu"}
    names = sorted(str(kind).removeprefix("torch.") for kind in kinds) + sorted(devices)
    return [f"the network was in {' and '.join(names)} and is computed in float32 on the CPU"] if names else []


def answers(network: nn.Module, inputs: torch.Tensor, n_classes: int | None = None) -> torch.Tensor:
    """Evaluate a network on copies of inputs ``[B, *I]``, and check that what it answers can be explained.

    Returns
    -------
    torch.Tensor
        Logits ``[B, C]``.

    Raises
    ------
    EarmarkError
        If it fails, its answer is no ``[B, C]`` of finite numbers or has not `n_classes`, or the same input gets
        another answer the next time, or in other company.
    """
    first, second, alone = (_answer(network, part) for part in (inputs, inputs, inputs[:1]))
    if n_classes not in (None, first.shape[1]):
        raise EarmarkError(
            f"the network answers {first.shape[1]} numbers and {n_classes} classes are named; "
            "list the classes in the order of its logits"
        )
    if any(module.training for module in network.modules()):
        raise EarmarkError("the network's forward puts modules into training mode; take the call of train() out of it")
    if not torch.isfinite(first).all():
        raise EarmarkError(
            "the network answers NaN or infinity; check its weights, and that its inputs are scaled as in training"
        )
    if not torch.allclose(first, second, rtol=1e-4, atol=1e-6):
        raise EarmarkError(
            "the network answers the same input differently each time; "
            "let functional dropout follow self.training, and draw no random numbers in forward"
        )
    if not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-3 * float(first.abs().max())):
        raise EarmarkError(
            "the network's answer to an input depends on what else is in the batch; "
            "normalise each input by itself, and by kept statistics in evaluation mode"
        )
    return first


@torch.no_grad()
def _answer(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    shape = "x".join(map(str, inputs.shape[1:]))
    try:
        answer = network(inputs.clone())
    except Exception as error:
        raise InputError(
            f"the network cannot take inputs of {shape} (a batch is {list(inputs.shape)}): {first_line(error)}"
        ) from error
    if not isinstance(answer, torch.Tensor):
        raise EarmarkError(
            f"the network must answer with one tensor of logits [B, classes], not a {type(answer).__name__}"
        )
    if answer.dim() != 2 or len(answer) != len(inputs):
        raise EarmarkError(
            f"the network must answer inputs {list(inputs.shape)} with logits [{len(inputs)}, classes], "
            f"not {list(answer.shape)}"
        )
    return answer.float()


def _givers(graph: Graph | None) -> list[Call]:
    """List the calls of leaves whose output is the network's answer."""
    return [call for call in graph.leaves if call.gives and call.gives == graph.end] if graph else []


def without_probabilities(network: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Copy a network without the module that makes probabilities of its logits.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; left untouched.
    inputs : torch.Tensor
        As for :func:`earmark.models.graph.probed`.

    Raises
    ------
    EarmarkError
        If its last module makes none.
    """
    graph = _graph(network, inputs)
    last = next(reversed(_givers(graph)), None)
    once = graph and last and sum(call.module is last.module for call in graph.calls) == 1
    if last is None or not last.name or not once or not isinstance(last.module, PROBABILITIES):
        raise EarmarkError(
            "outputs: probabilities needs a network whose last module, called once, is a Sigmoid, Softmax or "
            "LogSoftmax; let it return its logits and write outputs: logits"
        )
    copied = _copy(network)
    replace(copied, copied.get_submodule(last.name), nn.Identity().eval())
    return copied


def _are_probabilities(logits: torch.Tensor, graph: Graph | None) -> bool:
    """Whether all answers lie in [0, 1], and not by chance: a linear module gives logits."""
    linear = any(isinstance(call.module, LINEAR) for call in _givers(graph))
    return bool(((logits >= 0) & (logits <= 1)).all()) and not linear


def _changes(network: nn.Module, inputs: torch.Tensor) -> list[str]:
    """Say whether a network writes over its input."""
    given = inputs.clone()
    with torch.no_grad():
        network(given)
    return [] if torch.equal(given, inputs) else ["the network writes over its input, and gets a copy of it each time"]

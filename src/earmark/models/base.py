"""Networks on disk and in use, whatever they are."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models import blocks, external
from earmark.models.gpu import fault
from earmark.models.graph import Graph, Hidden, Place, Watched, hidden, probed, watched
from earmark.plan import foreign
from earmark.plan.architectures import architectures
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_settings
from earmark.store import artifacts

EVALUATION_BATCH = 256

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)

CACHED_CELLS = 2**16
"""Input cells that a CPU evaluates at once: more, and the activations leave its cache."""


class Model(Protocol):
    """A network, what it hears through, and what it answers.

    Attributes
    ----------
    network : torch.nn.Module
        Maps inputs ``[B, *I]`` to logits ``[B, C]``; never changed, and evaluated whatever its mode.
    frontend : Frontend
        Makes its inputs.
    classes : tuple of str
        Slugs, in the order of the logits.
    layers : mapping of str to int
        Channels of every layer that can be explained, by qualified name; a layer's output is ``[B, D, *grid]``.
    multi_label : bool
        Whether several classes can be true of a clip.
    suggested : sequence of mapping
        LRP rules that fit the network, entries of ``lrp.rules``; empty where nobody has looked.
    """

    @property
    def network(self) -> nn.Module: ...  # noqa: D102
    @property
    def frontend(self) -> Frontend: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def layers(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def multi_label(self) -> bool: ...  # noqa: D102
    @property
    def suggested(self) -> Sequence[Mapping[str, Any]]: ...  # noqa: D102

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Answer inputs ``[B, *I]``: ``[B, C]``."""

    def watched(self, inputs: torch.Tensor, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's output ``[B, D, *grid]``, kept in autograd's graph, and the logits ``[B, C]``."""

    def convolutions(self) -> list[str]:
        """Name the layers that are convolutions, in the order in which the network computes them."""

    def hidden(self, layers: Sequence[str]) -> Callable[[torch.Tensor], Hidden]:
        """Make a function of inputs ``[B, *I]`` that returns the outputs of several layers, and the logits."""

    def place(self, graph: Graph, layer: str) -> Place:
        """Find in a graph of the network where a layer's activations are."""

    @property
    def steps(self) -> tuple[nn.Module, ...]:
        """Modules that, one after the other, do what the network does in evaluation; not to be changed."""

    def with_network(self, network: nn.Module) -> Model:
        """Put another network of the same modules in its place."""


@dataclass(frozen=True)
class Network:
    """A :class:`Model` around any PyTorch module.

    Attributes
    ----------
    names : mapping of str to str
        Qualified names of the layers that `layers` calls otherwise.
    suggested : sequence of mapping
        LRP rules that fit the network, entries of ``lrp.rules``; empty where nobody has looked.
    """

    network: nn.Module
    frontend: Frontend
    classes: tuple[str, ...]
    layers: Mapping[str, int]
    multi_label: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    suggested: Sequence[Mapping[str, Any]] = ()
    _copy: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def around(cls, network: nn.Module, frontend: Frontend, classes: Sequence[str] = ()) -> Network:
        """Make a model of a module, all of whose modules with channels are its layers."""
        like = next(network.parameters(), torch.empty(0))
        graph = probed(copy.deepcopy(network).eval(), torch.empty(0, *frontend.shape).to(like))
        return cls(network, frontend, tuple(classes), graph.layers)

    @property
    def _evaluated(self) -> nn.Module:
        """A copy for evaluation, made anew once a module or a weight is another than it was at the last call."""
        modules, weights = list(self.network.modules()), [*self.network.parameters(), *self.network.buffers()]
        state = [*map(id, modules), *map(_state, weights)]
        if self._copy.get("of") != state:
            # Who is named by identity is kept, lest another takes its place in memory.
            self._copy.update(of=state, kept=(modules, weights), network=evaluated(self.network))
        return self._copy["network"]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Answer inputs ``[B, *I]``: ``[B, C]``."""
        return self._evaluated(inputs.clone())  # which the network may change in place

    @property
    def steps(self) -> tuple[nn.Module, ...]:
        """Modules that, one after the other, do what the network does in evaluation; not to be changed."""
        return tuple(_in_turn(self._evaluated))

    def watched(self, inputs: torch.Tensor, layer: str) -> Watched:
        """Return a layer's output ``[B, D, *grid]``, kept in autograd's graph, and the logits ``[B, C]``.

        Raises
        ------
        EarmarkError
            If there is no such layer.
        """
        place = self.place(probed(self._evaluated, inputs[:1]), layer)
        return watched(self._evaluated, inputs.clone(), place)

    def convolutions(self) -> list[str]:
        """Name the layers that are convolutions, in the order in which the network computes them."""
        short = {module: name for name, module in self.names.items()}
        found = [call.name for call in self._graph(self._evaluated).leaves if isinstance(call.module, CONVOLUTIONS)]
        return [short.get(name, name) for name in dict.fromkeys(found)]

    def _graph(self, network: nn.Module) -> Graph:
        like = next(network.parameters(), torch.empty(0))
        return probed(network, torch.empty(0, *self.frontend.shape).to(like))

    def hidden(self, layers: Sequence[str]) -> Callable[[torch.Tensor], Hidden]:
        """Make a function of inputs ``[B, *I]`` that returns the outputs of several layers, and the logits.

        The network is the one that this model has now, a copy without gradients of its weights.

        Raises
        ------
        EarmarkError
            If there is no such layer.
        """
        network = evaluated(self.network).requires_grad_(False)
        graph = self._graph(network)
        places = [self.place(graph, layer) for layer in layers]
        return lambda inputs: hidden(network, inputs.clone(), places)

    def place(self, graph: Graph, layer: str) -> Place:
        """Find in a graph of the network where a layer's activations are; see :meth:`earmark.models.graph.Graph.place`.

        Raises
        ------
        EarmarkError
            If there is no such layer.
        """
        return graph.place(self.names.get(layer, layer), self.layers)

    def with_network(self, network: nn.Module) -> Network:
        """Put another network of the same modules in its place."""
        return replace(self, network=network)

    def to(self, device: torch.device) -> Network:
        """Copy it to a device."""
        return self.with_network(copy.deepcopy(self.network).to(device))


WATCHES = "watches"
"""Attribute of hooks that change nothing and may be left out."""


def is_plain(module: nn.Module) -> bool:
    """Tell whether a module does what its class does, and no hook anything else."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return all(getattr(hook, WATCHES, False) for hook in hooks)


def last_of(module: nn.Module) -> nn.Module:
    """Find the module whose output is a network's; itself, if its forward is its own."""
    return last_of(module[-1]) if type(module) is nn.Sequential and len(module) else module


def _in_turn(module: nn.Module) -> Iterator[nn.Module]:
    """Take sequences of modules apart."""
    if type(module) is nn.Sequential and is_plain(module):
        for part in module:
            yield from _in_turn(part)
    else:
        yield module


def _state(weight: torch.Tensor) -> tuple[Any, ...]:
    """Name a tensor and what it holds; what is written to its ``.data`` in place is not told."""
    version = -1 if weight.is_inference() else weight._version  # tensors of inference mode have none
    return id(weight), version, weight.data_ptr(), weight.dtype, weight.device


@torch.inference_mode(False)
def evaluated(model: nn.Module) -> nn.Module:
    """Copy a network for evaluation, laid out as convolutions and poolings are quickest on a CPU."""
    copied = copy.deepcopy(model).eval()
    return copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch_size(shape: Sequence[int], device: torch.device, most: int) -> int:
    """Say how many inputs of a shape such as ``(1, F, T)`` to evaluate at once: `most`, fewer on a CPU."""
    return most if device.type != "cpu" else min(most, max(1, CACHED_CELLS // math.prod(shape)))


def build(name: str, **arguments: Any) -> nn.Sequential:
    """Build the network of an architecture, with new weights.

    Parameters
    ----------
    name : str
        As ``model.architecture`` names it.
    **arguments
        Of ``build`` in the architecture's module.
    """
    module = importlib.import_module(f"earmark.{architectures()[name].module}")
    return module.build(**arguments)


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


def save_adopted(
    path: Path,
    adopted: Network,
    settings: Mapping[str, Any],
    frontend: Mapping[str, Any],
    made: Mapping[str, Any],
) -> None:
    """Write a network of the user's: its weights, and where its code is, what its outputs are and its layers' names.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    adopted : Network
        As it is explained.
    settings : mapping
        The section ``model`` of the configuration.
    frontend : mapping
        The ``frontend`` section that the inputs are made with.
    made : mapping
        Provenance.
    """
    weights = {name: tensor.detach().clone() for name, tensor in adopted.network.state_dict().items()}  # may be shared
    artifacts.write_tensors(
        path,
        weights,
        made,
        network=settings["network"],
        code=foreign.contents(settings["network"], "model.network"),
        outputs=settings["outputs"],
        task=settings["task"],
        names=dict(adopted.names),
        layers=dict(adopted.layers),
        suggested=list(adopted.suggested),
        classes=list(adopted.classes),
        frontend=dict(frontend),
    )


def load(path: Path) -> Network:
    """Read a network written by :func:`save` or :func:`save_adopted`, on the CPU and in evaluation mode.

    Raises
    ------
    EarmarkError
        If it is not there, or the code of an adopted one is no longer.
    """
    if not Path(path).exists():
        raise EarmarkError(
            f"The network has not been made: '{path}' is missing; the stage `train` makes it, `adopt` one of yours."
        )
    weights, meta = artifacts.read_tensors(Path(path))
    frontend, classes = from_settings(meta["frontend"]), tuple(meta["classes"])
    if "network" in meta:
        network = external.load_network(meta["network"], Path.cwd()).float().cpu().eval()
        network.load_state_dict(weights)
        if meta["outputs"] == "probabilities":
            network = external.without_probabilities(network, torch.empty(0, *frontend.shape))
        told = meta["layers"], meta["task"] == "multi", meta["names"], meta["suggested"]
        return Network(network, frontend, classes, *told)
    network = build(**meta["architecture"])
    network.load_state_dict(weights)
    return Network(network.eval(), frontend, classes, blocks.layers(network))


def of(job: Job) -> Network:
    """Read the network of a job's split, on the device that it computes on."""
    return load(job.layout.model(job.split)).to(device(job.gpu))


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


@torch.no_grad()
def answered(model: Model, inputs: torch.Tensor) -> torch.Tensor:
    """Answer inputs ``[N, *I]`` where they are, as many at once as suit the device: ``[N, C]``."""
    size = batch_size(inputs.shape[1:], inputs.device, EVALUATION_BATCH)
    return torch.cat([model.logits(part) for part in inputs.split(size)])


def logits_of(network: nn.Module, inputs: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Evaluate a network in evaluation mode: ``[N, *I]`` to logits ``[N, C]`` on the CPU."""
    copied = evaluated(network)
    size = batch_size(inputs.shape[1:], device, EVALUATION_BATCH)
    with torch.inference_mode():
        return torch.cat([copied(part.to(device, copy=True)).cpu() for part in inputs.split(size)])

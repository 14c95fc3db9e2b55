"""What explaining costs: the examples that go through a network, and the time that passes."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from earmark.models.base import WATCHES, Model, last_of


@dataclass
class Meter:
    """Counts what models, once :meth:`read`, are asked, and the seconds of its :meth:`running` time.

    An example is one input, alone or in a batch. Pieces of a pass count once: where an explanation is sent down from
    the logits to a layer, and from there in K parts to the input, K examples go backward.

    Attributes
    ----------
    forward : int
        Examples that went through the network.
    seconds : float
        Of its running time.
    """

    forward: int = 0
    seconds: float = 0.0
    _left: int = 0
    _arrived: int = 0

    @property
    def backward(self) -> int:
        """Examples whose gradient, or relevance, left the logits or, if these are more, arrived at the input."""
        return max(self._left, self._arrived)

    def read(self, model: Model) -> Model:
        """Copy a model; what the copy, and copies of it, are asked is counted."""
        network = copy.deepcopy(model.network)

        # Functions, which a copy of the network shares: a method would be copied with the meter.
        def enter(_: Any, arguments: tuple[Any, ...]) -> None:
            inputs: Tensor = arguments[0]
            if inputs.requires_grad:
                inputs.register_hook(arrive)

        def leave(_: Any, arguments: tuple[Any, ...], logits: Tensor) -> None:
            count = len(logits)
            self.forward += count
            # The node and not the tensor: a gradient of logits by themselves passes nothing. The hook must not hold the
            # logits, or nobody ever frees the pass.
            if logits.grad_fn is not None:
                logits.grad_fn.register_prehook(lambda gradients: start(count))

        def arrive(gradient: Tensor) -> None:
            self._arrived += len(gradient)

        def start(count: int) -> None:
            self._left += count

        # Without gradients modules may be asked one by one, the first of them about pieces of inputs.
        setattr(enter, WATCHES, True)
        network.register_forward_pre_hook(enter)
        last_of(network).register_forward_hook(leave)
        return model.with_network(network)

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Add the seconds of a block, in which a device ends what it was given."""
        _finish(device)
        begun = time.perf_counter()
        try:
            yield
        finally:
            _finish(device)
            self.seconds += time.perf_counter() - begun


def _finish(device: torch.device) -> None:
    """Wait for a GPU, which computes beside the caller."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

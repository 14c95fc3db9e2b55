"""What a network answers to inputs that are alike for a while, without computing the same thing twice.

What a convolution or a pooling answers at one time depends on a few frames around it. As long as these are the same for
many inputs, it is computed once for all of them. A network that begins otherwise, or in a forward of its own, gets the
inputs as they are.

Cells are kept as they lie in memory where convolutions and poolings are quickest on a CPU: ``[n, F, T, D]``, or
``[n, T, F, D]``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from earmark.models.base import EVALUATION_BATCH, Model, batch_size, is_plain
from earmark.models.graph import ACTIVATIONS
from earmark.sound.mixture import Mixture, Stretch

WORTH = 0.6
"""Share of all inputs' frames: where more are left to look at, the inputs are taken as they are."""

CELLWISE = (nn.ReLU, nn.BatchNorm2d, nn.Dropout, nn.Identity, *ACTIVATIONS)

WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Reach:
    """Which frames modules look at: for number j of what they answer, `size` of them from ``j * step - before`` on."""

    size: int = 1
    step: int = 1
    before: int = 0

    def then(self, above: Reach) -> Reach:
        """Tell what modules above look at through these."""
        size, before = self.size + (above.size - 1) * self.step, self.before + above.before * self.step
        return Reach(size, self.step * above.step, before)

    def frames(self, first: int, last: int) -> tuple[int, int]:
        """Say where the frames begin and end that numbers `first` to `last` look at, beyond the ends maybe."""
        return first * self.step - self.before, last * self.step - self.before + self.size


def reach(module: nn.Module, axis: int) -> Reach | None:
    """Tell which frames, along an axis of its input, a module in evaluation mode looks at; None if nobody knows."""
    of_batch = isinstance(module, nn.BatchNorm2d) and module.running_mean is None
    if not is_plain(module) or of_batch or getattr(module, "return_indices", False):
        return None
    if type(module) in CELLWISE:
        return Reach()
    if type(module) not in WINDOWED or getattr(module, "padding_mode", "zeros") != "zeros":
        return None
    window: Any = module
    size = 1 + (_along(window.kernel_size, axis) - 1) * _along(getattr(window, "dilation", 1), axis)
    named = {"same": (size - 1) // 2, "valid": 0}
    before = named[window.padding] if isinstance(window.padding, str) else _along(window.padding, axis)
    return Reach(size, _along(window.stride, axis), before)


def _along(sizes: int | Sequence[int], axis: int) -> int:
    return sizes if isinstance(sizes, int) else sizes[axis]


@torch.inference_mode()
def answered(model: Model, mixture: Mixture) -> Tensor:
    """Answer inputs where they are: the logits ``[N, C]`` of N."""
    steps, done = list(model.steps), 0
    rows, which = mixture.alike()
    cells = Mixture(
        tuple(Stretch(one.values.movedim(1, -1).contiguous(), one.which) for one in mixture.stretches), mixture.axis - 1
    )
    while cells.stretches[0].values.dim() == 4 and (stage := _leading(steps[done:], mixture.axis)):
        found = _advanced(stage, cells, rows)
        if found is None:
            break
        cells, done = found, done + len(stage.modules)
    rest = nn.Sequential(*steps[done:])
    if done:
        return torch.cat([rest(part.movedim(-1, 1)) for part in _batches(cells, rows)])[which]
    return torch.cat([rest(part) for part in _batches(mixture, rows)])[which]


@dataclass(frozen=True)
class Stage:
    """Modules one after the other, and which frames they look at."""

    modules: nn.Sequential
    reach: Reach

    def __call__(self, cells: Tensor) -> Tensor:
        """Answer cells, channels last."""
        return self.modules(cells.movedim(-1, 1)).movedim(1, -1)


def _leading(steps: Sequence[nn.Module], axis: int) -> Stage | None:
    """Take the first modules of which is known what they look at, up to one that answers less often than it is asked.

    What is above has fewer frames to be put together.
    """
    taken, whole = [], Reach()
    for module in steps:
        found = reach(module, axis)
        if found is None:
            break
        taken.append(module)
        whole = whole.then(found)
        if whole.step > 1:
            break
    return Stage(nn.Sequential(*taken), whole) if taken else None


@dataclass(frozen=True)
class Section:
    """Consecutive numbers of an answer: which inputs differ in what these look at, and where that is.

    Attributes
    ----------
    first, last : int
        The numbers.
    rows, which : Tensor
        As of :meth:`earmark.sound.mixture.Mixture.alike`.
    """

    first: int
    last: int
    rows: Tensor
    which: Tensor

    def window(self, reach: Reach, total: int) -> tuple[int, int]:
        """Say which of all frames to answer for them, from a multiple of the step on; no fewer than one looks at."""
        start, stop = reach.frames(self.first, self.last)
        start, stop = max(min(start, total - reach.size), 0), max(stop, reach.size) + reach.step - 1
        return start // reach.step * reach.step, min(stop // reach.step * reach.step, total)


def _sections(cells: Mixture, reach: Reach, length: int) -> list[Section]:
    """Part an answer of some length where other stretches are looked at, unless the same inputs differ there."""
    places = [place for place, width in enumerate(cells.widths) for _ in range(width)]

    def looks_at(number: int) -> tuple[int, ...]:
        start, stop = reach.frames(number, number)
        return tuple(places[min(max(end, 0), len(places) - 1)] for end in (start, stop - 1))

    found: list[Section] = []
    for (low, high), numbers in itertools.groupby(range(length), looks_at):
        first, *others = numbers
        last = others[-1] if others else first
        rows, which = cells.alike(slice(low, high + 1))
        if found and torch.equal(found[-1].rows[found[-1].which], rows[which]):
            found[-1] = replace(found[-1], last=last)
        else:
            found.append(Section(first, last, rows, which))
    return found


def _advanced(stage: Stage, cells: Mixture, rows: Tensor) -> Mixture | None:
    """Compute what a stage answers, section by section; None where too little of the inputs `rows` is alike for it."""
    total, axis = sum(cells.widths), cells.axis
    length = stage(cells.inputs(rows[:1])).shape[axis]
    sections = _sections(cells, stage.reach, length)
    windows = [section.window(stage.reach, total) for section in sections]
    left = sum(len(section.rows) * (stop - start) for section, (start, stop) in zip(sections, windows, strict=True))
    if left > WORTH * len(rows) * total:
        return None
    found = []
    for section, (start, stop) in zip(sections, windows, strict=True):
        answer = _joined if _joins(section, stage.reach, total) else _apart
        own = section.first - start // stage.reach.step, section.last + 1 - section.first
        batches = _batches(cells.cut(start, stop), section.rows)
        values = torch.cat([answer(stage, windows, axis).narrow(axis, *own) for windows in batches])
        found.append(Stretch(values, section.which))
    return Mixture(tuple(found), axis)


def _joins(section: Section, reach: Reach, total: int) -> bool:
    """Tell whether windows can lie next to one another.

    Not if numbers look beyond the first or last frame, where every module puts zeros of its own; or begin behind what
    they look at.
    """
    start, stop = reach.frames(section.first, section.last)
    window = section.window(reach, total)
    return start >= 0 and stop <= total and (window[1] - window[0]) % reach.step == 0 and reach.before < reach.size


def _apart(stage: Stage, windows: Tensor, axis: int) -> Tensor:
    """Answer windows ``[n, ...]`` one by one."""
    return stage(windows)


def _joined(stage: Stage, windows: Tensor, axis: int) -> Tensor:
    """Answer windows ``[n, ...]`` next to one another in time: many narrow ones take convolutions long.

    Where that is of two windows it is nobody's answer.
    """
    place = axis + windows.dim() - 1  # of the windows, before that of their frames
    found = stage(windows.movedim(0, place).flatten(place, place + 1).unsqueeze(0)).squeeze(0)
    shape = len(windows), windows.shape[axis] // stage.reach.step
    missing = math.prod(shape) - found.shape[axis]  # or too many, if negative
    filled = functional.pad(found, [*[0, 0] * (-axis - 1), 0, missing]) if missing else found
    return filled.unflatten(axis, shape).movedim(place, 0)


def _batches(mixture: Mixture, rows: Tensor) -> Iterator[Tensor]:
    """Put inputs together, as many at once as suit the device."""
    shape = mixture.inputs(rows[:1]).shape[1:]
    for part in rows.split(batch_size(shape, rows.device, EVALUATION_BATCH)):
        yield mixture.inputs(part)

"""What a quantity of a table is: of which heatmaps, which metric, and less what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from earmark.plan.methods import always, base_of
from earmark.store import layout
from earmark.store.layout import INPUT_LAYER


class At(NamedTuple):
    """Where a set of heatmaps lies."""

    layer: str
    method: str
    k: int


STANDARD = At(INPUT_LAYER, layout.STANDARD, 1)

LEVELS = tuple(At(INPUT_LAYER, base_of(name), 1) for name in always())
"""Explanations that know no layer and that every table holds: the standard one, and a control by its first seed."""


class Label(NamedTuple):
    """What a quantity is.

    Attributes
    ----------
    at : At
        Of which heatmaps.
    metric : str
        A name in :data:`earmark.metrics.scores.METRICS`.
    minus : tuple of str
        What is subtracted, one after the other: metrics, or methods of which the same is meant.
    part : str
        What of the clip it is measured on, such as a sound object; empty for all of it.
    clips : str
        Which clips it is measured on, where not on those of the table.
    """

    at: At
    metric: str
    minus: tuple[str, ...] = ()
    part: str = ""
    clips: str = ""

    def less(self, name: str) -> Label:
        """Return this less something of the given name."""
        return self._replace(minus=(*self.minus, name))

    @property
    def text(self) -> str:
        """How tables write it, without the place."""
        text = f"{self.metric} {self.part}" if self.part else self.metric
        if self.clips:
            text = f"{text}, {self.clips}"
        for number, name in enumerate(self.minus):
            text = f"({text}) - {name}" if number else f"{text} - {name}"
        return text


def is_seed(method: str) -> bool:
    """Tell whether a method is one of several seeds, which tables average."""
    return base_of(method) != method


def methods(names: Sequence[str]) -> list[str]:
    """List methods, the seeds of one as one, and those last."""
    alone = [name for name in names if not is_seed(name)]
    return alone + list(dict.fromkeys(base_of(name) for name in names if is_seed(name)))


def rivals(grid: Iterable[At]) -> Iterator[tuple[At, At]]:
    """Pair each method with those after it at the same layer and K."""
    for first, second in combinations(grid, 2):
        if (first.layer, first.k) == (second.layer, second.k):
            yield first, second

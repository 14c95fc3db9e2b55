"""One call of a stage: where in the results it works, what it was told, and how it reports."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.progress import Progress
from earmark.seeds import derive
from earmark.store import artifacts
from earmark.store.layout import Layout


@dataclass(frozen=True, eq=False)
class Job:
    """Coordinates and configuration of a job; those that its stage does not have are left as they are.

    A job is itself alone, whatever another says: what was opened for it can be kept for its time.

    Attributes
    ----------
    stage, results, dataset
        What is called, the folder of all results, and the data set in it.
    config : dict
        The sections of the data set's block that the stage uses, with ``seed`` and ``torch_threads``.
    split, layer, method, k
        Which model, where in it, and what it is explained by.
    gpu : int
        0: on the CPU.
    starts : sequence of str
        Methods whose subspaces a search starts from.
    folds : int
        How many a cross-validation counts on; 0: any number.
    beside : sequence of str
        Data sets whose pages a page leads to.
    processes : int
        How many work side by side.
    track : str
        Name of a recording that is explained as a whole.
    """

    stage: str
    results: Path
    dataset: str
    config: dict[str, Any]
    split: str = ""
    layer: str = ""
    method: str = ""
    k: int = 0
    gpu: int = 0
    starts: Sequence[str] = ()
    folds: int = 0
    beside: Sequence[str] = ()
    processes: int = 1
    track: str = ""

    @property
    def layout(self) -> Layout:
        """Paths of the data set."""
        return Layout(self.results, self.dataset)

    @property
    def folder(self) -> Path:
        """Folder of the method, layer and K."""
        return self.layout.method(self.split, self.layer, self.method, self.k)

    @functools.cached_property
    def made(self) -> dict[str, Any]:
        """Provenance of everything that the job writes."""
        return artifacts.provenance(self.config, "cuda" if self.gpu else "cpu")

    def of_class(self, cls: str) -> Path:
        """Folder of one class of the method, layer and K."""
        return self.layout.concept(self.split, self.layer, self.method, self.k, cls)

    def seed(self, *labels: str | int) -> int:
        """Return the seed for one use of randomness; see :func:`earmark.seeds.derive`."""
        return derive(self.config["seed"], *labels)

    def progress(self, total: int, doing: str = "") -> Progress:
        """Report on `total` units; `doing` says what, where the job does several things."""
        place = [self.dataset, self.split, self.layer, self.method, f"K~{self.k}" if self.k else ""]
        return Progress(f"{self.stage} {'/'.join(filter(None, place))}" + (f": {doing}" if doing else ""), total)

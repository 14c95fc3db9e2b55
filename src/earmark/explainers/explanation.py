"""The explanation of a class's clips: what `explain` writes and everybody else reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earmark.errors import EarmarkError
from earmark.explainers.base import Parts
from earmark.job import Job
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD

NAME = "heatmaps.safetensors"

ROUNDING = 1e-4
"""Largest difference, in parts of the largest relevance, that sums of parts have from rounding."""

TOP = 3
"""Clips that stand for a part: those in which it weighs most."""


@dataclass(frozen=True)
class Explanation:
    """Parts of the explanation of n clips, all of one class.

    Attributes
    ----------
    clips : Tensor [n]
        Rows of the clip index.
    logits : Tensor [n]
        Of the explained class.
    gallery, scored : Tensor of bool [n]
        Shown as picture and sound; counted in the scores.
    maps : Tensor [n, K, *grid] or None
        Relevance, in the order of the parts.
    samples : Tensor [n, K, 1, S] or None
        Relevance of samples.
    sounds : Tensor [n, K, S] or None
        Sounds that the method made itself.
    left_out : int
        Test clips of the class that were looked at but are not recognised.
    checks : dict of str to float
        What was measured of it.
    path : Path
        Where it lies, for whoever misses something in it.
    reason : str
        Why there are no clips; empty where there are.
    """

    clips: Tensor
    logits: Tensor
    gallery: Tensor
    scored: Tensor
    maps: Tensor | None
    samples: Tensor | None
    sounds: Tensor | None
    left_out: int
    checks: dict[str, float]
    path: Path
    reason: str = ""

    @property
    def relevance(self) -> Tensor:
        """Relevance of every part, ``[n, K]``."""
        return self.heatmaps.sum(dim=tuple(range(2, self.heatmaps.dim())))

    @property
    def heatmaps(self) -> Tensor:
        """Its maps ``[n, K, *grid]``; see :func:`maps_of`."""
        return maps_of(self)

    def only(self, chosen: Tensor) -> Explanation:
        """Keep some of the clips, named by bool ``[n]`` or by their places."""
        whole = {name: getattr(self, name) for name in TENSORS}
        kept: dict[str, Any] = {name: None if part is None else part[chosen] for name, part in whole.items()}
        return replace(self, **kept)

    def of(self, clips: Sequence[int]) -> Explanation:
        """Keep the given clips, in their order.

        Raises
        ------
        EarmarkError
            If one of them is not explained.
        """
        place = {clip: row for row, clip in enumerate(self.clips.tolist())}
        missing = [clip for clip in clips if clip not in place]
        if missing:
            raise EarmarkError(
                f"{self.path} lacks clip {missing[0]}: it is older than what it is read for; explain again"
            )
        return self.only(torch.tensor([place[clip] for clip in clips], dtype=torch.long))

    def strongest(self, count: int) -> Tensor:
        """List the clips in which each part weighs most.

        Parameters
        ----------
        count : int
            How many clips; all if there are fewer.

        Returns
        -------
        Tensor [K, m]
            Places among the n clips, the most relevant first; of equal ones the earlier.
        """
        return self.relevance.argsort(dim=0, descending=True, stable=True)[:count].T

    def profiles(self) -> Tensor:
        """Average the positive relevance over the clips, ``[K, *grid]``."""
        return self.heatmaps.clamp_min(0).mean(dim=0)


def maps_of(found: Parts | Explanation) -> Tensor:
    """Return the maps ``[n, K, *grid]`` of an explanation, on the CPU.

    Raises
    ------
    EarmarkError
        If its method makes sounds and no maps.
    """
    if found.maps is None:
        raise EarmarkError("the method makes sounds and no heatmaps, which are asked for here")
    return found.maps.cpu()


def samples_of(found: Explanation) -> Tensor:
    """Return the relevance of samples ``[n, K, 1, S]`` of an explanation.

    Raises
    ------
    EarmarkError
        If it has none.
    """
    if found.samples is None:
        raise EarmarkError(
            f"{found.path} holds no relevance of samples, which relevance propagation finds in networks of waveforms: "
            "explain one of them, or again"
        )
    return found.samples


def joined(maps: Tensor) -> Tensor:
    """Join the parts of clips' explanations: the only map, or the sum of what is positive in each.

    Parameters
    ----------
    maps : Tensor
        ``[n, K, 1, F, T]``.

    Returns
    -------
    Tensor
        ``[n, F, T]``.
    """
    cells = maps[:, :, 0]
    return cells[:, 0] if cells.shape[1] == 1 else cells.clamp_min(0).sum(dim=1)


def heard(found: Parts | Explanation) -> Tensor:
    """Join the sounds that a method made itself: the only one, or the sum of those for the class, ``[n, S]``."""
    assert found.sounds is not None
    if found.sounds.shape[1] == 1:
        return found.sounds[:, 0]
    speaking = maps_of(found).flatten(2).sum(dim=2) > 0  # [n, K]
    return (found.sounds * speaking.to(found.sounds.device).unsqueeze(2)).sum(dim=1)


CHECKED = ("completeness", "unexplained")
"""What some methods check of their own explanations, the largest over clips."""

TENSORS = ("clips", "logits", "gallery", "scored", "maps", "samples", "sounds")


def write(explanation: Explanation, made: Mapping[str, Any]) -> None:
    """Write an explanation where it belongs, with its provenance."""
    tensors = {name: getattr(explanation, name) for name in TENSORS}
    tensors["heatmaps"] = tensors.pop("maps")
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    about = {"left_out": explanation.left_out, "reason": explanation.reason, **explanation.checks}
    artifacts.write_tensors(explanation.path, present, made, **about)


def read(path: Path) -> Explanation:
    """Read an explanation."""
    tensors, about = artifacts.read_tensors(path)
    checks = {name: value for name, value in about.items() if name not in ("provenance", "left_out", "reason")}
    return Explanation(
        tensors["clips"],
        tensors["logits"],
        tensors["gallery"].bool(),
        tensors["scored"].bool(),
        tensors.get("heatmaps"),
        tensors.get("samples"),
        tensors.get("sounds"),
        about["left_out"],
        checks,
        path,
        about.get("reason", ""),
    )


def of(job: Job, cls: str) -> Explanation:
    """Read the explanation of a class by the job's method."""
    return read(job.of_class(cls) / NAME)


def standard(job: Job, cls: str) -> Explanation:
    """Read the standard explanation of a class, which the job's method gives parts of, or is compared with."""
    return read(job.layout.concept(job.split, INPUT_LAYER, STANDARD, 1, cls) / NAME)


def bypass(maps: Tensor, standard: Tensor) -> Tensor | None:
    """Return what passes by the layer that a clip's parts are found at, such as in a residual branch.

    Parameters
    ----------
    maps : Tensor
        ``[K, *grid]``, of a method whose parts sum to the standard heatmap.
    standard : Tensor
        ``[*grid]``.

    Returns
    -------
    Tensor or None
        ``[*grid]``, what the parts lack of the standard heatmap; None where that is rounding.
    """
    lacking = standard - maps.sum(dim=0)
    return lacking if float(lacking.abs().max()) > ROUNDING * float(standard.abs().max()) else None


def checked(found: Explanation, standard: Explanation) -> dict[str, float]:
    """Measure how exactly parts sum to the standard heatmap, and what share of the logit that lacks.

    Parameters
    ----------
    found, standard : Explanation
        Of the same n clips.

    Returns
    -------
    dict of str to float
        ``sum_error``, largest difference between the parts' sum and the standard heatmap over the latter's largest
        value; ``absorbed_share``, mean share of the logit that does not reach the input; ``bypass_share``, mean share
        of what reaches it that is in no part.
    """
    whole = standard.heatmaps[:, 0]
    difference = (found.heatmaps.sum(dim=1) - whole).abs().max() / whole.abs().max().clamp_min(1e-30)
    arrived = whole.double().flatten(1).sum(dim=1)
    through = found.heatmaps.double().flatten(1).sum(dim=1)
    return {
        "sum_error": float(difference),
        "absorbed_share": float(1 - (arrived / found.logits.double()).mean()),
        "bypass_share": float(1 - (through / arrived).mean()),
    }

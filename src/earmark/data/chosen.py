"""Which clips are looked at, as the stage `choose` wrote it, and which are left out, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data.dataset import TEST, TRAINING, VALIDATION, ClassInfo
from earmark.data.predictions import unrecognised
from earmark.job import Job
from earmark.progress import Progress
from earmark.store import artifacts
from earmark.store.layout import Layout

log = logging.getLogger(__name__)

COLUMNS = ("clip", "cls", "logit", "use", "reason")

SETS = (VALIDATION, TEST)
"""Choices are made on the first, reported is the second."""

GALLERY = "gallery"
"""Use of clips that are shown as picture and sound."""

SCORED = "scored"
"""Use of test clips that are counted in the scores."""

RULES = f"rules-{VALIDATION}"
"""Use of validation clips on which LRP rules are compared."""


def truth(which: str) -> str:
    """Name the use of clips of one of `SETS` on which ground truth is measured."""
    return f"truth-{which}"


SET_OF = {GALLERY: TEST, SCORED: TEST, RULES: VALIDATION, **{truth(which): which for which in SETS}}
"""The set that the clips of a use are of."""


class Row(NamedTuple):
    """One clip and one use, in the order of ``COLUMNS``; without a reason it is used, else left out for it."""

    clip: int
    cls: str
    logit: float
    use: str
    reason: str


class Explained(NamedTuple):
    """The clips of one class that are explained.

    Attributes
    ----------
    clips : array of int [B]
        Rows of the clip index.
    logits : array of float32 [B]
        Of the class.
    gallery, scored : array of bool [B]
        Shown as picture and sound; counted in the scores.
    """

    clips: NDArray[np.int64]
    logits: NDArray[np.float32]
    gallery: NDArray[np.bool_]
    scored: NDArray[np.bool_]


class Truth(NamedTuple):
    """The clips of one class and one of `SETS` on which ground truth is measured.

    Attributes
    ----------
    which : str
        The set.
    cls : ClassInfo
        The class.
    clips : array of int [B]
        Rows of the clip index.
    logits : array of float32 [B]
        Of the class.
    left_out : int
        Clips that were looked at but are not recognised.
    """

    which: str
    cls: ClassInfo
    clips: NDArray[np.int64]
    logits: NDArray[np.float32]
    left_out: int


@dataclass(frozen=True)
class Chosen:
    """What is looked at of one model's data set.

    Attributes
    ----------
    rows : pandas.DataFrame
        Of ``COLUMNS``.
    """

    rows: pd.DataFrame

    def clips(self, cls: str, use: str) -> NDArray[np.int64]:
        """Rows of the clip index that a use takes of a class, ``[n]``, ascending."""
        return self._used(cls, use)["clip"].to_numpy(np.int64, copy=True)

    def logits(self, cls: str, use: str) -> NDArray[np.float32]:
        """Their logits of the class, ``[n]``."""
        return self._used(cls, use)["logit"].to_numpy(np.float32, copy=True)

    def left_out(self, cls: str, use: str) -> int:
        """Count the clips of a class that were looked at but are not recognised."""
        return int((self._of(cls, use)["reason"] != "").sum())

    def reason(self, cls: str) -> str:
        """Say why nothing of a class is looked at; empty where something is."""
        reasons = self.rows.loc[self.rows["cls"] == cls, "reason"]
        if (reasons == "").any():
            return ""
        # Test clips that are recognised, if any, are left out for want of training clips.
        return unrecognised(TRAINING if (reasons == unrecognised(TRAINING)).any() else TEST)

    def explained(self, cls: str, scored: NDArray[np.int64] | None = None) -> Explained:
        """List the clips of a class that are explained: of the gallery those that are not scored, then the scored.

        `scored` are those that count as such, all of them by default.
        """
        shown, counted = self.clips(cls, GALLERY), self.clips(cls, SCORED)
        kept = np.isin(counted, counted if scored is None else scored)
        counted = counted[kept]
        alone = ~np.isin(shown, counted)
        clips = np.concatenate([shown[alone], counted])
        logits = np.concatenate([self.logits(cls, GALLERY)[alone], self.logits(cls, SCORED)[kept]])
        return Explained(clips, logits, np.isin(clips, shown), np.isin(clips, counted))

    def truths(self, classes: Sequence[ClassInfo], progress: Progress) -> Iterator[Truth]:
        """Yield what ground truth is measured on, set by set, and tell the progress after each; warn of what is not."""
        for done, (which, cls) in enumerate(((which, cls) for which in SETS for cls in classes), start=1):
            slug, use = cls.slug, truth(which)
            if self.has(cls, use):
                yield Truth(which, cls, self.clips(slug, use), self.logits(slug, use), self.left_out(slug, use))
            progress(done, f"{slug}, {which}")

    def has(self, cls: ClassInfo, use: str) -> bool:
        """Tell whether a use has a clip of a class; warn where it has none."""
        if len(self.clips(cls.slug, use)):
            return True
        log.warning("%s: %s, and nothing is measured", cls.name, self.reason(cls.slug) or unrecognised(SET_OF[use]))
        return False

    def _of(self, cls: str, use: str) -> pd.DataFrame:
        return self.rows[(self.rows["cls"] == cls) & (self.rows["use"] == use)]

    def _used(self, cls: str, use: str) -> pd.DataFrame:
        looked_at = self._of(cls, use)
        return looked_at[looked_at["reason"] == ""]


def of(job: Job) -> Chosen:
    """Read what was chosen for the job's split."""
    return read(job.layout, job.split)


def read(layout: Layout, split: str) -> Chosen:
    """Read what was chosen for a split of a data set."""
    table = artifacts.read_csv(layout.chosen(split))
    numbers = {"clip": table["clip"].to_numpy(np.int64), "logit": table["logit"].to_numpy(np.float64)}
    return Chosen(table.assign(**numbers))

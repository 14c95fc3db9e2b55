"""What the model answers to every evaluation clip, as the stage `predict` wrote it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earmark.data.dataset import TEST, TRAINING, ClassInfo, DataSet, Split
from earmark.job import Job
from earmark.store import artifacts


@dataclass(frozen=True)
class Predictions:
    """Logits of all clips; a clip is named by its row in the clip index.

    Attributes
    ----------
    logits : array of float32 [N, C]
        In the order of the clip index and of the classes.
    multi_label : bool
        Whether each class is a question of its own, answered yes by a positive logit (p > .5).
    """

    logits: NDArray[np.float32]
    multi_label: bool = False

    def answers(self, clips: ArrayLike) -> NDArray[np.int64]:
        """Index of the class that each of some clips is taken for, ``[n]``."""
        return self.logits[_rows(clips)].argmax(axis=1)

    def of(self, clips: ArrayLike, cls_index: int) -> NDArray[np.float32]:
        """Logits of one class of some clips, ``[n]``."""
        return self.logits[_rows(clips), cls_index]

    def recognised(self, clips: ArrayLike, cls_index: int) -> NDArray[np.bool_]:
        """Say which clips are classified as a class with a positive logit, bool ``[n]``."""
        return self.taken_for(clips, cls_index) & (self.of(clips, cls_index) > 0)

    def taken_for(self, clips: ArrayLike, cls_index: int) -> NDArray[np.bool_]:
        """Say to which clips the model answers a class, bool ``[n]``."""
        return self.of(clips, cls_index) > 0 if self.multi_label else self.answers(clips) == cls_index

    def of_class(self, source: DataSet, clips: ArrayLike, cls: ClassInfo) -> NDArray[np.int64]:
        """Select those of some clips that are of a class, by their labels or, without any, by the model's answers."""
        rows = _rows(clips)
        return source.of_class(rows, cls) if source.labelled else rows[self.taken_for(rows, cls.index)]

    def known(self, source: DataSet, clips: ArrayLike, cls: ClassInfo) -> NDArray[np.int64]:
        """Select those of some clips that are of a class and recognised, in their order."""
        own = self.of_class(source, clips, cls)
        return own[self.recognised(own, cls.index)]

    def split(self, source: DataSet, split: str, cls: ClassInfo) -> Split:
        """Divide clips for a class: as the split does, or all into each set.

        All where folds know no labels, which they were divided by before the model answered, and one of the sets has no
        clip that is recognised as the class.
        """
        parts = source.split(split)
        sets = parts.train, parts.validation, parts.test
        if source.labelled or all(len(self.known(source, clips, cls)) for clips in sets):
            return parts
        everything = np.unique(np.concatenate(sets))
        return Split(split, everything, everything, everything)

    def training(self, source: DataSet, split: str, cls: ClassInfo) -> NDArray[np.int64]:
        """Select the training clips of a split that are of a class and recognised."""
        return self.known(source, self.split(source, split, cls).train, cls)

    def lacking(self, source: DataSet, split: str, cls: ClassInfo) -> str:
        """Say why nothing of a class can be explained, see :func:`unrecognised`; empty where it can.

        Concepts are fitted to training clips and shown of test clips: without either there is nothing to look at.
        """
        parts = self.split(source, split, cls)
        for which, clips in ((TEST, parts.test), (TRAINING, parts.train)):
            if not len(self.known(source, clips, cls)):
                return unrecognised(which)
        return ""


def of(job: Job) -> Predictions:
    """Read the predictions of the job's split; columns by position, since a class may be called ``clip``."""
    table = artifacts.read_csv(job.layout.predictions(job.split))
    multi_label = artifacts.read_metadata(job.layout.model(job.split)).get("task") == "multi"
    return Predictions(table.iloc[:, 1:].to_numpy(np.float64).astype(np.float32), multi_label)


def unrecognised(which: str) -> str:
    """Say of a class that none of its clips of a set is recognised; there may be none at all."""
    return f"no {which} clip of it is recognised"


def _rows(clips: ArrayLike) -> NDArray[np.int64]:
    return np.asarray(clips, dtype=np.int64).reshape(-1)

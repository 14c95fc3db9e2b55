"""Stage ``choose``: which clips are explained, scored, shown and measured by ground truth; which are left out, and why.

All look at clips that the model recognises: an answer that was not given has no reasons. Clips to look at are drawn
first, from all of their class, and those of them that are not recognised are left out and counted. Of a class that
lacks training or test clips that are recognised all are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data import dataset, predictions
from earmark.data.chosen import COLUMNS, GALLERY, RULES, SCORED, SETS, Chosen, Row, truth
from earmark.data.dataset import TEST, ClassInfo, DataSet
from earmark.data.predictions import Predictions, unrecognised
from earmark.data.selection import spread
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.store import artifacts

log = logging.getLogger(__name__)

Clips = NDArray[np.int64]
"""Rows of the clip index, ascending."""


def run(job: Job) -> None:
    """Write ``chosen.csv``: a row per clip and use.

    Parameters
    ----------
    job : Job
        Of its configuration: ``explain``, ``objects.clips``, ``composites.clips``, ``seed``.

    Raises
    ------
    EarmarkError
        If all classes lack clips that are recognised.
    """
    choice = Choice(job, dataset.of(job), predictions.of(job))
    classes = dataset.explained(job.config, choice.source)
    rows = [row for cls in classes for row in choice.rows(cls)]
    chosen = Chosen(pd.DataFrame(rows, columns=list(COLUMNS)))
    model, lacking = f"{job.dataset}/{job.split}", {cls: chosen.reason(cls.slug) for cls in classes}
    if all(lacking.values()):
        raise EarmarkError(
            f"the model of {model} gives nothing to explain: it recognises (classifies correctly, with a positive "
            f"logit) both training and test clips of none of {', '.join(cls.name for cls in classes)}; see its "
            "confusion.csv, and mend labels, front end or order of the classes, or train it longer"
        )
    for cls, reason in lacking.items():
        if reason:
            log.warning("%s of %s is left out, its files hold no clips: %s", cls.name, model, reason)
            continue
        counts = len(chosen.clips(cls.slug, SCORED)), chosen.left_out(cls.slug, SCORED)
        log.info("%s: %d test clips are scored, %d left out", cls.slug, *counts)
    artifacts.write_csv(job.layout.chosen(job.split), COLUMNS, rows, job.made)


@dataclass(frozen=True)
class Choice:
    """What is chosen from, and how many are asked for."""

    job: Job
    source: DataSet
    predictions: Predictions

    def rows(self, cls: ClassInfo) -> Iterator[Row]:
        """Choose the clips of a class, use by use; none where it lacks such as are recognised."""
        rows = list(self.looked_at(cls))
        lacking = self.predictions.lacking(self.source, self.job.split, cls)
        if not lacking and not any(row.use == SCORED and not row.reason for row in rows):
            lacking = unrecognised(TEST)  # among those that were drawn
        for row in rows:
            yield row._replace(reason=row.reason or lacking)

    def looked_at(self, cls: ClassInfo) -> Iterator[Row]:
        """Draw the clips of a class, use by use, and say of each whether it is recognised."""
        split, config = self.predictions.split(self.source, self.job.split, cls), self.job.config
        test = self.drawn(
            self.predictions.of_class(self.source, split.test, cls), config["explain"]["clips"], "scored", cls.slug
        )
        yield from self.gallery(cls, test)
        yield from self.told(cls, SCORED, test)
        for which in SETS if self.source.has_stems else ():
            showcase = self.source.held_out(f"all-{which}")
            own = self.predictions.of_class(self.source, showcase if len(showcase) else getattr(split, which), cls)
            clips = self.drawn(own, config["objects"]["clips"], "objects", which, cls.slug)
            yield from self.told(cls, truth(which), clips)
        own = self.predictions.of_class(self.source, split.validation, cls)
        yield from self.told(cls, RULES, self.drawn(own, config["composites"]["clips"], "composites", cls.slug))

    def gallery(self, cls: ClassInfo, test: Clips) -> Iterator[Row]:
        """Choose what to look at and to listen to: clips with all objects, where there are such, else scored ones."""
        showcase = self.predictions.of_class(self.source, self.source.held_out("all-test"), cls)
        pool = showcase if len(showcase) else test
        known = self.predictions.recognised(pool, cls.index)
        picked = self.drawn(pool[known], self.job.config["explain"]["gallery"], "gallery", cls.slug)
        yield from self.told(cls, GALLERY, np.union1d(picked, pool[~known]))

    def drawn(self, clips: Clips, count: int, *purpose: str) -> Clips:
        """Draw clips for a purpose, spread over their recordings."""
        recordings = self.source.clips["recording"].to_numpy()[clips]
        return clips[spread(recordings, count, self.job.seed(*purpose))]

    def told(self, cls: ClassInfo, use: str, clips: Clips) -> Iterator[Row]:
        """Say of clips of a class whether a use takes them, or why not."""
        logits, taken = self.predictions.of(clips, cls.index), self.predictions.taken_for(clips, cls.index)
        answers = self.predictions.answers(clips)
        for clip, answer, logit, told in zip(*(each.tolist() for each in (clips, answers, logits, taken)), strict=True):
            reason = "" if logit > 0 else "its logit is not positive"
            if not told and not self.predictions.multi_label:
                reason = f"classified as {self.source.classes[answer].slug}"
            yield Row(clip, cls.slug, logit, use, reason)

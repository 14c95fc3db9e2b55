"""Table ``model``: accuracy and the like of every trained split, and their mean over the folds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from earmark import statistics
from earmark.statistics import ALL, Clusters
from earmark.tables import summary
from earmark.tables.study import Study
from earmark.tables.summary import Row, number

COLUMNS = ("split", *summary.COLUMNS)

OF_TEST = ("test_accuracy", "test_recording_accuracy", "test_loss", "test_clips")
"""Metrics of test clips; the others are told without a number of clips."""

Measured = dict[str, list[tuple[str, str, float, float]]]
"""By split: class, metric, value, and the number of test clips."""


def measure(study: Study) -> Measured:
    """Read what every trained split came to."""
    found: Measured = {}
    answers = [cls.slug for cls in study.source.classes]
    for split in study.splits:
        metrics = study.read_json(study.layout.split(split) / "metrics.json")
        counts = confusion(study, split) if metrics else None
        if counts is None:
            continue
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        found[split] = [(ALL, name, float(value), numbers["test_clips"]) for name, value in numbers.items()]
        if len(counts):  # clips without labels are counted nowhere
            told = metrics.get("test_clips_of")  # where clips get several answers, or none
            totals = counts.sum(axis=1) if told is None else np.array([told[slug] for slug in answers])
            of_class = np.diag(counts) / np.where(totals > 0, totals, np.nan)
            found[split] += [
                (slug, "test_accuracy", *each) for slug, *each in zip(answers, of_class, totals, strict=True)
            ]
    return found


def rows(study: Study, measured: Measured) -> Iterator[Row]:
    """Yield a row per split, class and metric; those of ``folds`` hold the mean over the folds."""
    folds: dict[tuple[str, str], list[float]] = {}
    for split, of_split in measured.items():
        for cls, metric, value, total in of_split:
            n = int(total) if metric in OF_TEST else ""
            yield (split, "", "", "", cls, metric, number(value), "", "", "", n, "")
            if split in study.folds:
                folds.setdefault((cls, metric), []).append(value)
    for (cls, metric), per_fold in folds.items():
        values = np.array(per_fold)[~np.isnan(per_fold)]
        (interval,) = statistics.bootstrap(values[:, None], Clusters.of(range(len(values))), study.draws, study.seed)
        yield ("folds", "", "", "", cls, metric, *map(number, interval), "", len(values), "")


def confusion(study: Study, split: str) -> NDArray[np.int64] | None:
    """Read a confusion matrix [C, C], rows true class, by place: a class may bear the name of the first column."""
    frame = study.read_csv(study.layout.split(split) / "confusion.csv")
    return None if frame is None else frame.iloc[:, 1:].to_numpy(np.int64)

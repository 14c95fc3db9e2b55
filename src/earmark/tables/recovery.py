"""Table ``recovery``: which part of every known sound object's relevance lies in which concept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from earmark.data.dataset import TEST
from earmark.tables.ground_truth import Measured, read_all
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import Row, Values, number

COLUMNS = ("layer", "method", "k", "cls", "concept", "object", "name", "share")


def measure(study: Study) -> dict[tuple[At, str], Values]:
    """Pool the test clips of every method, of several seeds the first, and class: parts ``[K, O]``."""
    if not study.has(study.layout.split(study.split) / "ablation.csv"):
        return {}
    found = read_all(study, study.grid)
    return {
        (at, cls): pooled(seeds[0][TEST], cls)
        for at, seeds in found.items()
        for cls in study.slugs
        if cls in seeds[0][TEST].cls
    }


def pooled(measured: Measured, cls: str) -> Values:
    """Part of each object's relevance that lies in every concept, pooled over the clips of a class ``[K, O]``."""
    table = np.nansum(measured.relevance[measured.cls == cls], axis=0)[:, 1:]
    totals = table.sum(axis=0)
    return np.divide(table, totals, out=np.full_like(table, np.nan), where=totals > 0)


def rows(study: Study, parts: dict[tuple[At, str], Values]) -> Iterator[Row]:
    """Yield a row per place, class, concept and object; of an object without any relevance the part is empty."""
    if not parts:
        return
    names = {cls.slug: study.source.object_names(cls) for cls in study.classes}
    for (at, cls), table in parts.items():
        for (concept, place), share in np.ndenumerate(table):
            if place < len(names[cls]):
                yield (*at, cls, concept + 1, place + 1, names[cls][place], number(share))


def matrix(frame: pd.DataFrame) -> tuple[list[str], Values]:
    """Read the rows of a place and class: the names of the O objects, and their parts in K concepts ``[K, O]``."""
    concepts, objects = (frame[column].astype(int) - 1 for column in ("concept", "object"))
    table = np.full((concepts.max() + 1, objects.max() + 1), np.nan)
    table[concepts, objects] = frame["share"].replace("", "nan").astype(float)
    return frame.drop_duplicates("object")["name"].tolist(), table

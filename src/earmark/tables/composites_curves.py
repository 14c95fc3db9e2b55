"""Table ``composites_curves``: the logit while patches are flipped, under every set of LRP rules (Fig. B.1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark import statistics
from earmark.seeds import derive
from earmark.statistics import Clusters
from earmark.tables.study import Study
from earmark.tables.summary import Row, number
from earmark.tables.written import numbers

COLUMNS = ("candidate", "replacement", "fraction", "ratio", "low", "high")

PLACE = ["candidate", "replacement", "fraction"]


def measure(study: Study) -> pd.DataFrame | None:
    """Read the curves of the clips; None where no candidate is named."""
    types = {"clip": int, "fraction": float, "ratio": float}
    return study.read_csv(study.layout.composites_curves(study.split), types) if study.candidates else None


def rows(study: Study, by_clip: pd.DataFrame | None) -> list[Row]:
    """Average curves over clips, then over classes, with intervals by group."""
    if by_clip is None or by_clip.empty:
        return []
    points = by_clip.drop_duplicates(PLACE)[PLACE]
    clips = by_clip.drop_duplicates(["cls", "clip"])
    matrix = by_clip.pivot(index=["cls", "clip"], columns=PLACE, values="ratio")
    values = matrix.loc[pd.MultiIndex.from_frame(clips[["cls", "clip"]]), pd.MultiIndex.from_frame(points)]
    seed = derive(study.config["seed"], "composites", "bootstrap")
    clusters = Clusters.of(clips["group"], clips["cls"])
    intervals = statistics.bootstrap(values.to_numpy(float), clusters, study.draws, seed)
    places = points.itertuples(index=False, name=None)
    return [
        (name, replacement, number(fraction), *map(number, interval))
        for (name, replacement, fraction), interval in zip(places, intervals, strict=True)
    ]


def curves(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], NDArray[np.float64]]]:
    """Yield what was written of every replacement and set of rules: fraction, ratio, low and high ``[T + 1, 4]``."""
    for (replacement, name), rows in table.groupby(["replacement", "candidate"], sort=False):
        yield (str(replacement), str(name)), np.array(numbers(rows, ("fraction", "ratio", "low", "high")))

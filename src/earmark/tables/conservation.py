"""Table ``conservation``: how exactly concepts sum to the standard heatmap, and what share of the logit biases absorb.

What `explain` measured, class by class; see :func:`earmark.explainers.explanation.checked`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from earmark.tables.labels import STANDARD, At
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import Row, number

METRICS = ("sum_error", "absorbed_share", "bypass_share")

Measured = dict[tuple[At, str], dict[str, Any]]
"""By place, the seeds of a method apart, and class."""


def measure(study: Study) -> Measured:
    """Read what was written beside the heatmaps."""
    return {
        (place, cls): study.read_metadata(study.heatmaps(place, cls))
        for at in (STANDARD, *study.grid)
        for place in (at._replace(method=name) for name in study.folders(at))
        for cls in study.slugs
    }


def rows(study: Study, measured: Measured) -> Iterator[Row]:
    """Yield a row per place, class and metric."""
    for (at, cls), metadata in measured.items():
        for metric in METRICS:
            value = number(metadata.get(metric, math.nan))
            yield (*at, cls, metric, value, "", "", "", "", metadata.get("left_out", ""))

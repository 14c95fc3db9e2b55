"""What all drawings share."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.figure import Figure

from earmark.metrics.scores import METRICS
from earmark.statistics import Bar

Drawn = Iterator[tuple[str, Figure | None]]
"""Names and figures; None where results are missing."""

UNITS = {name: metric.unit for name, metric in METRICS.items()}

UNKNOWN: Bar = (math.nan, math.nan, math.nan)

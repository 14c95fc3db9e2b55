"""Table ``composites``: LRP rules against the configured ones (Fig. B.1); no row where no candidate is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.chosen import RULES
from earmark.metrics.scores import FLIPPED, with_medians
from earmark.plan.config import CONFIGURED
from earmark.tables import summary
from earmark.tables.labels import At, Label
from earmark.tables.study import Study
from earmark.tables.summary import COLUMNS as COLUMNS
from earmark.tables.summary import (
    Clips,
    Row,
    Summaries,
    Values,
    clips_of,
    groups_of,
    subtract,
    summarise,
    summarise_scores,
)


@dataclass(frozen=True)
class Composites:
    """The scored validation clips, and what is known of the rules."""

    clips: Clips
    found: Summaries


def measure(study: Study) -> Composites:
    """Read ``composites.csv``, and compare."""
    types = {"clip": int, **dict.fromkeys(FLIPPED, float)}
    frame = study.read_csv(study.layout.composites(study.split), types) if study.candidates else None
    clips = Clips(np.array([]), np.array([]), dict.fromkeys(study.slugs))
    values: dict[Label, Values] = {}
    if frame is not None:
        frame = frame.set_index(["cls", "clip"])
        groups = groups_of([frame["group"]])
        clips = clips_of(groups, study.left_out(RULES))
        for at in study.candidates:
            scores = frame[frame["candidate"] == at.method].reindex(groups.index)
            values |= {Label(at, metric): scores[metric].to_numpy(float) for metric in FLIPPED}
    found = summarise_scores(values, clips, study.draws, study.seed)
    differences = subtract(comparisons(study.candidates), values)
    return Composites(clips, found | summarise(differences, clips, study.draws, study.seed, test=True))


def rows(study: Study, composites: Composites) -> list[Row]:
    """Write a row per score, or difference, and class."""
    labels = [Label(at, metric) for at in study.candidates for metric in with_medians(FLIPPED)]
    return summary.rows([*labels, *comparisons(study.candidates)], composites.found, composites.clips)


def comparisons(grid: Sequence[At]) -> dict[Label, tuple[Label, Label]]:
    """List the paired differences of LRP rules to the configured ones.

    Parameters
    ----------
    grid : sequence of At
        The configured rules first.

    Returns
    -------
    dict
        Maps a difference, such as ``thesis - configured``, to its two terms.
    """
    return {
        Label(at, metric).less(CONFIGURED): (Label(at, metric), Label(grid[0], metric))
        for at in grid[1:]
        for metric in FLIPPED
    }

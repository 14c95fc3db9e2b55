"""A panel of listeners whose true opinions are known, and the files that they leave, as webMUSHRA writes them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from earmark.data.ratings import COLUMNS, trial_id
from earmark.metrics.ratings import QUESTIONS, Spread

TRUE = {
    "class": {"info": 55.0, "drsa": 45.0, "standard": 45.0, "cells~0": 20.0, "rest": 35.0, "reference": 70.0},
    "quality": {"info": 42.0, "drsa": 42.0, "standard": 42.0, "cells~0": 25.0, "rest": 50.0, "reference": 75.0},
}
"""Points of every condition, far enough from the ends of the scale that none is cut off."""

SPREAD = Spread(leaning=5.0, single=6.0)
LISTENER, CLIP = 4.0, 3.0
"""Standard deviations of what a listener, and a clip, adds to all conditions."""


def scores(
    listeners: int, clips: int, seed: int, true: Mapping[str, float], spread: Spread = SPREAD, rounded: bool = False
) -> pd.DataFrame:
    """Ratings for one question: a row each, with the listener, the clip, the condition and the score."""
    rng = np.random.default_rng(seed)
    names = list(true)
    shape = listeners, clips, len(names)
    effects = [
        np.array(list(true.values())),
        rng.normal(0, LISTENER, (listeners, 1, 1)),
        centred(rng.normal(0, CLIP, (1, clips, 1))),  # the clips are those of the test: their mean is what is asked
        rng.normal(0, spread.leaning, (listeners, 1, len(names))),
        rng.normal(0, spread.single, shape),
    ]
    points = np.clip(sum(effects), 0, 100)
    index = pd.MultiIndex.from_product([range(listeners), range(clips), names], names=["listener", "clip", "condition"])
    found = pd.Series(points.ravel().round() if rounded else points.ravel(), index, name="score").reset_index()
    return found.assign(listener="l" + found["listener"].astype(str))


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def key(clips: int, test: str = "demo-0a1b2c3d") -> list[dict[str, str]]:
    """What every sound of a test is."""
    rows = []
    for clip in range(clips):
        for number, condition in enumerate(TRUE["class"]):
            stimulus = "reference" if condition == "reference" else f"s{number + 10 * clip:03d}"
            cls = "ab"[clip % 2]
            rows.append(
                {"test": test, "trial": f"t{clip:02d}", "stimulus": stimulus, "condition": condition, "cls": cls}
            )
    return rows


def rows(listeners: int, clips: int, seed: int, spread: Spread = SPREAD) -> list[list[str]]:
    """All lines of a panel's ratings, without the head."""
    known = {(int(row["trial"][1:]), row["condition"]): row for row in key(clips)}
    found = []
    for number, question in enumerate(QUESTIONS):
        own = scores(listeners, clips, 2 * seed + number, TRUE[question], spread, rounded=True)
        for one in own.itertuples(index=False):
            row = known[one.clip, one.condition]
            session = f"0000-{one.listener}"
            trial = trial_id(row["trial"], question)
            found.append([row["test"], one.listener, session, trial, row["stimulus"], f"{one.score:.0f}", "2000", ""])
    return found


def write(path: Path, lines: Iterable[list[str]], head: Iterable[str] = COLUMNS) -> Path:
    """A file of ratings."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(head), *lines])
    return path

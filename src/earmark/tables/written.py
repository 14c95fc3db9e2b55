"""Tables as they were written, for those who draw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from earmark.statistics import Bars
from earmark.store import artifacts
from earmark.tables.labels import At

Numbers = tuple[float, ...]

BAR = ("estimate", "low", "high")


class Tables:
    """The tables of a data set, read when they are asked for.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, pd.DataFrame] = {}

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table as text."""
        if name not in self._read:
            self._read[name] = artifacts.read_csv(self._folder / f"{name}.csv")
        return self._read[name]

    def rows(self, name: str, at: At, cls: str) -> pd.DataFrame:
        """Return the rows of a place and class."""
        frame = self.frame(name)
        wanted = pd.Series([*map(str, at), cls], ["layer", "method", "k", "cls"])
        return frame[(frame[wanted.index] == wanted).all(axis=1)]

    def bars(self, name: str) -> Bars:
        """Return the estimates of a table with their intervals, but for those of single concepts."""
        frame = self.frame(name)
        return bars(frame[frame["concept"] == ""] if "concept" in frame else frame)


def bars(frame: pd.DataFrame) -> Bars:
    """Return the estimates of rows with their intervals; what is empty is left out."""
    frame = frame[frame["estimate"] != ""]
    places = zip(frame["layer"], frame["method"], frame["k"].astype(int), frame["cls"], frame["metric"], strict=True)
    return {
        place: (estimate, low, high) for place, (estimate, low, high) in zip(places, numbers(frame, BAR), strict=True)
    }


def numbers(frame: pd.DataFrame, columns: Sequence[str]) -> list[Numbers]:
    """Read numbers row by row; NaN where a cell is empty."""
    return list(frame[list(columns)].replace("", "nan").astype(float).itertuples(index=False, name=None))

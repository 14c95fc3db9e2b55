"""Table ``components_spectra``: the spectrum of each component of a dictionary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.store.layout import INPUT_LAYER
from earmark.tables.labels import At
from earmark.tables.study import Study
from earmark.tables.summary import Row

COLUMNS = ("method", "component", "learned_from", "frequency", "amplitude")


def measure(study: Study) -> dict[At, pd.DataFrame]:
    """Read the ``spectra.csv`` of every method that was asked for."""
    places = [At(INPUT_LAYER, name, 1) for name in study.config["evaluate"]["fidelity"]]
    files = {at: study.read_csv(study.layout.trained(study.split, at.method) / "spectra.csv") for at in places}
    return {at: frame for at, frame in files.items() if frame is not None}


def rows(study: Study, spectra: dict[At, pd.DataFrame]) -> Iterator[Row]:
    """Yield a row per method, component and bin."""
    for at, frame in spectra.items():
        for row in frame.itertuples(index=False):
            yield (at.method, *row)


def peaks(frame: pd.DataFrame) -> dict[str, float]:
    """Say where each component is loudest, in Hz."""
    loudest = frame["amplitude"].astype(float).groupby(frame["component"], sort=False).idxmax()
    return {str(number): float(frame["frequency"].loc[place]) for number, place in loudest.items()}


def dictionary(frame: pd.DataFrame) -> tuple[list[str], list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Read the rows of one method.

    Returns
    -------
    components, learned_from : list of str [K]
        Numbers, and the classes that they were learned from.
    frequencies : array [F]
        In Hz.
    spectra : array [F, K]
        Amplitudes.
    """
    each = frame.drop_duplicates("component")
    spectra = frame["amplitude"].astype(float).to_numpy().reshape(len(each), -1).T
    frequencies = frame["frequency"].astype(float).to_numpy()[: len(spectra)]
    return list(each["component"]), list(each["learned_from"]), frequencies, spectra

"""Clips that two data sets have in common, whatever their networks hear them through."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from earmark.data.dataset import DataSet

ROUNDED = 6
"""Digits of a second that two beginnings must share."""


def shared_clips(first: DataSet, second: DataSet) -> NDArray[np.int64]:
    """Find the clips that begin at the same moment of the same recording: of one name below root, and one content.

    Parameters
    ----------
    first, second : DataSet
        Of any sampling rates.

    Returns
    -------
    array of int [n, 2]
        Their rows in the clip index of the one and of the other, in the order of the first.
    """
    both = _places(first).merge(_places(second), on=["path", "sha256", "begins"])
    return both[["clip_x", "clip_y"]].to_numpy(np.int64)


def _places(source: DataSet) -> pd.DataFrame:
    clips = source.clips
    begins = (clips["offset"] - clips["recording_offset"]) / source.frontend.sample_rate
    contents = source.manifest["sha256"].to_numpy()[clips["recording"].to_numpy()]
    places = {"clip": np.arange(len(clips)), "path": clips["path"], "sha256": contents, "begins": begins.round(ROUNDED)}
    return pd.DataFrame(places)

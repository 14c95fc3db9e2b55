"""The page of a listening test, which opens from disk: what it is given."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earmark.data.ratings import COLUMNS, HIGHEST, LOWEST
from earmark.metrics.ratings import QUESTIONS, REFERENCE
from earmark.page import files
from earmark.page.kit.webmushra import WELCOME, Trial

HERE = Path(__file__).parent

PARTS = (
    *(files.PAGE / name for name in ("page.css", "load.js", "parts.js", "draw.js", "sound.js", "switch.js")),
    *(HERE / name for name in ("kit.css", "kit.js")),
)
"""Files that the page loads, of which most are the other page's too."""


def write(
    folder: Path, test: str, title: str, trials: Sequence[Trial], sounds: Mapping[str, NDArray[np.int16]], rate: int
) -> None:
    """Write ``index.html`` and its ``files``.

    Parameters
    ----------
    folder : Path
        Where; it must be there.
    test, title : str
        By which the results know the test, and what listeners read.
    trials : sequence of Trial
        The clips.
    sounds : mapping of str to array of int16 [S]
        All sounds by their names.
    rate : int
        Their samples a second, Hz.
    """
    target = folder / "files"
    about: dict[str, Any] = {
        "test": test,
        "title": title,
        "rate": rate,
        "lowest": LOWEST,
        "highest": HIGHEST,
        "columns": COLUMNS,
        "welcome": WELCOME,
        "questions": [{"name": name, **asdict(question)} for name, question in QUESTIONS.items()],
        "trials": [
            {
                "name": trial.name,
                "answer": trial.answer,
                "seconds": len(sounds[trial.reference]) / rate,
                # The results call the clip among the sounds by that name, as webMUSHRA does.
                "stimuli": [
                    {"name": name, "sound": _stored(target, file, sounds[file], rate)}
                    for name, file in ((REFERENCE, trial.reference), *((name, name) for name in trial.stimuli))
                ],
            }
            for trial in trials
        ],
    }
    files.put(target, "data", about)
    for part in PARTS:
        shutil.copyfile(part, target / part.name)
    shutil.copyfile(HERE / "index.html", folder / "index.html")


def _stored(folder: Path, name: str, samples: NDArray[np.int16], rate: int) -> dict[str, Any]:
    """Store a sound, and describe it as the page's player knows sounds: one that is silent has no file."""
    gain = files.put_sound(folder, f"sounds/{name}", samples / files.FULL_SCALE, rate) if samples.any() else 0.0
    key = f"sounds/{name}" if gain else None
    return {"name": name, "key": key, "gain": gain, "matched": gain, "heard": None}

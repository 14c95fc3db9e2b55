"""The folder of a listening test, which goes to listeners, or to whoever serves it to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.io import wavfile

from earmark.data.ratings import FILE
from earmark.metrics.ratings import QUESTIONS
from earmark.page.kit import rating, webmushra
from earmark.page.kit.webmushra import Trial

TITLE = "Which of these sounds tells it?"

README = """A listening test: {trials} clips and what was made of them, {sounds} sounds, {questions} questions.

Without a server: give this folder to a listener, who opens index.html in a browser, and gives you the file that it
saves in the end.

With webMUSHRA (https://github.com/audiolabs/webMUSHRA): copy the folders configs and stimuli into its own folder, and
open it with ?config={test}.yaml; the ratings of all come to results/{test}/{file}.

What came back, from either, is judged by

  earmark answers --dataset {dataset} FILE ...

power.md says how many listeners find what. licences.csv says under which terms the recordings may be passed on.
What each sound is stands in a file beside this folder: keep it to yourself.
"""


def write(
    folder: Path,
    dataset: str,
    test: str,
    trials: Sequence[Trial],
    sounds: Mapping[str, NDArray[np.int16]],
    rate: int,
    power: Sequence[str],
) -> None:
    """Write the sounds, the page, webMUSHRA's configuration, ``power.md`` and ``README.txt``.

    Parameters
    ----------
    folder : Path
        Where; it must be there.
    dataset, test : str
        Whose test it is, and by which its results know it.
    trials : sequence of Trial
        The clips.
    sounds : mapping of str to array of int16 [S]
        All sounds by their names, which tell nothing.
    rate : int
        Their samples a second, Hz.
    power : sequence of str
        What a panel of listeners can find, in lines of Markdown.
    """
    (folder / webmushra.path(test, "")).parent.mkdir(parents=True)
    for name, wave in sorted(sounds.items()):
        wavfile.write(folder / webmushra.path(test, name), rate, wave)
    config = webmushra.configuration(test, TITLE, trials, len(next(iter(sounds.values()))) / rate)
    (folder / "configs").mkdir()
    told = {
        f"configs/{test}.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "power.md": "\n".join(["# What a panel finds", "", *power]),
        "README.txt": README.format(
            trials=len(trials), sounds=len(sounds), questions=len(QUESTIONS), test=test, file=FILE, dataset=dataset
        ),
    }
    for path, text in told.items():
        (folder / path).write_text(text, encoding="utf-8")
    rating.write(folder, test, TITLE, trials, sounds, rate)

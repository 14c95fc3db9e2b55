"""A listening test as webMUSHRA reads it: a mapping of the keys that its documentation for experimenters lists.

https://github.com/audiolabs/webMUSHRA, doc/experimenter.md (Schoeffler et al. 2018).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.data.ratings import LISTENER, trial_id
from earmark.metrics.ratings import QUESTIONS

RATES = (16000, 22050, 32000, 44100, 48000)
"""Samples a second that sound cards, and browsers, play."""

LONGEST = 12.0
"""Seconds of a sound in a test by the recommendation; longer ones are not refused."""

FOLDER = "stimuli"
"""Of the sounds, below webMUSHRA's own folder."""


@dataclass(frozen=True)
class Trial:
    """A clip and what is rated of it.

    Attributes
    ----------
    name : str
        By which the results know it, with the question's name behind.
    answer : str
        What the model answers to the clip, in words.
    reference : str
        Name of the clip's sound.
    stimuli : tuple of str
        Names of the other sounds.
    """

    name: str
    answer: str
    reference: str
    stimuli: tuple[str, ...]


def configuration(test: str, title: str, trials: Sequence[Trial], seconds: float) -> dict[str, Any]:
    """Describe a test: what to do, how loud, all clips in an order by lot for either question, and thanks.

    Parameters
    ----------
    test : str
        By which the results know it.
    title : str
        That listeners read.
    trials : sequence of Trial
        The clips.
    seconds : float
        Length of the longest sound.
    """
    pages: list[Any] = [
        _generic("welcome", title, _paragraphs(WELCOME)),
        {
            "type": "volume",
            "id": "volume",
            "name": "How loud",
            "content": _paragraphs(["Play the sound, make it as loud as you like to hear, and leave it so."]),
            "stimulus": path(test, trials[0].reference),
            "defaultVolume": 0.5,
        },
    ]
    for name, question in QUESTIONS.items():
        pages.append(_generic(name, question.title, _paragraphs([SCALE.format(low=question.low, high=question.high)])))
        pages.append(["random", *(_mushra(test, name, trial, seconds) for trial in trials)])
    asked = {"type": "text", "label": "A name, or a number", "name": LISTENER, "optional": False}
    pages.append(
        {
            "type": "finish",
            "name": "Thank you",
            "content": _paragraphs(["Say who you are, by any word that only you use, and send your ratings."]),
            "popupContent": "Thank you.",
            "questionnaire": [asked],
            "showResults": False,
            "writeResults": True,
        }
    )
    return {
        "testname": title,
        "testId": test,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": pages,
    }


WELCOME = [
    "You hear short sounds. On every page there is one that is called the reference, and others that were made of it; "
    "one of these is the reference itself.",
    "Listen to all of them, as often as you like and in any order, and give each a number of points. "
    "Two sounds may have the same. There is nothing to be known before.",
]
"""What to do; our own page says it too."""

SCALE = "0 points: {low}. 100 points: {high}."


def path(test: str, name: str) -> str:
    """Say where a sound lies, below webMUSHRA's folder and in the kit."""
    return f"{FOLDER}/{test}/{name}.wav"


def _generic(name: str, title: str, content: str) -> dict[str, str]:
    return {"type": "generic", "id": name, "name": title, "content": content}


def _mushra(test: str, name: str, trial: Trial, seconds: float) -> Mapping[str, Any]:
    question = QUESTIONS[name]
    asks = question.asks.format(answer=trial.answer)
    return {
        "type": "mushra",
        "id": trial_id(trial.name, name),
        "name": question.title,
        "content": _paragraphs([asks, SCALE.format(low=question.low, high=question.high)]),
        "showWaveform": False,
        "enableLooping": True,
        "strict": seconds <= LONGEST,
        "reference": path(test, trial.reference),
        "createAnchor35": False,
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
        "stimuli": {stimulus: path(test, stimulus) for stimulus in trial.stimuli},
        "switchBack": False,
    }


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)

"""AudioMNIST as it is distributed: ``<speaker>/<digit>_<speaker>_<take>.wav``, and who the speakers are.

Becker et al. (2018): 60 speakers say each of the ten digits 50 times. Read while the workflow is being parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from earmark.errors import EarmarkError

META = "audioMNIST_meta.txt"
"""JSON beside the speakers' folders: what is known of each, by the folder's name."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

CLASSES = {"audiomnist-digit": DIGITS, "audiomnist-sex": ("female", "male")}
"""Classes by what a data set's ``labels`` ask of a recording: what is said, or by whom."""

NAME = re.compile(r"(\d\d)/(\d)_\1_\d+\.wav", re.IGNORECASE)
"""Speaker and digit in a recording's path."""


def is_asked(labels: str) -> bool:
    """Say whether classes are told by names of AudioMNIST's."""
    return labels in CLASSES


def speaker_of(path: str) -> str:
    """Name the speaker of a recording, its group; its path where it is not named as AudioMNIST's are."""
    found = NAME.fullmatch(path)
    return found[1] if found else path


def labels_of(paths: Iterable[str], labels: str, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Name the class of each recording, and say why some have none.

    Parameters
    ----------
    paths : iterable of str
        Relative to `root`.
    labels : str
        A key of `CLASSES`.
    root : Path
        Folder of the speakers' folders.

    Returns
    -------
    classes, reasons : dict of str to str
        By path; the class is empty where there is a reason.

    Raises
    ------
    EarmarkError
        If the speakers' sexes are asked for and the file that tells them is not there or cannot be understood.
    """
    sexes = sexes_in(root) if labels == "audiomnist-sex" else None
    classes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for path in paths:
        classes[path], found = "", NAME.fullmatch(path)
        if found is None:
            reasons[path] = "extra: its name is none of AudioMNIST's, such as 01/0_01_0.wav"
        elif sexes is None:
            classes[path] = DIGITS[int(found[2])]
        elif found[1] in sexes:
            classes[path] = sexes[found[1]]
        else:
            reasons[path] = f"unlabelled: {META} tells no gender of speaker {found[1]}"
    return classes, reasons


def sexes_in(root: Path) -> dict[str, str]:
    """Read the speakers' sexes; without those of whom the file does not tell one of the two.

    Raises
    ------
    EarmarkError
        If the file is not there, or is no JSON mapping of speakers.
    """
    path = root / META
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EarmarkError(
            f"The file '{path}' tells who is female and who is male, and cannot be read: {error.strerror}; put it "
            "there, or set `labels: audiomnist-digit`."
        ) from error
    except ValueError as error:
        raise EarmarkError(f"The file '{path}' is no JSON in UTF-8: get it anew.") from error
    if not isinstance(told, dict) or not all(isinstance(about, dict) for about in told.values()):
        raise EarmarkError(f"The file '{path}' holds no mapping of speakers to what is known of them: get it anew.")
    genders = {speaker: str(about.get("gender", "")).strip().casefold() for speaker, about in told.items()}
    return {speaker: gender for speaker, gender in genders.items() if gender in CLASSES["audiomnist-sex"]}

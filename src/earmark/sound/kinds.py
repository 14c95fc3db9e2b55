"""The kinds of front ends, by the name that they have in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from earmark.plan import config
from earmark.sound.base import Frontend
from earmark.sound.logmel import LogMel
from earmark.sound.module import Module
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform

KINDS: Mapping[str, Callable[..., Frontend]] = {made.kind: made for made in (LogMel, Stft, Waveform, Module)}


def from_settings(settings: Mapping[str, Any]) -> Frontend:
    """Build a front end.

    Parameters
    ----------
    settings : mapping
        A section ``frontend`` of a completed configuration, as data sets and models keep it; of the first of the
        `KINDS` where it names none.

    Raises
    ------
    EarmarkError
        If a key is none of its words, or a module of the user's makes no inputs.
    """
    rest = {key: value for key, value in settings.items() if key != "kind"}
    return KINDS[settings.get("kind", LogMel.kind)](**rest)


def from_config(block: Mapping[str, Any]) -> Frontend:
    """Build the front end of a data set.

    Parameters
    ----------
    block : mapping
        A data set's block of the configuration; missing keys take the schema's defaults.
    """
    return from_settings(config.fill(block)["frontend"])

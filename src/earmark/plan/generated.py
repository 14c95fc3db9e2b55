"""Data sets whose recordings are generated, and those whose sound objects are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from earmark.sources.band.styles import STYLES
from earmark.sources.voices import vowels


def is_generated(block: Mapping[str, Any]) -> bool:
    """Say whether a data set's recordings are generated, and not found in a folder."""
    return block["source"] != "folder"


def has_stems(block: Mapping[str, Any]) -> bool:
    """Say whether the sound objects in a data set's recordings are known: in generated ones they are."""
    return is_generated(block) or block["stems"] is not None


def has_separated(block: Mapping[str, Any]) -> bool:
    """Say whether a data set's recordings come with sources that another program separated."""
    return not is_generated(block) and block["separated"] is not None


@dataclass(frozen=True)
class Kind:
    """A source of generated recordings; what it is set to do stands in the section of its name.

    Attributes
    ----------
    module : str
        Below the package; its class ``Recordings`` makes them.
    classes : callable
        Names the classes by that section, in the order of the model's logits.
    groups : callable
        Counts the groups of the class that has fewest.
    """

    module: str
    classes: Callable[[Mapping[str, Any]], tuple[str, ...]]
    groups: Callable[[Mapping[str, Any]], int]


KINDS = {
    "synthetic": Kind(
        "sources.synthetic", lambda section: ("class1", "class2"), lambda section: section["clips_per_class"]
    ),
    "band": Kind(
        "sources.band.recordings",
        lambda section: tuple(STYLES),
        lambda section: min(section["tracks_per_style"], section["artists"]),
    ),
    "voices": Kind(
        "sources.voices.recordings",
        lambda section: vowels.LABELS[section["labels"]],
        lambda section: vowels.fewest_speakers(section["labels"], section["speakers"]),
    ),
}


def classes_of(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the classes of a data set whose recordings are generated, in the order of the model's logits."""
    return KINDS[block["source"]].classes(block[block["source"]])


def fewest_groups(block: Mapping[str, Any]) -> int:
    """Count the groups of its class that has fewest."""
    return KINDS[block["source"]].groups(block[block["source"]])

"""Data sets whose recordings are generated, and those whose sound objects are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.sources.band.styles import STYLES


def is_generated(block: Mapping[str, Any]) -> bool:
    """Say whether a data set's recordings are generated, and not found in a folder."""
    return block["source"] != "folder"


def has_stems(block: Mapping[str, Any]) -> bool:
    """Say whether the sound objects in a data set's recordings are known: in generated ones they are."""
    return is_generated(block) or block["stems"] is not None


def has_separated(block: Mapping[str, Any]) -> bool:
    """Say whether a data set's recordings come with sources that another program separated."""
    return not is_generated(block) and block["separated"] is not None


GENERATED_CLASSES = {"synthetic": ("class1", "class2"), "band": tuple(STYLES)}
"""Classes of each source whose recordings are generated, in the order of the model's logits."""

MODULES = {"synthetic": "sources.synthetic", "band": "sources.band.recordings"}
"""Module of each source below the package; its class ``Recordings`` makes them."""

"""Data sets whose recordings are generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.sources.band.styles import STYLES


def has_stems(block: Mapping[str, Any]) -> bool:
    """Say whether the sound objects in a data set's recordings are known: in generated ones they are."""
    return block["source"] != "folder"


GENERATED_CLASSES = {"synthetic": ("class1", "class2"), "band": tuple(STYLES)}
"""Classes of each source whose recordings are generated, in the order of the model's logits."""

MODULES = {"synthetic": "sources.synthetic", "band": "sources.band.recordings"}
"""Module of each source below the package; its class ``Recordings`` makes them."""

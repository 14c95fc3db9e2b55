"""The networks that Earmark trains, read from the YAML file beside each one's module.

A file in ``earmark.models`` is data: the architectures that its module builds, what input they take, the LRP rules that
suit them, and the settings that a data set takes over where it names one of them. A new architecture is two files.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.plan.methods import described

PACKAGE = Path(__file__).parents[1]
FOLDER = PACKAGE / "models"

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["reads", "rules", "architectures"],
    "properties": {
        "reads": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "cells": {"type": "integer"},
        "halves": {"type": "boolean"},
        "depth": {"type": "integer"},
        "multiple": {"type": "integer"},
        "rules": {"type": "array", "minItems": 1},
        "architectures": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z][a-z0-9-]*$"},
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["says", "brings"],
                "properties": {"says": {"type": "string"}, "brings": {"type": "object"}},
            },
        },
    },
}


@dataclass(frozen=True)
class Architecture:
    """What a file says of one network.

    Attributes
    ----------
    name, module : str
        Its name, and the module below the package that builds it.
    says : str
        What it is, in a line.
    reads : mapping of str to tuple of str
        Values that keys of the front end must have.
    rules : tuple of mapping
        LRP rules where a data set leaves them to the network, entries of ``lrp.rules``.
    brings : mapping
        Part of a data set's block that lies below what a block that names it sets itself.
    cells : int
        How many an input needs in each direction.
    halves : bool
        Whether every convolution is followed by a pooling by 2, each of which doubles `cells`.
    depth : int or None
        How many convolutions there are; None: any number.
    multiple : int
        What the number of filters of each is a multiple of.
    """

    name: str
    module: str
    says: str
    reads: Mapping[str, tuple[str, ...]]
    rules: tuple[Mapping[str, Any], ...]
    brings: Mapping[str, Any]
    cells: int = 1
    halves: bool = False
    depth: int | None = None
    multiple: int = 1

    def smallest(self, depth: int) -> int:
        """Count the cells that an input of `depth` convolutions needs in each direction."""
        return self.cells * 2**depth if self.halves else self.cells


@functools.cache
def architectures() -> dict[str, Architecture]:
    """Read every file, by the architectures' names.

    Raises
    ------
    ValueError
        If a file has no module beside it, holds what it must not, or names an architecture that another one has.
    """
    found: dict[str, Architecture] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        content, problems = described(path, SCHEMA)
        for name in {} if problems else content["architectures"]:
            if name in found:
                problems.append(f"another file has the architecture {name}")
        if problems:
            raise ValueError(f"{path}: {problems[0]}")
        found |= _architectures(path, content)
    return found


def _architectures(path: Path, content: dict[str, Any]) -> dict[str, Architecture]:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    shared = {key: value for key, value in content.items() if key != "architectures"} | {
        "reads": {key: tuple(values) for key, values in content["reads"].items()},
        "rules": tuple(content["rules"]),
    }
    return {name: Architecture(name, module, **said, **shared) for name, said in content["architectures"].items()}


def architecture_of(block: Mapping[str, Any]) -> Architecture:
    """Return the architecture of the network that Earmark trains on a data set."""
    return architectures()[block["model"]["architecture"]]


def brought(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lies below a block that names an architecture itself; nothing if it names none.

    LRP rules are left to the architecture: those of a block that it extends are another network's.
    """
    name = block.get("model", {}).get("architecture")
    return {} if name is None else {**architectures()[name].brings, "lrp": {"rules": None}}

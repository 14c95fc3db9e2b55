"""Folders of stems, and of sources that another program separated: a sub-folder per recording, a file per object.

``FOLDER/<path of the recording below root, without ending>/<object>.wav``. Read while the workflow is being parsed,
hence without NumPy or torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan import folder
from earmark.plan.contents import digests
from earmark.plan.generated import is_generated
from earmark.store.layout import composed


@dataclass(frozen=True)
class Kind:
    """One of the two: the key of a data set's block that names the folder, and what lies there."""

    key: str
    title: str


STEMS = Kind("stems", "stems")

SEPARATED = Kind("separated", "separated sources")

KINDS = (STEMS, SEPARATED)


def asked(block: Mapping[str, Any]) -> list[Kind]:
    """List those that a data set's block names a folder of."""
    return [] if is_generated(block) else [kind for kind in KINDS if block[kind.key] is not None]


def listed(block: Mapping[str, Any], kind: Kind) -> dict[str, dict[str, str]]:
    """List the files of every recording.

    Parameters
    ----------
    block : mapping
        The data set's, with ``root``, ``expected`` and the key.
    kind : Kind
        Of which folder.

    Returns
    -------
    dict of str to dict of str to str
        Files relative to the folder by the names of the objects, by the paths of the recordings without ending.

    Raises
    ------
    EarmarkError
        If the folder is missing, cannot be read or lies in the folder of recordings, or an object has two files.
    """
    home = folder.path_of(block[kind.key]).resolve()
    if home.is_relative_to(folder.path_of(block["root"]).resolve()):
        raise EarmarkError(
            f"The folder of {kind.title} '{block[kind.key]}' lies in that of the recordings, where it would be one of "
            "them: move it beside it."
        )
    found: dict[str, dict[str, str]] = {}
    for path, _ in folder.files_below(block[kind.key], kind.title):
        place = PurePosixPath(path)
        objects, name = found.setdefault(composed(str(place.parent)), {}), composed(place.stem)
        if objects.setdefault(name, path) != path:
            raise EarmarkError(f"The folder of {kind.title} '{block[kind.key]}' has two files of one object: '{path}'.")
    return found


def check(block: Mapping[str, Any]) -> None:
    """Raise unless the folders that a data set's block names are there; errors as :func:`listed`."""
    for kind in asked(block):
        listed(block, kind)


def fingerprint(block: Mapping[str, Any], kind: Kind, memory: Path | None = None) -> str:
    """Digest a folder's files, wherever it lies; `memory` as for :func:`earmark.plan.contents.digests`."""
    home = folder.path_of(block[kind.key])
    paths = sorted(path for objects in listed(block, kind).values() for path in objects.values())
    contents = digests([home / path for path in paths], memory)
    return hashlib.sha256(json.dumps(list(zip(paths, contents, strict=True))).encode()).hexdigest()

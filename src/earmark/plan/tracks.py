"""Recordings of any length that a data set's model is to explain: which they are, and what their results are called.

Read while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan.contents import digests
from earmark.plan.datasets import slugs_of
from earmark.plan.methods import Method, method_of
from earmark.plan.sentences import choices
from earmark.store.layout import asked_for, composed, slug

NEEDED = ("DATASET", "FILE")
"""What ``make track`` must be told."""

VARIABLES = {key: f"EARMARK_TRACK_{key}" for key in (*NEEDED, "LAYER", "METHOD", "K")}
"""Variables of the environment that tell it: a file's name may hold what no command line survives."""


def name_of(track: Mapping[str, Any]) -> str:
    """Name a track in paths: as it says, or after its file; of a name without a Latin letter by a digest of it."""
    stem = composed(PurePath(track["file"]).stem)
    digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return track["name"] or slug(stem) or f"track-{digest}"


def named(block: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Map the names of a data set's tracks to what was said of them."""
    return {name_of(track): track for track in block["tracks"]}


def file_of(block: Mapping[str, Any], name: str) -> Path:
    """Return the recording of a track.

    Raises
    ------
    EarmarkError
        If it is no file.
    """
    path = Path(named(block)[name]["file"]).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise EarmarkError(f"the track {name}: the file '{path}' {what}")
    return path


def digest_of(block: Mapping[str, Any], name: str, memory: Path | None = None) -> str | None:
    """Digest a track's recording; `memory` as for :func:`earmark.plan.contents.digests`, errors as :func:`file_of`."""
    (digest,) = digests([file_of(block, name)], memory)
    return digest


def check(config: Mapping[str, Any], dataset: str) -> None:
    """Raise unless a data set's tracks have names of their own, and the classes that they name are explained.

    Raises
    ------
    EarmarkError
        Otherwise.
    """
    block = config["datasets"][dataset]
    where = f"config: datasets.{dataset}.tracks"
    names = [name_of(track) for track in block["tracks"]]
    for name in names:
        if names.count(name) > 1:
            raise EarmarkError(f"{where}: two tracks are called {name}: give one of them another `name`")
    if any(track["classes"] for track in block["tracks"]):
        known = slugs_of(block)
        explained = asked_for(known, block["explain"]["classes"])
        for track, name in zip(block["tracks"], names, strict=True):
            for cls in track["classes"]:
                own = asked_for(known, [cls])
                if not own:
                    raise EarmarkError(f"{where}: {name} is to be explained for {cls}, no class{choices(cls, known)}")
                if own[0] not in explained:
                    raise EarmarkError(f"{where}: {name} is to be explained for {cls}: it is not among explain.classes")


def explains(method: Method) -> bool:
    """Say whether a method explains any clip of the model's in parts, whatever recording it comes from."""
    return method.parts and not (method.own_network or method.needs & {"stems", "separated"})


WHY_NOT = "cannot explain any recording in parts"


def heard(block: Mapping[str, Any]) -> list[str]:
    """List the methods by which a data set's tracks are explained: those that are heard, controls aside."""
    known = {name: method_of(name) for name in block["sonify"]["methods"]}
    return [name for name, method in known.items() if explains(method) and not method.control]


def asked(environment: Mapping[str, str], config: dict[str, Any]) -> str | None:
    """Add the track that ``make track`` names to its data set, and say which result is asked for.

    Parameters
    ----------
    environment : mapping
        Variables of the process.
    config : dict
        The validated configuration, changed.

    Returns
    -------
    str or None
        Path of the track's results; None where no track is asked for.

    Raises
    ------
    EarmarkError
        If it is said by halves, or there is no such data set, recording or method.
    """
    told = {key: environment.get(variable, "") for key, variable in VARIABLES.items()}
    if not any(told.values()):
        return None
    lacking = [key for key in NEEDED if not told[key]]
    if lacking:
        raise EarmarkError(
            f'make track needs {" and ".join(lacking)}: make track DATASET=band FILE="~/my song.mp3"; LAYER, METHOD '
            "and K may follow"
        )
    dataset, datasets = told["DATASET"], config["datasets"]
    if dataset not in datasets:
        raise EarmarkError(f"DATASET: there is no data set {dataset}{choices(dataset, datasets)}")
    block, grid = datasets[dataset], datasets[dataset]["grid"]
    path = Path(told["FILE"]).expanduser()
    listed = (track for track in block["tracks"] if Path(track["file"]).expanduser() == path)
    track: dict[str, Any] = next(listed, {"file": told["FILE"], "name": None, "classes": []})
    if track not in block["tracks"]:
        block["tracks"].append(track)
    check(config, dataset)
    file_of(block, name_of(track))
    method = told["METHOD"] or next(iter(heard(block)), "")
    if not method:
        raise EarmarkError(f"no method of {dataset} is heard: name one by METHOD=info, or in sonify.methods")
    layer = told["LAYER"] or grid["layers"][len(grid["layers"]) // 2]
    k = told["K"] or grid["k"][0]
    return f"results/{dataset}/main/{layer}/{method}/K~{k}/tracks/{name_of(track)}"

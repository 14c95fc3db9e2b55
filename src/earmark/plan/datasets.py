"""The data sets of a configuration: their classes, recordings, folds and splits."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan import audiomnist, folder, stems
from earmark.plan.config import require_root
from earmark.plan.contents import digests
from earmark.plan.generated import classes_of, fewest_groups, is_generated
from earmark.plan.methods import adopts
from earmark.plan.sentences import choices
from earmark.plan.stages import compared_config
from earmark.store import artifacts
from earmark.store.layout import Layout, asked_for

RESULTS = Path("results")
"""The folder of results, below that of the project."""


def class_slugs(block: Mapping[str, Any]) -> list[str]:
    """List a data set's classes as paths write them, in the order of the model's logits.

    Parameters
    ----------
    block : mapping
        The data set's validated block.

    Raises
    ------
    EarmarkError
        If the folder of recordings is missing or has no classes.
    """
    return list(slugs_of(block).values())


def slugs_of(block: Mapping[str, Any]) -> dict[str, str]:
    """Map a data set's classes to their slugs, in the order of the model's logits; errors as :func:`class_slugs`."""
    if is_generated(block):
        return {name: name for name in classes_of(block)}
    return folder.called(folder.names_of(block))


def explained(config: Mapping[str, Any], name: str) -> list[str]:
    """List the slugs of a data set's classes that are explained, in the order of the model's logits.

    Raises
    ------
    EarmarkError
        As :func:`class_slugs`; also if ``explain.classes`` names what is no class.
    """
    block = config["datasets"][name]
    known = slugs_of(block)
    asked = block["explain"]["classes"]
    for cls in asked:
        if not asked_for(known, [cls]):
            raise EarmarkError(
                f"config: datasets.{name}.explain.classes names {cls}, which is no class{choices(cls, known)}"
            )
    return asked_for(known, asked)


def check_scaling(config: Mapping[str, Any], name: str) -> None:
    """Raise unless ``evaluate.scaling`` of a data set names classes that are explained.

    Raises
    ------
    EarmarkError
        As :func:`class_slugs`; also if it names another.
    """
    block = config["datasets"][name]
    for cls in block["evaluate"]["scaling"]:
        allowed = explained(config, name)
        if not set(asked_for(slugs_of(block), [cls])) & set(allowed):
            raise EarmarkError(
                f"config: datasets.{name}.evaluate.scaling names {cls}, which is no class that is explained"
                f"{choices(cls, allowed)}"
            )


def check_beside(config: Mapping[str, Any], name: str) -> None:
    """Check that the data sets whose networks a data set's are compared with hold recordings and classes of its own.

    Raises
    ------
    EarmarkError
        If one shares no recording, or explains no class, with it; also if its recordings or stems are not there.
    """
    blocks = config["datasets"]
    for other in blocks[name]["evaluate"]["beside"]:
        require_root(config, other)
        stems.check(blocks[other])
        where = f"config: datasets.{name}.evaluate.beside names {other}, which"
        if not _share_recordings(blocks[name], blocks[other]):
            raise EarmarkError(
                f"{where} has none of the recordings of {name}: it must generate them by the same settings and at the "
                "same sampling rate, or find files of the same names below its root"
            )
        if not set(explained(config, name)) & set(explained(config, other)):
            raise EarmarkError(f"{where} explains no class that {name} explains: see explain.classes of both")


def _share_recordings(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Say whether two data sets have recordings in common, as far as settings and names tell."""
    if is_generated(first) or is_generated(second):
        made = [
            (block["source"], block.get(block["source"]), block["frontend"]["sample_rate"]) for block in (first, second)
        ]
        return made[0] == made[1]
    found = ({path for path, size in folder.listed(block) if folder.is_there(path, size)} for block in (first, second))
    return not set.isdisjoint(*found)


def known_classes(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map data sets to the classes that are explained; without those whose recordings or stems are not there."""
    known = {}
    for name in config["datasets"]:
        with contextlib.suppress(EarmarkError):
            classes = explained(config, name)
            stems.check(config["datasets"][name])
            known[name] = classes
    return known


def fingerprint(block: Mapping[str, Any], memory: Path | None = None) -> str:
    """Digest a folder's recordings and the tables of their groups, folds and labels, wherever they lie.

    Of generated data nothing but a file of folds lies anywhere; without one it is empty.

    Parameters
    ----------
    block : mapping
        The data set's validated block.
    memory : Path, optional
        As for :func:`earmark.plan.contents.digests`.
    """
    folds = folder.given_folds(block)
    if is_generated(block):
        return "" if folds is None else hashlib.sha256(json.dumps(folds).encode()).hexdigest()
    groups = None if block["groups"] is None else folder.table_of_groups(block["groups"])
    root, found = folder.home_of(block), folder.listed(block)
    usable = [path for path, size in found if folder.is_there(path, size)]
    contents = dict(zip(usable, digests([root / path for path in usable], memory), strict=True))
    told = [[path, contents.get(path)] for path, _ in found]
    sexes = audiomnist.sexes_in(root) if block["labels"] == "audiomnist-sex" else None
    return hashlib.sha256(json.dumps([told, groups, folds, sexes]).encode()).hexdigest()


def check_listener(config: Mapping[str, Any], name: str) -> None:
    """Check that the network that listens to a data set's explanations, if one does, guesses among the same classes.

    Raises
    ------
    EarmarkError
        If it does not, or its recordings are not there.
    """
    other = config["datasets"][name]["evaluate"]["listener"]
    if other is None:
        return
    require_root(config, other)
    own, theirs = (class_slugs(config["datasets"][one]) for one in (name, other))
    if sorted(own) != sorted(theirs):
        apart = sorted(set(own) ^ set(theirs))
        raise EarmarkError(
            f"config: datasets.{name}.evaluate.listener = {other} has {len(theirs)} classes and {name} {len(own)}, "
            f"which must be the same: they differ in {', '.join(apart[:3])}"
        )


def check_outside(config: Mapping[str, Any], name: str) -> None:
    """Check that the clips that contaminate a data set's, if those of another one do, are there and other sounds.

    Raises
    ------
    EarmarkError
        If both are of one source; also if the other's recordings, or its stems, are not there.
    """
    block, other = config["datasets"][name], config["datasets"][name]["evaluate"]["outside_speech"]
    if other is None:
        return
    require_root(config, other)
    theirs = config["datasets"][other]
    class_slugs(theirs)
    stems.check(theirs)
    alike = block["source"] == theirs["source"]
    if alike and (is_generated(block) or folder.home_of(block).resolve() == folder.home_of(theirs).resolve()):
        raise EarmarkError(
            f"config: datasets.{name}.evaluate.outside_speech names {other}, whose recordings are those of {name}: "
            "name a data set of other sounds"
        )


def splits(n_folds: int) -> list[str]:
    """List the splits that a plain call trains: ``main``, and one per fold of a cross-validation."""
    return ["main", *(f"cv{fold}" for fold in range(n_folds))]


def networks(block: Mapping[str, Any]) -> list[str]:
    """List the splits whose networks are compared: ``main``, and ``main``'s folds trained from other seeds."""
    return ["main", *(f"net{number}" for number in range(1, block["networks"]))]


def planned_folds(config: Mapping[str, Any], dataset: str) -> int:
    """Return how many folds a plain call trains a network for; 0 without ``cross_validation``."""
    return folds(config, dataset) if config["datasets"][dataset]["cross_validation"] else 0


def fold_count(block: Mapping[str, Any]) -> int:
    """Count the folds of a data set, as far as the names of its recordings tell.

    Raises
    ------
    EarmarkError
        If the folder of recordings is missing, lacks those of a class, or allows fewer folds than are asked for, or
        than training needs; if a file of folds is no such file, or a fold of it lacks a class.
    """
    given = folder.given_folds(block)
    if is_generated(block):
        return folder.folds_of(fewest_groups(block), block["folds"]) if given is None else 1 + max(given.values())
    paths = [path for path, size in folder.listed(block) if folder.is_there(path, size)]
    members = folder.members(paths, block)
    if given is None:
        return folder.fold_count(members, block["folds"], adopts(block))
    folder.check_folds(members, given, block["folds"])
    return 1 + max(given.values())


def folds(config: Mapping[str, Any], dataset: str) -> int:
    """Count the folds that a data set was divided into or, before it has been ingested, :func:`fold_count`.

    Recordings that cannot be used or are copies of others, and groups that do not divide, can leave fewer folds than
    names promise.
    """
    block = config["datasets"][dataset]
    known = is_generated(block) or isinstance(block["folds"], str)
    return fold_count(block) if known else _folds_made(config, dataset) or fold_count(block)


def _folds_made(config: Mapping[str, Any], dataset: str) -> int | None:
    """Count the folds that a folder's recordings were divided into; None if they were not, or by other settings."""
    layout = Layout(RESULTS, dataset)
    try:
        made = json.loads(Path(f"{layout.clip_index}.json").read_text(encoding="utf-8"))["provenance"]["config"]
        recordings = {row["path"] for row in artifacts.read_rows(layout.manifest) if row["reason"] != "missing"}
        found = 1 + max(int(row["fold"]) for row in artifacts.read_rows(layout.clip_index))
    except (OSError, ValueError, KeyError):  # there is none, or another version's
        return None
    there = {path for path, _ in folder.listed(config["datasets"][dataset])}
    wanted = json.loads(compared_config(config, dataset, "ingest"))
    same = recordings == there and {key: made.get(key) for key in wanted} == wanted
    return found if same else None

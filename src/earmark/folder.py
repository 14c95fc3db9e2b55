"""What a folder of recordings holds: one sub-folder per class, recordings at any depth below it.

Read while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from earmark.errors import EarmarkError
from earmark.layout import slug

SUFFIXES = (".wav", ".flac", ".ogg", ".au", ".mp3", ".aif", ".aiff")
"""Recordings are told by the end of their name, in either case."""

MOST_FOLDS = 10
FEWEST_FOLDS = 3
"""Training, validation and test need one each."""


def classes_in(root: Path | str | None) -> list[str]:
    """List the classes of a folder of recordings.

    Parameters
    ----------
    root : Path
        Folder with one sub-folder per class. Hidden sub-folders are no classes.

    Returns
    -------
    list of str
        Names of the sub-folders, sorted.

    Raises
    ------
    EarmarkError
        If the folder is missing, is none, is empty or has fewer than two sub-folders, or if
        a name gives no slug of its own.
    """
    folder = _existing(root)
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not entries:
        raise EarmarkError(f"The folder of recordings '{root}' is empty; it needs one sub-folder per class.")
    if not names:
        raise EarmarkError(f"The folder of recordings '{root}' has no sub-folders; it needs one per class.")
    if len(names) == 1:
        raise EarmarkError(f"The folder '{root}' holds the single class '{names[0]}'; a classifier needs two or more.")
    _check_slugs(names)
    return names


def listing(root: Path | str | None) -> list[tuple[str, int]]:
    """List the recordings of a folder, class by class.

    Parameters
    ----------
    root : Path
        Folder with one sub-folder per class.

    Returns
    -------
    list of (str, int)
        Path relative to `root`, with forward slashes, and size in bytes; sorted within each
        class. Symbolic links are followed; hidden files and folders are left out.

    Raises
    ------
    EarmarkError
        As :func:`classes_in`; also if a class has no recording or a file's name is not UTF-8.
    """
    found: list[tuple[str, int]] = []
    for name in classes_in(root):
        recordings = sorted(_recordings(_existing(root) / name, PurePosixPath(name), ()))
        if not recordings:
            kinds = ", ".join(suffix[1:].upper() for suffix in SUFFIXES)
            raise EarmarkError(f"The class sub-folder '{name}' of '{root}' holds no recording ({kinds}).")
        found += recordings
    return found


def path_of(root: Path | str) -> Path:
    """Return the path that `root` of the configuration means: ``~`` stands for the home folder."""
    return Path(root).expanduser()


def group_of(path: str, pattern: str | None) -> str:
    """Name the group of a recording: recordings of one group never lie in different folds.

    Parameters
    ----------
    path : str
        Path relative to the folder of recordings.
    pattern : str or None
        Regular expression searched in the path; its first group, or the whole match where it
        has none, is the name. Without a pattern each recording is a group of its own.

    Raises
    ------
    EarmarkError
        If the pattern is no regular expression or names no group for the path.
    """
    if pattern is None:
        return path
    try:
        match = re.search(pattern, path)
    except re.error as error:
        raise EarmarkError(f"The group pattern '{pattern}' is not a regular expression: {error}.") from error
    name = match[1 if match.re.groups else 0] if match else None
    if not name:
        raise EarmarkError(f"The group pattern '{pattern}' does not name a group for the recording '{path}'.")
    return name


def fold_count(members: Iterable[tuple[str, str]]) -> int:
    """Count the folds that every class has enough groups for, ten at most.

    Parameters
    ----------
    members : iterable of (str, str)
        Class and group of every recording.

    Raises
    ------
    EarmarkError
        If a class has fewer than three groups.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for cls, group in members:
        groups[cls].add(group)
    poorest = min(groups, key=lambda cls: (len(groups[cls]), cls))
    fewest = len(groups[poorest])
    if fewest < FEWEST_FOLDS:
        raise EarmarkError(
            f"The class '{poorest}' has {fewest} group{'s' if fewest != 1 else ''} of usable recordings; "
            f"training, validation and test need one each, {FEWEST_FOLDS} in all."
        )
    return min(MOST_FOLDS, fewest)


def _existing(root: Path | str | None) -> Path:
    if root is None:
        raise EarmarkError("No folder of recordings is given: set the data set's `root` in the configuration.")
    folder = path_of(root)
    if not folder.exists():
        raise EarmarkError(f"The folder of recordings '{root}' does not exist.")
    if not folder.is_dir():
        raise EarmarkError(f"'{root}' is not a folder; recordings lie in a folder with one sub-folder per class.")
    return folder


def _check_slugs(names: list[str]) -> None:
    taken: dict[str, str] = {}
    for name in names:
        short = slug(name)
        if not short:
            raise EarmarkError(f"The class sub-folder '{name}' has no letter a-z or digit in its name: rename it.")
        if short in taken:
            raise EarmarkError(
                f"The class sub-folders '{taken[short]}' and '{name}' would both be called '{short}' in the "
                "results: rename one."
            )
        taken[short] = name


def _check_encoding(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise EarmarkError(f"The file name {path!a} is not UTF-8: rename it.") from error


def _recordings(folder: Path, inside: PurePosixPath, above: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Yield the recordings below a folder; a link back to a folder above is not followed again."""
    here = os.path.realpath(folder)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _recordings(Path(entry.path), inside / entry.name, (*above, here))
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                _check_encoding(entry.path)
                yield str(inside / entry.name), entry.stat().st_size

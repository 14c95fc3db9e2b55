"""What a folder of recordings holds: one sub-folder per class, recordings at any depth below it.

Where the answers of an adopted model stand for labels, recordings lie anywhere in it.

Read while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import collections
import csv
import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan import audiomnist
from earmark.plan.methods import adopts
from earmark.store.layout import composed, slugs

SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".au", ".mp3", ".aif", ".aiff"),
    *(".wave", ".bwf", ".rf64", ".w64", ".aifc", ".caf", ".snd", ".oga", ".opus", ".mp1", ".mp2", ".mpga"),
    *(".sph", ".nist", ".voc", ".svx", ".8svx", ".avr", ".ircam", ".paf", ".pvf"),
)
"""Recordings are told by the end of their name, in either case: of the formats that libsndfile decodes, those that hold
sound and nothing else."""

FOREIGN = (
    *(
        ".m4a",
        ".m4b",
        ".m4r",
        ".mp4",
        ".aac",
        ".adts",
        ".alac",
        ".3gp",
        ".amr",
        ".mov",
        ".mkv",
        ".mka",
        ".webm",
        ".weba",
    ),
    *(".wma", ".asf", ".avi", ".ape", ".wv", ".tta", ".tak", ".shn", ".mpc", ".spx", ".gsm", ".ra", ".rm"),
    *(".ac3", ".eac3", ".dts", ".dsf", ".dff", ".aax"),
)
"""Endings of other recordings, which libsndfile does not decode: they are listed and excluded, not passed over."""

NO_CLASSES = ("lost+found", "System Volume Information", "$RECYCLE.BIN", "__MACOSX", "@eaDir")
"""Folders that disks, archives and file servers make by themselves; nobody's recordings lie there."""

MOST_FOLDS = 10

FEWEST_FOLDS = 3
"""Training, validation and test need one each."""


def home(root: Path | str | None, expected: Collection[str] = ()) -> Path:
    """Find the folder that has one sub-folder per class.

    Parameters
    ----------
    root : Path
        What the configuration calls ``root``.
    expected : collection of str
        Classes that must be there, if it says so.

    Returns
    -------
    Path
        `root` itself, or where classes are expected the one sub-folder of it that holds them.

    Raises
    ------
    EarmarkError
        If `root` is no folder, or the expected classes lie elsewhere, in two places or nowhere.
    """
    folder = _existing(root)
    if not expected or _holds(folder, expected):
        return folder
    inside = [below for below in _subfolders(folder) if _holds(below, expected)]
    if len(inside) > 1:
        names = " and ".join(f"'{below.name}'" for below in inside)
        raise EarmarkError(f"The folder '{root}' holds the classes in {names}: set `root` to one of them.")
    if inside:
        return inside[0]
    near = [folder.absolute().parent, *(deep for below in _subfolders(folder) for deep in _subfolders(below))]
    holds = next((f"'{other}' does: set `root` to it" for other in near if _holds(other, expected)), None)
    raise EarmarkError(
        f"The folder '{root}' does not hold the sub-folders {', '.join(sorted(expected))}, one per class; "
        f"{holds or 'set `root` to the folder that does, or to the one above it'}."
    )


def classes_in(root: Path | str | None, expected: Collection[str] = ()) -> list[str]:
    """List the classes of a folder of recordings.

    Parameters
    ----------
    root : Path
        Folder with one sub-folder per class. Hidden sub-folders are no classes.
    expected : collection of str
        Classes that must be there; then other sub-folders are none.

    Returns
    -------
    list of str
        Names of the sub-folders as the file system spells them, in the order of the names of their classes.

    Raises
    ------
    EarmarkError
        If the folder is missing, is none, is empty or has fewer than two sub-folders, lacks an expected one, or if
        a name holds a control character or two are one name in two spellings.
    """
    folder = home(root, expected)
    names = sorted((below.name for below in _subfolders(folder)), key=composed)
    if expected:
        wanted = set(map(composed, expected))
        missing = sorted(wanted - set(map(composed, names)))
        if missing:
            raise EarmarkError(
                f"The folder of recordings '{folder}' lacks the class sub-folder{'s' * (len(missing) > 1)} "
                f"{', '.join(missing)}; expected are {', '.join(sorted(expected))}."
            )
        names = [name for name in names if composed(name) in wanted]
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if not entries:
        raise EarmarkError(f"The folder of recordings '{root}' is empty; it needs one sub-folder per class.")
    if not names:
        raise EarmarkError(f"The folder of recordings '{root}' has no sub-folders; it needs one per class.")
    if len(names) == 1:
        raise EarmarkError(f"The folder '{root}' holds the single class '{names[0]}'; a classifier needs two or more.")
    _check_names(names)
    return names


def names_of(block: Mapping[str, Any]) -> list[str]:
    """Name the classes of a data set with a folder of recordings, in the order of its model's logits.

    Raises
    ------
    EarmarkError
        As :func:`classes_in`.
    """
    if adopts(block):
        return list(map(composed, block["model"]["classes"]))
    if audiomnist.is_asked(block["labels"]):
        return sorted(audiomnist.CLASSES[block["labels"]])
    return list(map(composed, classes_in(block["root"], block["expected"]["classes"])))


def called(names: Sequence[str]) -> dict[str, str]:
    """Map classes to their slugs, in the given order."""
    short = slugs(names)
    return {name: short[name] for name in names}


def home_of(block: Mapping[str, Any]) -> Path:
    """Find the folder that recordings are named relative to; see :func:`home`."""
    return home(block["root"], block["expected"]["classes"])


def listed(block: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    """List the recordings of a data set; see :func:`listing`.

    Where sub-folders are no classes, recordings lie anywhere; an adopted model's classes need not all have one.

    Raises
    ------
    EarmarkError
        As :func:`listing`; also if there is no recording, none that is named as `labels` ask, or none in a sub-folder
        that bears the name of one of an adopted model's classes.
    """
    root, expected = block["root"], block["expected"]["classes"]
    if block["labels"] == "folders" and (expected or not adopts(block)):
        return listing(root, expected)
    found = files_below(root)
    usable = [path for path, size in found if is_there(path, size)]
    if not usable:
        raise EarmarkError(f"The folder '{root}' holds no recording ({_kinds()}).")
    if audiomnist.is_asked(block["labels"]) and not any(map(audiomnist.NAME.fullmatch, usable)):
        raise EarmarkError(
            f"The folder '{root}' holds no recording of AudioMNIST, such as 01/0_01_0.wav: set `root` to the folder "
            "that holds the speakers' folders."
        )
    if block["labels"] == "folders" and not {class_of(path) for path in usable}.intersection(names_of(block)):
        raise EarmarkError(
            f"No recording in '{root}' lies in a sub-folder that bears the name of one of the model's classes, such as "
            f"{', '.join(block['model']['classes'][:3])}: name them so, or set `labels: predictions`."
        )
    return found


def files_below(root: Path | str | None, of: str = "recordings") -> list[tuple[str, int | None]]:
    """List the files of sound anywhere below a folder of recordings, or of something else, as :func:`listing` does.

    Raises
    ------
    EarmarkError
        If the folder is missing, is none or cannot be read, or a file's name is not UTF-8.
    """
    return sorted(_recordings(_existing(root, of), PurePosixPath(), ()))


def labels_of(paths: Iterable[str], block: Mapping[str, Any]) -> dict[str, str]:
    """Name the class of each recording; nothing where the model's answers stand for labels, or nobody knows it."""
    if audiomnist.is_asked(block["labels"]):
        return audiomnist.labels_of(paths, block["labels"], home_of(block))[0]
    return {path: class_of(path) if block["labels"] == "folders" else "" for path in paths}


def listing(root: Path | str | None, expected: Collection[str] = ()) -> list[tuple[str, int | None]]:
    """List the recordings of a folder, class by class, also those that cannot be used.

    Parameters
    ----------
    root, expected
        As for :func:`classes_in`.

    Returns
    -------
    list of (str, int or None)
        Path relative to the folder of classes, with forward slashes, and size in bytes, None of a link to what is not
        there; sorted within each class, sub-folders that are no expected class last, and after them what lies in no
        sub-folder. Symbolic links are followed; hidden files and folders are left out.

    Raises
    ------
    EarmarkError
        As :func:`classes_in`; also if a folder cannot be read, a class has no recording that can be used, as far as
        names tell, or a file's name is not UTF-8.
    """
    found: list[tuple[str, int | None]] = []
    folder, classes = home(root, expected), classes_in(root, expected)
    others = [below.name for below in _subfolders(folder) if below.name not in classes]
    for name in classes + others:
        recordings = sorted(_recordings(folder / name, PurePosixPath(name), ()), key=lambda recording: recording[0])
        if name in classes and not any(is_there(path, size) for path, size in recordings):
            unusable = f", but {len(recordings)} in other formats or links to what is not there" if recordings else ""
            raise EarmarkError(f"The class sub-folder '{name}' of '{root}' holds no recording ({_kinds()}){unusable}.")
        found += recordings
    return found + sorted(_files(_visible(folder), PurePosixPath()))


def _kinds() -> str:
    return ", ".join(suffix[1:].upper() for suffix in SUFFIXES)


def is_there(path: str, size: int | None) -> bool:
    """Tell whether a recording of :func:`listing` can be used, as far as its name and its being there tell."""
    return size is not None and can_be_decoded(path)


def can_be_decoded(path: str) -> bool:
    """Tell by the end of its name whether a recording is of a format that can be decoded."""
    return path.lower().endswith(SUFFIXES)


def says_nothing(path: str, block: Mapping[str, Any]) -> bool:
    """Tell whether nothing is asked of a recording's name: it cannot be decoded, or lies beside the classes."""
    return not can_be_decoded(path) or (block["labels"] == "folders" and "/" not in path)


def departures(paths: Sequence[str], block: Mapping[str, Any]) -> dict[str, str]:
    """Say which recordings a published data set lacks, which ones are not of it, and which are in formats unknown here.

    Parameters
    ----------
    paths : sequence of str
        Recordings found, relative to the folder of classes.
    block : mapping
        Of the configuration, with ``expected``: `classes`, and `recordings` of each; and with ``model``, whose classes
        alone count where it is adopted.

    Returns
    -------
    dict of str to str
        Reason by path; missing ones under the path that they would have.
    """
    expected = block["expected"]
    reasons = {
        path: "extra: it lies beside the sub-folders of the classes, in none of them"
        if can_be_decoded(path)
        else f"cannot be decoded: {PurePosixPath(path).suffix[1:].upper()} is not supported"
        for path in paths
        if says_nothing(path, block)
    }
    placed = [path for path in paths if path not in reasons]
    if expected["classes"]:
        known = set(map(composed, expected["classes"]))
        strangers = [path for path in placed if class_of(path) not in known]
        reasons |= dict.fromkeys(strangers, "extra: its sub-folder is none of the expected classes")
    elif audiomnist.is_asked(block["labels"]):
        told, unlabelled = audiomnist.labels_of(placed, block["labels"], home_of(block))
        known = set(names_of(block))
        strangers = [path for path, cls in told.items() if cls not in known]
        reasons |= dict.fromkeys(strangers, "extra: what is said in it is none of the model's classes") | unlabelled
    elif adopts(block) and block["labels"] == "folders":
        known = set(names_of(block))
        strangers = [path for path in placed if class_of(path) not in known]
        reasons |= dict.fromkeys(strangers, "extra: its sub-folder is none of the model's classes")
    if not expected["recordings"]:
        return reasons
    classes = sorted({class_of(path) for path in paths if path not in reasons})
    wanted = {f"{cls}/{cls}.{number:05d}": "" for cls in classes for number in range(expected["recordings"])}
    for path in paths:
        name = composed(without_ending(path))
        if path in reasons:
            continue
        if name not in wanted:
            reasons[path] = "extra: its name is none of the expected ones"
        elif wanted[name]:
            reasons[path] = f"extra: {wanted[name]} is the recording of this name"
        else:
            wanted[name] = path
    endings = collections.Counter(PurePosixPath(path).suffix for path in wanted.values() if path)
    ending = endings.most_common(1)[0][0] if endings else ""
    return reasons | {f"{name}{ending}": "missing" for name, path in wanted.items() if not path}


def groups_of(paths: Sequence[str], block: Mapping[str, Any]) -> dict[str, str]:
    """Name the group of each recording: recordings of one group never lie in different folds.

    Parameters
    ----------
    paths : sequence of str
        Relative to the folder of classes.
    block : mapping
        Of the configuration, with ``group``, a pattern for :func:`group_of`, or ``groups``, a file for
        :func:`table_of_groups`; without either, ``labels`` may tell the speaker.

    Raises
    ------
    EarmarkError
        As the two; also if the file names none of the recordings.
    """
    if block["groups"] is None and block["group"] is None and audiomnist.is_asked(block["labels"]):
        return {path: audiomnist.speaker_of(path) for path in paths}
    if block["groups"] is None:
        return {path: group_of(path, block["group"]) for path in paths}
    table = table_of_groups(block["groups"])
    stems = {without_ending(path): group for path, group in table.items()}
    spelled = {path: composed(path) for path in paths}
    named = {path: table.get(text, stems.get(without_ending(text))) for path, text in spelled.items()}
    if paths and not any(named.values()):
        raise EarmarkError(
            f"The file of groups '{block['groups']}' names none of the recordings, such as '{paths[0]}'; its column "
            "path holds paths relative to the folder of classes, with or without ending."
        )
    return {path: group or path for path, group in named.items()}


def table_of_groups(path: Path | str) -> dict[str, str]:
    """Read a CSV file with the columns ``path`` and ``group``; others, such as a source, may stand beside them.

    Raises
    ------
    EarmarkError
        If the file cannot be read, lacks a column or a value, or gives one recording two groups.
    """
    return _table(path, "path", "group")


def table_of_folds(path: Path | str) -> dict[str, int]:
    """Read a CSV file with the columns ``group`` and ``fold``; others may stand beside them.

    Returns
    -------
    dict of str to int
        Fold by group, 0 to the number of folds - 1.

    Raises
    ------
    EarmarkError
        As :func:`table_of_groups`; also if folds are not numbered from 0 on, or are fewer than three or more than ten.
    """
    table = _table(path, "group", "fold")
    for group, fold in table.items():
        if re.fullmatch(r"\d+", fold, re.ASCII) is None:
            raise EarmarkError(f"The file of folds '{path}' gives '{group}' the fold '{fold}', which is no number.")
    folds = {group: int(fold) for group, fold in table.items()}
    count = len(set(folds.values()))
    if not FEWEST_FOLDS <= count <= MOST_FOLDS:
        raise EarmarkError(
            f"The file of folds '{path}' has {count} fold{'s' if count != 1 else ''}; {FEWEST_FOLDS} to {MOST_FOLDS} "
            "are possible."
        )
    missing = next((fold for fold in range(count) if fold not in folds.values()), None)
    if missing is not None:
        raise EarmarkError(
            f"The file of folds '{path}' has {count} folds but no fold {missing}: number them from 0 to {count - 1}."
        )
    return folds


def _table(path: Path | str, key: str, value: str) -> dict[str, str]:
    """Read two columns of a CSV file, which is called after the second; each key has one value."""
    table: dict[str, str] = {}
    try:
        with path_of(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {key, value} <= set(rows.fieldnames or ()):
                raise EarmarkError(
                    f"The file of {value}s '{path}' needs the columns {key} and {value} in its first line."
                )
            for row in rows:
                name, told = composed(row[key] or ""), composed(row[value] or "")
                if not name or not told:
                    raise EarmarkError(
                        f"The file of {value}s '{path}' lacks a {key} or a {value} in line {rows.line_num}."
                    )
                if _has_control(told):
                    raise EarmarkError(
                        f"The file of {value}s '{path}' gives '{name}' a {value} with a line end in its name."
                    )
                if table.setdefault(name, told) != told:
                    raise EarmarkError(f"The file of {value}s '{path}' gives '{name}' two {value}s.")
    except OSError as error:
        raise EarmarkError(f"The file of {value}s '{path}' cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EarmarkError(f"The file of {value}s '{path}' is no CSV file in UTF-8.") from error
    return table


def given_folds(block: Mapping[str, Any]) -> dict[str, int] | None:
    """Map groups to the folds that a data set's file of folds gives them; None if it names no file."""
    return table_of_folds(block["folds"]) if isinstance(block["folds"], str) else None


def without_fold(groups: Mapping[str, str], block: Mapping[str, Any]) -> dict[str, str]:
    """Say which recordings, of `groups` by path, are left out because a file of folds does not name their group."""
    folds = given_folds(block)
    if folds is None:
        return {}
    told = f"is in no fold of {block['folds']}"
    return {path: f"left out: its group {group} {told}" for path, group in groups.items() if group not in folds}


def check_folds(members: Iterable[tuple[str, str]], folds: Mapping[str, int], path: str) -> None:
    """Raise unless every fold of a file holds every class.

    Parameters
    ----------
    members : iterable of (str, str)
        Class and group of every recording that takes part.
    folds : mapping of str to int
        As the file gives them.
    path : str
        The file, for the sentence.

    Raises
    ------
    EarmarkError
        If a fold lacks a class.
    """
    held: dict[str, set[int]] = defaultdict(set)
    for cls, group in members:
        held[cls].add(folds[group])
    for cls, there in sorted(held.items()):
        lacking = sorted(set(folds.values()) - there)
        if lacking:
            raise EarmarkError(
                f"The file of folds '{path}' leaves fold {lacking[0]} without a usable recording"
                f"{f' of the class {cls!r}' if cls else ''}: every fold needs every class."
            )


def members(paths: Sequence[str], block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List class and group of every recording that takes part, as far as names tell."""
    groups = groups_of([path for path in paths if not says_nothing(path, block)], block)
    left_out = departures(paths, block) | without_fold(groups, block)
    classes = labels_of(paths, block)
    return [(classes[path], groups[path]) for path in paths if path not in left_out]


def class_of(path: str) -> str:
    """Name the class of a recording by its path relative to the folder of classes; nothing where it lies in none."""
    return composed(path.partition("/")[0]) if "/" in path else ""


def path_of(root: Path | str) -> Path:
    """Return the path that the configuration means: ``~`` stands for the home folder."""
    return Path(root).expanduser()


def group_of(path: str, pattern: str | None) -> str:
    """Name the group of a recording by a pattern.

    Parameters
    ----------
    path : str
        Path relative to the folder of classes.
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
        match = re.search(composed(pattern), composed(path))
    except re.error as error:
        raise EarmarkError(f"The group pattern '{pattern}' is not a regular expression: {error}.") from error
    name = match[1 if match.re.groups else 0] if match else None
    if not name:
        raise EarmarkError(f"The group pattern '{pattern}' does not name a group for the recording '{path}'.")
    return name


def fold_count(members: Iterable[tuple[str, str]], asked: int | None = None, adopted: bool = False) -> int:
    """Count the folds that every class has enough groups for, ten at most.

    Parameters
    ----------
    members : iterable of (str, str)
        Class and group of every recording.
    asked : int, optional
        How many there shall be.
    adopted : bool
        Whether nothing is trained: then one fold, of which every set of clips is all, will do for want of groups.

    Raises
    ------
    EarmarkError
        If a class has fewer groups than are asked for, or than three.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for cls, group in members:
        groups[cls].add(group)
    poorest = min(groups, key=lambda cls: (len(groups[cls]), cls))
    fewest = len(groups[poorest])
    if fewest < FEWEST_FOLDS and adopted and asked is None:
        return 1
    if fewest < FEWEST_FOLDS:
        raise EarmarkError(
            f"The class '{poorest}' has {fewest} group{'s' if fewest != 1 else ''} of usable recordings; "
            f"training, validation and test need one each, {FEWEST_FOLDS} in all."
        )
    return folds_of(fewest, asked, f"the class '{poorest}' has")


def folds_of(groups: int, asked: int | None, whose: str = "there are") -> int:
    """Return the number of folds that is asked for, or as many as groups allow, ten at most.

    Raises
    ------
    EarmarkError
        If more are asked for than there are groups.
    """
    if asked is not None and asked > groups:
        raise EarmarkError(
            f"`folds` asks for {asked} folds, but {whose} {groups} groups of usable recordings: "
            f"ask for {groups} at most, or for null."
        )
    return min(MOST_FOLDS, groups) if asked is None else asked


def _existing(root: Path | str | None, of: str = "recordings") -> Path:
    if root is None:
        raise EarmarkError("No folder of recordings is given: set the data set's `root` in the configuration.")
    folder = path_of(root)
    try:
        os.scandir(folder).close()
    except FileNotFoundError as error:
        raise EarmarkError(f"The folder of {of} '{root}' does not exist.") from error
    except NotADirectoryError as error:
        raise EarmarkError(
            f"'{root}' is not a folder; {of} lie in a folder with "
            f"{'one sub-folder per class' if of == 'recordings' else 'one sub-folder per recording'}."
        ) from error
    except OSError as error:
        raise EarmarkError(f"The folder of {of} '{root}' cannot be read: {error.strerror}.") from error
    return folder


def _subfolders(folder: Path) -> list[Path]:
    """List the sub-folders that may hold recordings, by name; none of a folder that must not be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if os.path.isdir(entry) and not _passed_over(entry.name))
    except OSError:
        return []


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in NO_CLASSES


def _holds(folder: Path, classes: Collection[str]) -> bool:
    """Tell whether a folder has most of the classes as sub-folders: one may be missing, one may be there by chance."""
    inside = {composed(below.name) for below in _subfolders(folder)} if os.path.isdir(folder) else set()
    return len(inside.intersection(map(composed, classes))) > len(classes) / 2


def without_ending(path: str) -> str:
    """Take the ending of a format that can be decoded off the name of a recording."""
    return str(PurePosixPath(path).with_suffix("")) if can_be_decoded(path) else path


def _check_names(names: list[str]) -> None:
    """Raise unless the names of sub-folders, in their order, can be those of classes."""
    for name in names:
        if _has_control(name):
            raise EarmarkError(f"The name of the class sub-folder {name!r} holds a control character: rename it.")
    for first, second in itertools.pairwise(names):
        if composed(first) == composed(second):
            raise EarmarkError(
                f"Two class sub-folders are called '{composed(first)}', spelled with other Unicode characters "
                f"({first!a} and {second!a}): merge them."
            )


def _has_control(text: str) -> bool:
    """Tell whether a text holds a character such as a line end, which tables cannot carry."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _check_encoding(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise EarmarkError(f"The file name {path!a} is not UTF-8: rename it.") from error
    if _has_control(path):
        raise EarmarkError(f"The file name {path!r} holds a control character: rename it.")


def _recordings(folder: Path, inside: PurePosixPath, above: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
    """Yield the recordings below a folder; a link back to a folder above is not followed again."""
    here = os.path.realpath(folder)
    if here in above:
        return
    entries = _visible(folder)
    yield from _files(entries, inside)
    for entry in entries:
        if os.path.isdir(entry):
            yield from _recordings(Path(entry.path), inside / entry.name, (*above, here))


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """List what a folder among the recordings holds that may count."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _passed_over(entry.name)]
    except OSError as error:
        raise EarmarkError(
            f"The folder '{folder}' among the recordings cannot be read: {error.strerror}; allow it, or move it away."
        ) from error


def _files(entries: Iterable[os.DirEntry[str]], inside: PurePosixPath) -> Iterator[tuple[str, int | None]]:
    """Yield the recordings among what a folder holds."""
    for entry in entries:
        if os.path.isdir(entry):
            continue
        if entry.name.lower().endswith(SUFFIXES + FOREIGN) and (os.path.isfile(entry) or _leads_nowhere(entry.path)):
            _check_encoding(entry.path)
            yield str(inside / entry.name), None if _leads_nowhere(entry.path) else os.path.getsize(entry)


def _leads_nowhere(path: str) -> bool:
    """Tell whether a path is a link to what is not there, leads to itself, or must not be looked at."""
    return os.path.islink(path) and not os.path.exists(path)

"""What people took sounds and pictures for, as they filled it in, with every fault that such files have."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.errors import EarmarkError
from earmark.store.layout import slug

ANSWERS = "answers.csv"
"""The file to fill in."""

COLUMNS = ("file", "guess")


@dataclass(frozen=True)
class Submission:
    """One listener's guesses, and what could not be taken for one.

    Attributes
    ----------
    listener : str
        By which file it was told.
    guesses : dict of str to str
        Class by file.
    missing : list of str
        Files without a guess.
    unknown : list of str
        Names of no such file.
    no_class : dict of str to str
        Guesses by file that name no class.
    repeated : list of str
        Files that are guessed twice alike: once counts.
    contradicted : list of str
        Files that are guessed twice, and not alike: neither counts.
    """

    listener: str
    guesses: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    no_class: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)

    @property
    def alike(self) -> bool:
        """Whether all guesses, of two at least, are the same."""
        return len(self.guesses) > 1 and len(set(self.guesses.values())) == 1

    def remarks(self) -> list[str]:
        """Say what was found wanting, a line each; none of a file that is complete."""
        counted = {
            "without a guess": self.missing,
            "names of nothing that was heard or seen": self.unknown,
            "guesses that name no class": [f"{name} ({guess})" for name, guess in self.no_class.items()],
            "guessed twice alike, counted once": self.repeated,
            "guessed twice and not alike, not counted": self.contradicted,
        }
        told = [f"{len(names)} {what}: {some(names)}" for what, names in counted.items() if names]
        if self.alike:
            told.append(f"all guesses are alike: {next(iter(self.guesses.values()))}")
        return told


def read(paths: Sequence[Path], stimuli: Collection[str], classes: Sequence[str]) -> tuple[list[Submission], list[str]]:
    """Read files that were filled in.

    Parameters
    ----------
    paths : sequence of Path
        One per listener.
    stimuli : collection of str
        Names of all that could be heard and seen.
    classes : sequence of str
        Slugs; a guess may write the class as its name.

    Returns
    -------
    submissions : list of Submission
    twice : list of str
        Files that hold the guesses of one before them, word by word, and do not count.

    Raises
    ------
    EarmarkError
        If a file cannot be read, or lacks a column.
    """
    found: list[Submission] = []
    twice = []
    for path in paths:
        one = _read(path, stimuli, classes)
        before = next((other.listener for other in found if _same(one, other)), None)
        if before is None:
            found.append(one)
        else:
            twice.append(f"{path} holds the guesses of {before}, and counts once")
    return found, twice


def _same(one: Submission, other: Submission) -> bool:
    """Tell whether two files are one listener's: of one name, or alike but for those that say one word everywhere."""
    return one.listener == other.listener or (bool(one.guesses) and one.guesses == other.guesses and not one.alike)


def _read(path: Path, stimuli: Collection[str], classes: Sequence[str]) -> Submission:
    one = Submission(str(path))
    times = Counter[str]()
    for row in table(path, COLUMNS, ANSWERS):
        name, told = row["file"], row["guess"]
        guess = slug(told)
        if name not in stimuli:
            one.unknown.append(name)
        elif guess in classes:
            times[name] += 1
            if one.guesses.setdefault(name, guess) != guess and name not in one.contradicted:
                one.contradicted.append(name)
        elif guess:
            one.no_class[name] = told
    for name in one.contradicted:
        del one.guesses[name]
    one.repeated.extend(name for name in one.guesses if times[name] > 1)
    one.missing.extend(name for name in stimuli if not times[name] and name not in one.no_class)
    return one


def table(path: Path, columns: Sequence[str], like: str) -> list[dict[str, str]]:
    """Read a file that came back; programs write commas, semicolons or tabs between the cells.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        What it must have.
    like : str
        The file that has them, for the sentence that tells what is wrong.

    Returns
    -------
    list of dict of str to str
        A row each, by column; a cell that is not there is empty.

    Raises
    ------
    EarmarkError
        If it cannot be read, is no table, or lacks a column.
    """
    text = _text(path)
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), restval="")
    try:
        if not set(columns) <= set(rows.fieldnames or ()):
            raise EarmarkError(
                f"the answers '{path}' must have the columns {', '.join(columns[:-1])} and {columns[-1]}, as {like} "
                "has them"
            )
        return [{name: (row[name] or "").strip() for name in rows.fieldnames or ()} for row in rows]
    except csv.Error as error:
        raise EarmarkError(f"the answers '{path}' are no table: {error}") from error


def header(path: Path) -> str:
    """Return the first line of a file that came back; errors as of :func:`table`."""
    return _text(path).partition("\n")[0]


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise EarmarkError(f"the answers '{path}' cannot be read: {why}") from error
    if not text.strip():
        raise EarmarkError(f"the answers '{path}' cannot be read: the file is empty")
    return text


def some(names: Sequence[str], most: int = 5) -> str:
    """Name the first of many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")

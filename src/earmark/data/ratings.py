"""Ratings as webMUSHRA, or the page of a listening test, writes them down, with every fault that such files have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.data import submissions
from earmark.data.submissions import header, some, table
from earmark.errors import EarmarkError

TEST, LISTENER, SESSION = "session_test_id", "listener", "session_uuid"

NEEDED = (TEST, "trial_id", "rating_stimulus", "rating_score")

COLUMNS = (TEST, LISTENER, SESSION, *NEEDED[1:], "rating_time", "rating_comment")
"""Of a file as our page writes it. What the questionnaire asks stands behind the test; older versions of webMUSHRA
write no ``session_uuid``."""

FILE = "mushra.csv"
"""Under which webMUSHRA keeps the ratings of all sessions of a test."""

LOWEST, HIGHEST = 0, 100
"""Of the scale."""

Place = tuple[str, str]
"""A trial and a stimulus of it."""


@dataclass(frozen=True)
class Session:
    """One listener's ratings, and what could not be taken for one.

    Attributes
    ----------
    listener : str
        By which file, and which session of it, they were given.
    scores : dict of Place to float
        Points by trial and stimulus.
    missing, unknown : list of Place
        What was not rated, and what there is not to be rated.
    no_score : list of str
        What stood in the place of a number from 0 to 100.
    repeated, contradicted : list of Place
        What was rated twice, alike: once counts; and not alike: neither counts.
    """

    listener: str
    scores: dict[Place, float] = field(default_factory=dict)
    missing: list[Place] = field(default_factory=list)
    unknown: list[Place] = field(default_factory=list)
    no_score: list[str] = field(default_factory=list)
    repeated: list[Place] = field(default_factory=list)
    contradicted: list[Place] = field(default_factory=list)

    @property
    def alike(self) -> bool:
        """Whether all ratings, of two at least, are the same."""
        return len(self.scores) > 1 and len(set(self.scores.values())) == 1

    def remarks(self) -> list[str]:
        """Say what was found wanting, a line each; none of ratings that are complete."""
        counted = {
            "without a rating": _named(self.missing),
            "of nothing that was heard": _named(self.unknown),
            f"no number from {LOWEST} to {HIGHEST}": self.no_score,
            "rated twice alike, counted once": _named(self.repeated),
            "rated twice and not alike, not counted": _named(self.contradicted),
        }
        told = [f"{len(names)} {what}: {some(names)}" for what, names in counted.items() if names]
        if self.alike:
            told.append(f"all ratings are alike: {next(iter(self.scores.values())):g}")
        return told


def trial_id(clip: str, question: str) -> str:
    """Name the trial in which a clip's sounds are rated for one question."""
    return f"{clip}-{question}"


def rated(path: Path) -> bool:
    """Tell ratings from guesses by their first line.

    Raises
    ------
    EarmarkError
        If it is of neither, or the file cannot be read.
    """
    first = header(path)
    if NEEDED[-1] not in first and not all(name in first for name in submissions.COLUMNS):
        raise EarmarkError(
            f"the answers '{path}' have neither the columns of guesses, as {submissions.ANSWERS} has them, nor those "
            f"of ratings, {', '.join(NEEDED)}, as {FILE} has them"
        )
    return NEEDED[-1] in first


def read(paths: Sequence[Path], test: str, known: Collection[Place]) -> tuple[list[Session], list[str]]:
    """Read files of one session or of many.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    test : str
        By which the test knows its ratings.
    known : collection of Place
        All that is to be rated.

    Returns
    -------
    sessions : list of Session
        Of those who rated anything.
    remarks : list of str
        What does not count as a whole: ratings of another test, sessions without any, and second submissions.

    Raises
    ------
    EarmarkError
        If a file cannot be read, is no table, or lacks a column.
    """
    found: list[Session] = []
    remarks = []
    numbers: dict[str, Session] = {}
    for path in paths:
        rows = table(path, NEEDED, FILE)
        strange = Counter(row[TEST] for row in rows if row[TEST] != test)
        remarks += [f"{path}: {count} ratings of another test, {name!r}" for name, count in strange.items()]
        if not rows:
            remarks.append(f"{path} holds no ratings")
        for number, own in _sessions([row for row in rows if row[TEST] == test]).items():
            one = _session(f"{path}, {number}" if number else str(path), own, known)
            before = numbers.get(number) if number else None
            before = before or next((other for other in found if _same(one, other)), None)
            if before is not None:
                remarks.append(f"{one.listener} is a second submission of {before.listener}, and does not count")
            elif not one.scores:
                remarks += [f"{one.listener} does not count: {remark}" for remark in one.remarks()]
            else:
                found.append(one)
                numbers[number] = one
    return found, remarks


def _sessions(rows: Sequence[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Part the rows of a file: by the session's number, else by what the questionnaire was told."""
    found = defaultdict(list)
    for row in rows:
        told = [text for name, text in row.items() if name not in COLUMNS or name == LISTENER]
        found[row.get(SESSION) or " ".join(filter(None, told))].append(row)
    return dict(found)


def _session(listener: str, rows: Sequence[dict[str, str]], known: Collection[Place]) -> Session:
    one = Session(listener)
    times = Counter[Place]()
    bad = set()
    for row in rows:
        place, score = (row["trial_id"], row["rating_stimulus"]), _score(row["rating_score"])
        if place not in known:
            one.unknown.append(place)
        elif score is None:
            one.no_score.append(f"{'/'.join(place)} ({row['rating_score']})")
            bad.add(place)
        else:
            times[place] += 1
            if one.scores.setdefault(place, score) != score and place not in one.contradicted:
                one.contradicted.append(place)
    for place in one.contradicted:
        del one.scores[place]
    one.repeated.extend(place for place in one.scores if times[place] > 1)
    one.missing.extend(place for place in known if not times[place] and place not in bad)
    return one


def _score(text: str) -> float | None:
    """Read points; None where there are none."""
    try:
        score = float(text)
    except ValueError:
        return None
    return score if LOWEST <= score <= HIGHEST else None


def _same(one: Session, other: Session) -> bool:
    """Tell whether two sessions are one: alike in all ratings, but for those who rate all alike."""
    return bool(one.scores) and one.scores == other.scores and not one.alike


def _named(places: Sequence[Place]) -> list[str]:
    return ["/".join(place) for place in places]

"""Files of ratings, whole and spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.data import ratings
from earmark.data.ratings import COLUMNS, NEEDED, rated, read, trial_id
from earmark.errors import EarmarkError
from earmark.metrics.ratings import QUESTIONS
from tests.unit.panel import key, rows, write

CLIPS = 2
TEST = key(CLIPS)[0]["test"]
PLACES = [(trial_id(row["trial"], question), row["stimulus"]) for row in key(CLIPS) for question in QUESTIONS]


def whole(tmp_path: Path, listeners: int = 3) -> Path:
    return write(tmp_path / "mushra.csv", rows(listeners, CLIPS, 0))


def test_sessions_of_one_file_are_told_apart(tmp_path: Path) -> None:
    path = whole(tmp_path)
    found, remarks = read([path], TEST, PLACES)
    assert [one.listener for one in found] == [f"{path}, 0000-l{number}" for number in range(3)]
    assert all(set(one.scores) == set(PLACES) and not one.remarks() for one in found) and remarks == []
    first = rows(3, CLIPS, 0)[0]
    assert found[0].scores[first[3], first[4]] == float(first[5])


@pytest.mark.parametrize("columns", [range(8), [0, 1, *range(3, 8)], [0, *range(3, 8)]], ids=["new", "old", "bare"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_files_of_older_versions_and_of_other_programs_are_read(tmp_path: Path, columns, between: str) -> None:
    """Without ``session_uuid`` the questionnaire tells who it was; without both a file is one listener's."""
    lines = [list(COLUMNS), *rows(1 if 1 not in columns else 2, CLIPS, 0)]
    path = tmp_path / "ratings.csv"
    path.write_text("\ufeff" + "".join(between.join(line[place] for place in columns) + "\r\n" for line in lines))
    found, remarks = read([path], TEST, PLACES)
    assert rated(path) and len(found) == (2 if 1 in columns else 1) and remarks == []
    assert all(set(one.scores) == set(PLACES) and not one.remarks() for one in found)


def test_what_is_missing_strange_or_told_twice_is_counted(tmp_path: Path) -> None:
    lines = rows(1, CLIPS, 0)
    lines[0][5], lines[1][5], lines[2][5], lines[3][5] = "", "loud", "101", "nan"
    again, other, strange, foreign = (list(line) for line in (lines[4], lines[5], lines[6], lines[7]))
    other[5] = str((float(other[5]) + 1) % 100)
    strange[4] = "s999"
    foreign[0] = "another-test"
    path = write(tmp_path / "a.csv", [*lines[:-1], again, other, strange, foreign])
    (found,), remarks = read([path], TEST, PLACES)
    assert len(found.scores) == len(PLACES) - 6
    told = found.remarks()
    assert told[0].startswith(f"1 without a rating: {'/'.join(lines[-1][3:5])}")
    assert told[1] == f"1 of nothing that was heard: {strange[3]}/s999"
    assert told[2].startswith("4 no number from 0 to 100: ") and "(loud)" in told[2] and "(101)" in told[2]
    assert told[3] == f"1 rated twice alike, counted once: {'/'.join(again[3:5])}"
    assert told[4] == f"1 rated twice and not alike, not counted: {'/'.join(other[3:5])}"
    assert remarks == [f"{path}: 1 ratings of another test, 'another-test'"]


def test_a_file_that_was_cut_off_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    path = whole(tmp_path, 1)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:30])
    (found,), _ = read([path], TEST, PLACES)
    assert len(found.scores) == len(lines) // 2 - 1
    assert any(" without a rating: " in remark for remark in found.remarks())


def test_a_second_submission_does_not_count(tmp_path: Path) -> None:
    path = whole(tmp_path, 1)
    copied = write(tmp_path / "copied.csv", rows(1, CLIPS, 0))
    renamed = write(tmp_path / "renamed.csv", [[*row[:1], "x", "0000-x", *row[3:]] for row in rows(1, CLIPS, 0)])
    changed = write(tmp_path / "changed.csv", rows(1, CLIPS, 1))
    first = f"{path}, 0000-l0"
    found, remarks = read([path, copied, renamed, changed], TEST, PLACES)
    assert [one.listener for one in found] == [first]
    assert remarks == [
        f"{other} is a second submission of {first}, and does not count"
        for other in (f"{copied}, 0000-l0", f"{renamed}, 0000-x", f"{changed}, 0000-l0")
    ]
    (twice,), _ = read([write(tmp_path / "twice.csv", 2 * rows(1, CLIPS, 0))], TEST, PLACES)
    assert twice.remarks()[0].startswith(f"{len(PLACES)} rated twice alike, counted once")


def test_listeners_who_rate_all_alike_count_and_are_named(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.csv", [[row[0], name, name, *row[3:5], "100", "", ""] for row in rows(1, CLIPS, 0)])
        for name in ("ann", "bob")
    ]
    found, remarks = read(paths, TEST, PLACES)
    assert [one.remarks() for one in found] == [["all ratings are alike: 100"]] * 2 and remarks == []


def test_nobody_who_rated_nothing_counts(tmp_path: Path) -> None:
    none = write(tmp_path / "none.csv", [])
    foreign = write(tmp_path / "foreign.csv", [["other", *row[1:]] for row in rows(1, CLIPS, 0)])
    blank = write(tmp_path / "blank.csv", [[*row[:5], "", "", ""] for row in rows(1, CLIPS, 0)[:1]])
    found, remarks = read([none, foreign, blank], TEST, PLACES)
    assert found == [] and remarks[0] == f"{none} holds no ratings"
    assert remarks[1] == f"{foreign}: {len(PLACES)} ratings of another test, 'other'"
    assert remarks[2].startswith(f"{blank}, 0000-l0 does not count: {len(PLACES) - 1} without a rating")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read: the file is empty"),
        (b" \n", "cannot be read: the file is empty"),
        ("Größe,rating_score\n".encode("latin-1"), "cannot be read: it is no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "cannot be read: it is no text in UTF-8"),
        (b"hello\n", "have neither the columns of guesses, .* nor those of ratings"),
        (b"trial_id|rating_score\n", "must have the columns session_test_id, .* and rating_score, as mushra.csv has"),
        (f"{','.join(NEEDED)}\n\x00,a\0\n".encode(), None),
    ],
)
def test_what_is_no_such_file_is_one_sentence(tmp_path: Path, content: bytes, sentence: str | None) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    if sentence is None:  # what Python takes for a table: no rating of it counts
        assert read([path], TEST, PLACES)[0] == []
        return
    with pytest.raises(EarmarkError, match=f"^the answers '.*odd.csv' {sentence}"):
        assert rated(path) and read([path], TEST, PLACES)


def test_a_field_without_end_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "odd.csv", [[*rows(1, CLIPS, 0)[0][:7], "x" * 200_000]])
    with pytest.raises(EarmarkError, match=r"^the answers '.*odd.csv' are no table: field larger"):
        read([path], TEST, PLACES)
    with pytest.raises(EarmarkError, match="cannot be read: No such file"):
        ratings.rated(tmp_path / "none.csv")

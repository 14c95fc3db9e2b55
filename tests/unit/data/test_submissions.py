"""Answers as people fill them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.data.submissions import read
from earmark.errors import EarmarkError

SOUNDS = [f"{number}.wav" for number in range(1, 6)]
CLASSES = ["one", "two-hands"]


def filled(path: Path, *rows: str, head: str = "file,guess") -> Path:
    path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return path


def test_a_complete_file_has_no_remarks(tmp_path: Path) -> None:
    path = filled(tmp_path / "ann.csv", *(f"{name},{'one' if name < '3' else 'Two Hands'}" for name in SOUNDS))
    (ann,), twice = read([path], SOUNDS, CLASSES)
    assert list(ann.guesses.values()) == ["one", "one", "two-hands", "two-hands", "two-hands"]
    assert (ann.listener, ann.remarks(), twice) == (str(path), [], [])


def test_every_fault_is_counted_and_told(tmp_path: Path) -> None:
    path = filled(
        tmp_path / "bob.csv",
        *("1.wav,one", "1.wav,ONE ", "2.wav,one", "2.wav,two hands", "2.wav,one", "3.wav,tow", "4.wav,", "9.wav,one"),
    )
    (bob,), _ = read([path], SOUNDS, CLASSES)
    assert bob.guesses == {"1.wav": "one"}
    told = "\n".join(bob.remarks())
    for remark in (
        "2 without a guess: 4.wav, 5.wav",
        "1 names of nothing that was heard or seen: 9.wav",
        "1 guesses that name no class: 3.wav (tow)",
        "1 guessed twice alike, counted once: 1.wav",
        "1 guessed twice and not alike, not counted: 2.wav",
    ):
        assert remark in told
    counted = len(bob.guesses) + len(bob.missing) + len(bob.no_class) + len(bob.contradicted)
    assert counted == len(SOUNDS)  # nobody is dropped in silence


def test_the_same_answers_count_once_unless_they_say_one_word(tmp_path: Path) -> None:
    rows = [f"{name},{'one' if name < '3' else 'two-hands'}" for name in SOUNDS]
    ann, copy = filled(tmp_path / "ann.csv", *rows), filled(tmp_path / "copy.csv", *rows)
    cyd, dee = (filled(tmp_path / f"{name}.csv", *(f"{sound},one" for sound in SOUNDS)) for name in ("cyd", "dee"))
    found, twice = read([ann, copy, cyd, dee, dee], SOUNDS, CLASSES)
    assert [one.listener for one in found] == [str(path) for path in (ann, cyd, dee)]
    assert [line.split()[0] for line in twice] == [str(copy), str(dee)]
    assert "all guesses are alike: one" in found[1].remarks()


def test_spreadsheets_write_semicolons_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "eve.csv"
    path.write_text("\ufefffile;guess\r\n1.wav;one\r\n", encoding="utf-8")
    (eve,), _ = read([path], SOUNDS, CLASSES)
    assert eve.guesses == {"1.wav": "one"}


def test_nothing_filled_in_is_all_missing(tmp_path: Path) -> None:
    (one,), _ = read([filled(tmp_path / "fay.csv")], SOUNDS, CLASSES)
    assert (one.guesses, one.missing) == ({}, SOUNDS)


NO_SUCH_FILE = [("name,guess\n1.wav,one\n", "must have the columns file and guess"), ("", "the file is empty")]


@pytest.mark.parametrize(("content", "sentence"), NO_SUCH_FILE)
def test_what_is_no_such_file_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(content)
    with pytest.raises(EarmarkError, match=sentence):
        read([path], SOUNDS, CLASSES)
    with pytest.raises(EarmarkError, match=r"cannot be read: No such file"):
        read([tmp_path / "missing.csv"], SOUNDS, CLASSES)

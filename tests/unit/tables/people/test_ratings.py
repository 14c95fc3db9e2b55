"""What is said of a panel's files, whose true opinions are known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from earmark.data.ratings import COLUMNS
from earmark.metrics.ratings import QUESTIONS, Spread
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables.people.ratings import found_by, in_order, of_people
from tests.unit import panel
from tests.unit.panel import TRUE

CLIPS = 4


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path, "demo")
    rows = panel.key(CLIPS)
    artifacts.write_csv(found.listening_key, list(rows[0]), [list(row.values()) for row in rows], {})
    return found


def points(text: str, question: str, condition: str) -> tuple[float, float, float]:
    """The mean of a condition with its interval, from the table of a question."""
    part = text.split(f"## {QUESTIONS[question].title}")[1]
    found = re.search(rf"^\| `{condition}` \| \d+ \| ([\d.]+) \[([-\d.]+), ([\d.]+)\]", part, re.MULTILINE)
    assert found
    mean, low, high = map(float, found.groups())
    return mean, low, high


def test_intervals_in_the_table_cover_what_is_true(layout: Layout, tmp_path: Path) -> None:
    """From file to table, eight panels of 20 listeners in 12 cells, about at the nominal rate: see metrics for it."""
    covered = []
    for seed in range(8):
        text = of_people(layout, [panel.write(tmp_path / "mushra.csv", panel.rows(20, CLIPS, seed))])
        assert text.startswith("# Rated by people: demo\n\n20 listeners, 960 ratings of 960.\n")
        for question, true in TRUE.items():
            for condition, wanted in true.items():
                _, low, high = points(text, question, condition)
                covered.append(low <= wanted <= high)
    assert np.mean(covered) >= 0.88


def test_a_panel_with_all_faults_is_judged_and_its_faults_are_counted(layout: Layout, tmp_path: Path) -> None:
    whole = panel.write(tmp_path / "mushra.csv", panel.rows(20, CLIPS, 0))
    one = panel.rows(1, CLIPS, 1)
    alike = panel.write(tmp_path / "alike.csv", [[*row[:1], "x", "x", *row[3:5], "100", "", ""] for row in one])
    half = panel.write(tmp_path / "half.csv", [[*row[:1], "y", "y", *row[3:]] for row in one[: len(one) // 2]])
    again = panel.write(tmp_path / "again.csv", [row for row in panel.rows(20, CLIPS, 0) if row[1] == "l3"])
    text = of_people(layout, [whole, alike, half, again])
    assert "\n22 listeners, 1032 ratings of 1056.\n" in text
    assert f"- {alike}, x: all ratings are alike: 100." in text
    assert f"- {half}, y: 24 without a rating: t00-quality/s000," in text
    assert f"- {again}, 0000-l3 is a second submission of {whole}, 0000-l3, and does not count." in text
    assert (
        text.count("the hidden reference is rated below 90 in more than 15 % of the trials") == 20
    )  # all, of 75 points
    assert "points without the doubtful" in text
    clean = of_people(layout, [whole])
    assert abs(points(text, "class", "info")[0] - points(clean, "class", "info")[0]) < 5


def test_what_is_better_is_found_and_what_is_as_good_is_not(layout: Layout, tmp_path: Path) -> None:
    text = of_people(layout, [panel.write(tmp_path / "mushra.csv", panel.rows(20, CLIPS, 2))])
    first, second = (text.split(f"## {question.title}")[1] for question in QUESTIONS.values())
    info, drsa = (re.search(rf"^\| `{name}` \| 20 .*$", first, re.MULTILINE) for name in ("info", "drsa"))
    assert info and info[0].count("p < .001") == 2
    assert drsa and drsa[0].count("p < .001") == 1  # than cells by lot
    same = re.search(r"^\| `info` \| 20 .*$", second, re.MULTILINE)
    assert same and same[0].count("p < .001") == 1


def test_of_one_listener_there_are_no_intervals(layout: Layout, tmp_path: Path) -> None:
    text = of_people(layout, [panel.write(tmp_path / "one.csv", panel.rows(1, CLIPS, 0))])
    assert re.search(r"^\| `info` \| 1 \| [\d.]+ \| [\d.]+ \| -?[\d.]+ \|", text, re.MULTILINE)
    assert "assumed" in text  # nothing is known of how listeners differ


def test_a_condition_that_nobody_rated_is_left_out(layout: Layout, tmp_path: Path) -> None:
    known = {row["stimulus"] for row in panel.key(CLIPS) if row["condition"] == "cells~0"}
    rows = [row for row in panel.rows(5, CLIPS, 0) if row[4] not in known]
    text = of_people(layout, [panel.write(tmp_path / "some.csv", rows, COLUMNS)])
    assert "`cells~0`" not in text.split("## ")[1] and "less `standard`" in text


def test_methods_come_first_and_what_a_panel_finds_is_told() -> None:
    assert in_order(["rest", "cells~0", "reference", "info", "standard", "drsa"]) == [
        *("drsa", "info", "standard", "cells~0", "rest", "reference")
    ]
    lines = found_by(Spread(3.0, 4.0), 6, 2)
    said = " ".join(" ".join(lines).split())
    assert "as these ratings show" in said and "hear 6 clips" in said
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == ["| 5", "| 10", "| 20"]
    assert "assumed" in " ".join(found_by(None, 6, 2))

"""Which clips are looked at: the same as ever, in the same order, and a reason for each that is left out."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from earmark.data import chosen as chosen_clips
from earmark.data.chosen import COLUMNS, GALLERY, RULES, SCORED, truth
from earmark.data.dataset import open_dataset
from earmark.errors import EarmarkError
from tests.unit.conftest import STRIPES, STRIPES_MISLABELLED, blank, chosen, copied


def read(layout):
    with layout.chosen("main").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answer(layout, clips, logits):
    """Let the network have answered some clips otherwise."""
    path = layout.predictions("main")
    lines = path.read_text().splitlines()
    for clip in clips:
        lines[1 + clip] = ",".join(map(str, (clip, *logits)))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def layout(stripes, tmp_path):
    return copied(stripes, tmp_path)


@pytest.fixture
def staged(layout):
    """Return stripes with stems, with folds 6 and 7 as clips of all objects to report on, 8 and 9 to choose on."""
    np.save(layout.stems, np.zeros((2, 160), np.int16))
    text = re.sub(r",([67]),main,", r",\1,all-test,", layout.clip_index.read_text())
    layout.clip_index.write_text(re.sub(r",([89]),main,", r",\1,all-validation,", text))
    return layout


def test_a_row_per_clip_and_use_with_the_logit_of_its_class(stripes):
    source, rows = open_dataset(stripes), read(stripes)
    assert tuple(rows[0]) == COLUMNS
    assert len({(row["clip"], row["use"]) for row in rows}) == len(rows)
    assert {row["use"] for row in rows} == {GALLERY, SCORED, RULES}  # no stems, no truth
    with stripes.predictions("main").open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    for row in rows:
        index = source.clips.iloc[int(row["clip"])]
        assert row["cls"] == index["class"]
        assert row["logit"] == answers[int(row["clip"])][row["cls"]]
        assert index["fold"] in ((2,) if row["use"] == RULES else (0, 1))


def test_the_clips_are_those_that_the_seeds_draw(stripes):
    """Golden: drawn from all test clips of the class, hence all; the gallery with the seed (0, gallery, class)."""
    found = chosen_clips.read(stripes, "main")
    rows, columns = (found.explained(cls) for cls in STRIPES)
    assert rows.clips.tolist() == [1, 3, 5, 7, 8, 15, 18, 19, 20, 21, 26, 27, 28, 29, 30, 31]
    assert rows.clips[rows.gallery].tolist() == [20, 26, 28]
    assert columns.clips[columns.gallery].tolist() == [6, 12, 22]
    assert rows.scored.all() and columns.scored.all()


def test_clips_of_all_objects_are_shown_first_and_scored_by_nobody(staged):
    """Golden, as above; with a showcase the gallery stands before the scored clips."""
    chosen(staged, explain={"clips": 10, "gallery": 4, "classes": []}, objects={"clips": 6})
    found = chosen_clips.read(staged, "main")
    explained = found.explained("columns")
    assert explained.clips.tolist() == [104, 108, 111, 126, 0, 2, 4, 9, 10, 12, 16, 17, 22, 25]
    assert explained.gallery.tolist() == [True] * 4 + [False] * 10
    assert explained.scored.tolist() == [False] * 4 + [True] * 10
    with staged.predictions("main").open(encoding="utf-8") as file:
        answers = [np.float32(row["columns"]) for row in csv.DictReader(file)]
    assert explained.logits.tolist() == [answers[clip] for clip in explained.clips]
    assert found.clips("columns", truth("validation")).tolist() == [138, 140, 142, 146, 149, 153]
    assert set(found.clips("columns", truth("test"))) <= set(range(96, 128))
    assert len(found.clips("columns", truth("test"))) == 6


def test_no_more_clips_are_looked_at_than_asked_for(staged):
    chosen(staged, explain={"clips": 5, "gallery": 2, "classes": []}, objects={"clips": 4}, composites={"clips": 3})
    answer(staged, [int(row["clip"]) for row in read(staged) if row["use"] == SCORED][:2], (-1.0, -2.0))
    chosen(staged, explain={"clips": 5, "gallery": 2, "classes": []}, objects={"clips": 4}, composites={"clips": 3})
    looked_at = Counter((row["cls"], row["use"]) for row in read(staged))
    wanted = {GALLERY: 2, SCORED: 5, truth("validation"): 4, truth("test"): 4, RULES: 3}
    assert looked_at == {(cls, use): count for cls in STRIPES for use, count in wanted.items()}


def test_what_is_left_out_is_counted_with_its_reason(layout):
    rows = chosen_clips.read(layout, "main").clips("rows", SCORED).tolist()
    answer(layout, rows[:2], (1.0, 2.0))
    answer(layout, rows[2:3], (-1.0, -2.0))
    chosen(layout)
    found = chosen_clips.read(layout, "main")
    reasons = {int(row["clip"]): row["reason"] for row in read(layout) if (row["cls"], row["use"]) == ("rows", SCORED)}
    assert list(reasons) == rows  # looked at as before
    assert [reasons[clip] for clip in rows[:3]] == ["classified as columns"] * 2 + ["its logit is not positive"]
    assert set(list(reasons.values())[3:]) == {""}
    assert found.clips("rows", SCORED).tolist() == rows[3:]
    assert (found.left_out("rows", SCORED), found.left_out("columns", SCORED)) == (3, 0)
    assert sum(found.left_out(cls, RULES) for cls in STRIPES) == len(STRIPES_MISLABELLED)
    assert not set(found.explained("rows").clips) & set(rows[:3])


def test_other_counts_of_one_use_leave_the_others_alone(layout):
    before = [row for row in read(layout) if row["use"] == RULES]
    chosen(layout, explain={"clips": 4, "gallery": 1, "classes": []})
    assert [row for row in read(layout) if row["use"] == RULES] == before


def test_nothing_is_chosen_where_no_class_is_recognised(layout):
    before = layout.chosen("main").read_bytes()
    answer(layout, range(160), (-1.0, -2.0))
    sentence = (
        r"^the model of demo/main gives nothing to explain: .* none of Rows, Columns; see its confusion\.csv, .*$"
    )
    with pytest.raises(EarmarkError, match=sentence):
        chosen(layout)
    assert layout.chosen("main").read_bytes() == before


def test_a_class_without_test_clips_is_left_out(layout):
    # All test clips, folds 0 and 1, become the first class's.
    index = layout.clip_index.read_text()
    layout.clip_index.write_text(re.sub(r"columns(/\d+\.wav),columns,(\d+),([01]),", r"rows\1,rows,\2,\3,", index))
    chosen(layout)
    found = chosen_clips.read(layout, "main")
    assert found.reason("columns") == "no test clip of it is recognised"
    assert not found.reason("rows")
    assert {row["reason"] for row in read(layout) if row["cls"] == "columns"} >= {found.reason("columns")}
    assert not len(found.clips("columns", RULES)) and len(found.clips("rows", RULES))


def test_a_class_is_left_out_of_which_none_is_recognised_that_was_drawn(layout):
    drawn = {"explain": {"clips": 2, "gallery": 2, "classes": []}}
    chosen(layout, **drawn)
    clips = [int(row["clip"]) for row in read(layout) if (row["cls"], row["use"]) == ("rows", SCORED)]
    answer(layout, clips, (-1.0, -2.0))
    chosen(layout, **drawn)
    assert chosen_clips.read(layout, "main").reason("rows") == "no test clip of it is recognised"
    chosen(layout)
    assert not chosen_clips.read(layout, "main").reason("rows")


def test_validation_clips_are_missed_by_those_alone_that_look_at_them(layout, caplog):
    blank(layout, slice(32, 48))
    chosen(layout)
    found = chosen_clips.read(layout, "main")
    (unknown,) = (cls for cls in open_dataset(layout).classes if not len(found.clips(cls.slug, RULES)))
    assert found.has(unknown, SCORED) and not caplog.records
    assert not found.has(unknown, RULES)
    assert caplog.messages == [f"{unknown.name}: no validation clip of it is recognised, and nothing is measured"]


def test_choosing_loads_no_torch(layout):
    script = f"""
import sys
from pathlib import Path
from earmark.job import Job
from earmark.stages import choose
config = {{"explain": {{"clips": 5, "gallery": 2, "classes": []}}, "objects": {{"clips": 4}}, "seed": 0}}
config["composites"] = {{"clips": 3}}
choose.run(Job("choose", Path({str(layout.results)!r}), "demo", config, split="main"))
print("torch" in sys.modules)
"""
    layout.chosen("main").unlink()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert read(layout)

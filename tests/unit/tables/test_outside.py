"""Contaminated clips whose scores are made up: what moved, what is compared, and who has a claim."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.explainers.outside import OF_CLIP, OF_SOUND
from earmark.metrics.masking import NATIVE, SCORES
from earmark.plan.config import fill
from earmark.stages.outside import CLIPS, COLUMNS
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import outside
from earmark.tables.labels import At, Label
from earmark.tables.study import Study

STANDARD, ENERGY, CELLS = (At(INPUT_LAYER, name, 1) for name in ("standard", "energy", "cells"))
GROUPS, MOVED, UNUSED = 14, 2, 3
"""Clips, each a group; the first are no longer recognised, and of the next the model uses no sound."""

BUDGETS = ("0.2", "0.5", "1")


def write(study: Study, method: str, better: float, native: float | None = None, lost: int = MOVED) -> None:
    """Write scores that rise with the share of energy and are better by something, in white noise by twice that."""
    of_clips, of_sounds = [], []
    for condition, factor in (("clean", 1), ("white", 2)):
        for clip in range(GROUPS):
            where = ["tone", clip, f"{clip}.wav", f"g{clip}", condition]
            moved = condition == "white" and clip < lost
            told = condition == "white" and clip >= lost + UNUSED
            values: dict[str, object] = dict.fromkeys(OF_CLIP, "") | {"moved": int(moved)}
            if not moved:
                values |= {"without_clip": 3 if told else 0.1, "without_contaminant": 0}
            if told:
                values |= {"source_auc": 0.5 + better / 10 + clip / 1000, "source_ap": 0.5, "source_gain": better}
            of_clips.append([*where, "", *values.values()])
            for budget in () if moved else (*BUDGETS, *([NATIVE] if native is not None else [])):
                share = 0.35 if budget == NATIVE else float(budget)
                odds = 10 * share + factor * better * (share < 1) + clip / 100
                scores: dict[str, object] = dict.fromkeys(OF_SOUND, 0.25) | {"budget": budget, "energy": share}
                scores |= {"logodds_in": odds if budget != NATIVE else native, "logodds_out": 0.0}
                of_sounds.append([*where, *scores.values()])
    folder = study.layout.method("main", INPUT_LAYER, method, 1)
    artifacts.write_csv(folder / "outside_clips.csv", CLIPS, of_clips, {})
    artifacts.write_csv(folder / "outside.csv", COLUMNS, of_sounds, {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    asked = {"outside": ["standard", "energy", "cells~0", "cells~1"], "budgets": [0.2, 0.5], "bootstrap": 200}
    source = SimpleNamespace(classes=[SimpleNamespace(slug="tone", name="tone")])
    study = Study(Layout(tmp_path, "demo"), source, fill({"evaluate": asked}) | {"seed": 0}, "main")  # type: ignore[arg-type]
    write(study, "standard", 2.0, native=9.0)
    write(study, "energy", 0.0)
    write(study, "cells~0", -0.5)
    write(study, "cells~1", 0.5)
    return study


def test_clips_are_counted_by_what_became_of_them(study: Study) -> None:
    measured = outside.measure(study)
    assert measured.tried == {
        "clean": (GROUPS, 0, 0),
        "mixture": (0, 0, 0),
        "white": (GROUPS, MOVED, UNUSED),
        "speech": (0, 0, 0),
    }
    moved = measured.found[Label(STANDARD, "moved", clips="white"), ALL]
    assert (moved.interval.estimate, moved.n) == (pytest.approx(MOVED / GROUPS), GROUPS)
    untold = measured.found[Label(STANDARD, "untold", clips="white"), ALL]
    assert (untold.interval.estimate, untold.n) == (pytest.approx(UNUSED / (GROUPS - MOVED)), GROUPS - MOVED)
    assert (Label(STANDARD, "untold", clips="clean"), ALL) not in measured.found


def test_differences_are_paired_at_one_share_within_a_condition(study: Study) -> None:
    compared = outside.measure(study).compared
    for condition, factor, n in (("clean", 1, GROUPS), ("white", 2, GROUPS - MOVED)):
        for rival in ("energy", "cells"):  # the seeds of cells are averaged
            one = compared[Label(STANDARD, "logodds_in", (rival,), "at 0.5", condition), ALL]
            assert (one.interval.estimate, one.n) == (pytest.approx(2 * factor), n)
            assert one.p < 0.05
    gain = compared[Label(STANDARD, "source_gain", ("energy",), "", "white"), ALL]
    assert (gain.interval.estimate, gain.n) == (pytest.approx(2), GROUPS - MOVED - UNUSED)
    assert not [label for label, _ in compared if label.part == "at 0.2"]


def test_a_sound_of_its_own_is_compared_with_the_loudest_cells_of_its_energy(study: Study) -> None:
    compared = outside.measure(study).compared
    wanted = 9 - np.mean([10 * 0.35 + clip / 100 for clip in range(GROUPS)])
    assert compared[Label(STANDARD, "native_lead", clips="clean"), ALL].interval.estimate == pytest.approx(wanted)


def test_whoever_beats_all_controls_that_were_heard_has_a_claim(study: Study) -> None:
    measured = outside.measure(study)
    assert outside.claim(measured, STANDARD, [ENERGY, CELLS], "at 0.5", "white") is True
    assert outside.claim(measured, CELLS, [ENERGY], "at 0.5", "white") is False
    assert outside.claim(measured, STANDARD, [], "at 0.5", "white") is None
    assert outside.claim(measured, STANDARD, [ENERGY], "at 0.5", "speech") is None


def test_rows_name_the_condition_and_what_is_missing_is_empty(study: Study) -> None:
    rows = list(outside.rows(study, outside.measure(study)))
    assert all(len(row) == len(outside.COLUMNS) for row in rows)
    named = [(row[0], row[1:4], row[4], row[5]) for row in rows]
    assert len(set(named)) == len(named)
    known = {(row[0], row[2], row[5]): row for row in rows if row[4] == ALL}
    assert float(known["white", "standard", "logodds_in at 0.5 - energy"][6]) == pytest.approx(4)
    assert known["speech", "standard", "moved"][6] == known["white", "energy", "energy at native"][6] == ""
    assert {f"{name} at {share}" for name in SCORES for share in (*BUDGETS, NATIVE)} <= {row[5] for row in rows}


def test_a_method_that_lacks_a_seed_is_no_mean_of_the_others(study: Study) -> None:
    (study.layout.method("main", INPUT_LAYER, "cells~1", 1) / "outside.csv").unlink()
    assert (Label(CELLS, "logodds_in", part="at 0.5", clips="white"), ALL) not in outside.measure(study).found


def test_of_a_condition_that_nobody_is_recognised_in_it_is_only_told_that(study: Study) -> None:
    for method in ("standard", "energy", "cells~0", "cells~1"):
        write(study, method, 1.0, native=9.0, lost=GROUPS)
    measured = outside.measure(study)
    assert measured.tried["white"] == (GROUPS, GROUPS, 0)
    assert {label.clips for label, _ in measured.compared} == {"clean"}
    text = outside.report(study, measured)
    assert f"| white | {GROUPS} | {GROUPS} | 0 |" in text and "## white" not in text


def test_people_are_told_which_clips_these_are(study: Study) -> None:
    text = outside.report(study, outside.measure(study))
    assert f"| white | {GROUPS} | {MOVED} | {UNUSED} |" in text
    assert "## white, 0.5 of the energy" in text and "## speech" not in text and "## mixture" not in text
    assert text.count("### Do they find the clip in it?") == 1  # of clean clips there is nothing to find
    study.config["evaluate"]["outside"] = []
    nothing = outside.measure(study)
    assert list(outside.rows(study, nothing)) == []
    assert "`evaluate.outside`" in outside.report(study, nothing)

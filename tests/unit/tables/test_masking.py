"""Whom to believe, told from made-up answers of a model: areas, claims and leads are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from earmark.metrics.masking import CURVES, NATIVE, SCORES, shares
from earmark.plan.config import fill
from earmark.stages.mask import COLUMNS, CONCEPTS
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import masking
from earmark.tables.labels import At, Label
from earmark.tables.study import Study

STANDARD, LOUD, NOISE = (At(INPUT_LAYER, name, 1) for name in ("standard", "noise", "occlusion"))
WHOLE, SILENCE = 4.0, -2.0
BUDGETS = shares([0.05, 0.1, 0.2, 0.4, 0.7])
GROUPS = 12


def answers(at: At, fall: float, rise: float, native: float | None) -> list[list[object]]:
    """Clips whose log-odds fall by `fall` at any share when the most relevant cells go, by `rise` when the least do."""
    rows = []
    for clip in range(GROUPS):
        jitter = 0.01 * clip
        for budget in BUDGETS:
            ends = (SILENCE, SILENCE) if budget == 1 else (WHOLE - fall + jitter, WHOLE - rise)
            values = dict.fromkeys((*SCORES, *CURVES), 0.5) | {
                "logodds": WHOLE,
                "logodds_in": WHOLE * budget + SILENCE * (1 - budget),
                "logodds_out": ends[0],
                "logodds_least": ends[1],
                "mean_out": ends[0],
                "mean_least": ends[1],
                "own_out": ends[1],
                "own_least": ends[0],
                "energy": budget,
            }
            rows.append(["tone", clip, f"{clip}.wav", f"g{clip}", f"{budget:g}", *values.values()])
        if native is not None:
            values = dict.fromkeys((*SCORES, *CURVES), "") | {"logodds_in": native + jitter, "energy": 0.3}
            rows.append(["tone", clip, f"{clip}.wav", f"g{clip}", NATIVE, *values.values()])
    return [
        [dict(zip(("cls", "clip", "path", "group", "budget", *SCORES, *CURVES), row, strict=True))[c] for c in COLUMNS]
        for row in rows
    ]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Noise stands for the loudest cells, the standard heatmap beats it and occlusion does not."""
    monkeypatch.setattr(masking, "LOUDEST", "noise")
    monkeypatch.setattr(masking, "CHANCE", "nothing")
    monkeypatch.setattr(masking, "MUST", ("noise", "nothing"))
    config = fill({"evaluate": {"masking": ["standard", "noise~0", "occlusion"], "bootstrap": 200}}) | {"seed": 0}
    source = SimpleNamespace(classes=[SimpleNamespace(slug="tone", name="tone")])
    study = Study(Layout(tmp_path, "demo"), source, config, "main")
    for at, name, told in (
        (STANDARD, "standard", answers(STANDARD, 4, 1, 3.0)),
        (LOUD, "noise~0", answers(LOUD, 3, 2, None)),
        (NOISE, "occlusion", answers(NOISE, 2, 3, -1.0)),
    ):
        artifacts.write_csv(study.method(at._replace(method=name)) / "masking.csv", COLUMNS, told, {})
    return study


def test_the_gain_is_the_area_between_the_curves(study: Study) -> None:
    found = masking.measure(study).found[Label(STANDARD, "srg"), ALL].interval.estimate
    budgets = np.array([0.0, *BUDGETS])
    most, least = np.full(7, WHOLE - 4 + 0.01 * (GROUPS - 1) / 2), np.full(7, WHOLE - 1)
    for curve in (most, least):
        curve[0], curve[-1] = WHOLE, SILENCE
    assert found == pytest.approx(np.trapezoid(least, budgets) - np.trapezoid(most, budgets))


def test_the_area_is_over_the_budgets_that_were_asked_for(study: Study) -> None:
    """Curves that are level between 0 and the whole clip: the fewer the budgets, the wider the first step."""
    study.config["evaluate"]["budgets"] = [0.4]
    for at, name in ((STANDARD, "standard"), (LOUD, "noise~0"), (NOISE, "occlusion")):
        path = study.method(at._replace(method=name)) / "masking.csv"
        frame = artifacts.read_csv(path)
        kept = frame[frame["budget"].isin(["0.4", "1", NATIVE])]
        artifacts.write_csv(path, COLUMNS, kept.itertuples(index=False), {})
    heard = masking.measure(study)
    gap = 4 - 1 - 0.01 * (GROUPS - 1) / 2
    assert heard.found[Label(STANDARD, "srg"), ALL].interval.estimate == pytest.approx(gap / 2)  # half of (0.4 + 0.6)
    assert "## 40 % of a clip's energy" in masking.report(study, heard)


def test_people_are_shown_a_small_and_a_large_budget() -> None:
    assert masking.shown([0.05, 0.1, 0.2, 0.4, 0.7]) == [0.1, 0.4]
    assert masking.shown([0.1, 0.3]) == [0.1, 0.3]
    assert masking.shown([0.3]) == [0.3]


def test_a_claim_needs_to_beat_the_loudest_cells(study: Study) -> None:
    heard = masking.measure(study)
    assert masking.beats(heard, Label(STANDARD, "srg", ("noise",))) is True
    assert masking.beats(heard, Label(NOISE, "srg", ("noise",))) is False
    assert masking.beats(heard, Label(LOUD, "srg", ("noise",))) is None
    assert heard.compared[Label(STANDARD, "srg", ("noise",)), ALL].interval.estimate > 0


@pytest.mark.parametrize(("fall", "expected"), [(3.9, True), (4.5, False)])
def test_a_claim_needs_to_beat_cells_by_lot_too(
    study: Study, monkeypatch: pytest.MonkeyPatch, fall: float, expected: bool
) -> None:
    """Where the loudest cells are wrong, even cells by lot beat them."""
    monkeypatch.setattr(masking, "CHANCE", "occlusion")
    monkeypatch.setattr(masking, "MUST", ("noise", "occlusion"))
    told = answers(NOISE, fall, 1, None)
    artifacts.write_csv(study.method(NOISE) / "masking.csv", COLUMNS, told, {})
    heard = masking.measure(study)
    rows = pd.DataFrame(masking.rows(study, heard), columns=list(masking.COLUMNS)).astype(str)
    assert masking.claim(heard, STANDARD, [LOUD, NOISE]) is expected
    assert masking.claim(heard, LOUD, [LOUD, NOISE]) is None
    assert masking.claim(heard, NOISE, [LOUD, NOISE]) is False  # though it beats the loudest cells
    assert masking.claims(rows) == ({STANDARD} if expected else set())


def test_a_sound_of_a_method_s_own_is_held_against_the_loudest_cells_of_its_energy(study: Study) -> None:
    heard = masking.measure(study)
    equal = WHOLE * 0.3 + SILENCE * 0.7
    lead = heard.compared[Label(STANDARD, "native_lead"), ALL].interval.estimate
    assert lead == pytest.approx(3.0 + 0.01 * (GROUPS - 1) / 2 - equal)
    assert masking.beats(heard, Label(STANDARD, "native_lead")) is True
    assert masking.beats(heard, Label(NOISE, "native_lead")) is False


def test_the_page_for_people_ranks_and_says_who_has_a_claim(study: Study) -> None:
    told = masking.report(study, masking.measure(study))
    ranked = [
        line.split(" | ") for line in told.split("## Whom to believe")[1].splitlines() if line.startswith("| input")
    ][:3]
    assert [(line[1], line[6]) for line in ranked] == [("standard", "yes"), ("noise", "–"), ("occlusion", "no")]
    assert "nan" not in told


def test_of_few_groups_nothing_is_claimed_though_all_agree(study: Study) -> None:
    """Six groups have 2^6 sign patterns, and there are more than one test."""
    for at, name, fall in ((STANDARD, "standard", 4), (LOUD, "noise~0", 3), (NOISE, "occlusion", 2)):
        told = [[*row[:3], f"g{row[1] % 6}", *row[4:]] for row in answers(at, fall, 1, 3.0)]
        artifacts.write_csv(study.method(at._replace(method=name)) / "masking.csv", COLUMNS, told, {})
    heard = masking.measure(study)
    assert heard.compared[Label(STANDARD, "srg", ("noise",)), ALL].interval.low > 0
    told = masking.report(study, heard)
    assert "| too few groups |" in told and "| yes |" not in told and "| no |" not in told


def test_the_level_and_what_stands_for_silence_are_areas_of_their_own(study: Study) -> None:
    found = {name: masking.measure(study).found[Label(STANDARD, name), ALL].interval.estimate for name in masking.AREAS}
    assert found["srg_mean"] == pytest.approx(found["srg"])
    assert found["srg_own_level"] == pytest.approx(-found["srg"])


def test_concepts_that_are_added_up_are_told_step_by_step(study: Study) -> None:
    study.config["evaluate"]["masking"] = ["drsa", "standard", "noise~0"]
    study.config["grid"] |= {"layers": ["conv1"], "methods": ["drsa"], "k": [2]}
    at = At("conv1", "drsa", 2)
    artifacts.write_csv(study.method(at) / "masking.csv", COLUMNS, answers(at, 3, 1, None), {})
    steps = [
        ["tone", clip, f"{clip}.wav", f"g{clip}", count, 3 - count, WHOLE, clip + count, clip - 10 * count]
        for clip in range(GROUPS)
        for count in (1, 2)
    ]
    artifacts.write_csv(study.method(at) / "masking_concepts.csv", CONCEPTS, steps, {})
    heard = masking.measure(study)
    mean = (GROUPS - 1) / 2
    for count in (1, 2):
        part = f"of the first {count}"
        assert heard.found[Label(at, "logodds_in", part=part), ALL].interval.estimate == pytest.approx(mean + count)
        assert heard.found[Label(at, "logodds_out", part=part), ALL].interval.estimate == mean - 10 * count
    told = masking.report(study, heard).split("## Concepts, one after the other")[1]
    assert [line.split(" | ")[1:4] for line in told.splitlines() if "drsa" in line][:2] == [["drsa", "2", "12"]] * 2
    assert "standard" not in told.split("## ")[0]


def test_a_method_with_fewer_clips_is_compared_on_those_that_both_have(study: Study) -> None:
    """It beats the loudest cells on these, though not their mean, which the clips that it lacks make."""
    few = 5
    own = answers(STANDARD, 3, 1, None)[: few * len(BUDGETS)]
    alike, easy = answers(LOUD, 2, 2, None), answers(LOUD, 8, 1, None)
    for name, told in (("standard", own), ("noise~0", alike[: few * len(BUDGETS)] + easy[few * len(BUDGETS) :])):
        artifacts.write_csv(study.method(STANDARD._replace(method=name)) / "masking.csv", COLUMNS, told, {})
    heard = masking.measure(study)
    ours, loudest = (heard.found[Label(at, "srg"), ALL] for at in (STANDARD, LOUD))
    assert (ours.n, loudest.n) == (few, GROUPS)
    assert ours.interval.estimate < loudest.interval.estimate
    difference = heard.compared[Label(STANDARD, "srg", ("noise",)), ALL]
    assert difference.n == few
    assert difference.interval.estimate > 0
    told = [line.split(" | ")[1:4] for line in masking.report(study, heard).splitlines() if line.startswith("| input")]
    assert ["standard", "1", str(few)] in told and ["noise", "1", str(GROUPS)] in told


def test_classes_are_told_apart_where_there_are_several(study: Study) -> None:
    assert "class by class" not in masking.report(study, masking.measure(study))
    study.source.classes.append(SimpleNamespace(slug="click", name="click"))
    for name, better in (("standard", "tone"), ("noise~0", "click")):
        told = [
            [cls, *row[1:]]
            for cls in ("tone", "click")
            for row in answers(STANDARD, *((4, 1) if cls == better else (1, 4)), None)
        ]
        artifacts.write_csv(study.layout.method("main", INPUT_LAYER, name, 1) / "masking.csv", COLUMNS, told, {})
    several = replace(study)
    text = masking.report(several, masking.measure(several)).split("## srg, class by class")[1]
    rows = {line.split(" | ")[1]: line.strip("| ").split(" | ")[3:] for line in text.splitlines() if "input" in line}
    signs = {
        name: [float(cell.split()[0]) > 0 for cell in cells] for name, cells in rows.items() if name != "occlusion"
    }
    assert signs == {"standard": [True, False], "noise": [False, True]}


def test_every_row_of_the_table_has_its_place(study: Study) -> None:
    rows = masking.rows(study, masking.measure(study))
    assert len({row[:5] for row in rows}) == len(rows)
    written = {(row[1], row[4]): row for row in rows if row[3] == ALL}
    assert written["standard", "logodds_in at native"][9] == GROUPS
    assert written["noise", "logodds_in at native"][9] == 0


def test_a_file_that_is_not_there_leaves_its_cells_empty(study: Study) -> None:
    (study.method(NOISE) / "masking.csv").unlink()
    heard = masking.measure(study)
    assert (Label(NOISE, "srg"), ALL) not in heard.found
    assert masking.beats(heard, Label(STANDARD, "srg", ("noise",))) is True


def test_nothing_is_made_of_nothing(study: Study) -> None:
    study.config["evaluate"]["masking"] = []
    heard = masking.measure(study)
    assert masking.rows(study, heard) == []
    assert "evaluate.masking" in masking.report(study, heard)

"""What made-up listeners are found to know."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from earmark.drawings import answers as drawings
from earmark.errors import EarmarkError
from earmark.metrics.listening import CELLS, MASKED, SIGNAL, SILENCE
from earmark.plan.config import fill
from earmark.stages.blind import KEY
from earmark.stages.listen import COLUMNS
from earmark.statistics import ALL, Interval
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import listening
from earmark.tables.labels import STANDARD, Label
from earmark.tables.listening import judged, of_people, verdict
from earmark.tables.study import Study
from earmark.tables.written import Tables

CLASSES = ["five", "nine", "one"]


def heard(clips: int = 240, groups: int = 40) -> list[list[object]]:
    """A listener to whom the mask tells the model's answer, and the clip its own class; half of the answers are right.

    A fifth of what the mask tells is guessed by lot; so are cells; silence is always called `one`.
    """
    rng, rows = np.random.default_rng(5), []
    for clip in range(clips):
        cls = CLASSES[clip % 3]
        answer = cls if clip % 2 else CLASSES[(clip + 1) % 3]
        lot = str(rng.choice(CLASSES))
        guesses = {SIGNAL: cls, MASKED: lot if rng.random() < 0.2 else answer, CELLS: lot, SILENCE: "one"}
        about = cls, clip, f"{clip}.wav", f"g{clip // 6 % groups:02d}", answer
        rows += [[*about, stimulus, guess] for stimulus, guess in guesses.items()]
    return rows


def study_of(folder: Path, rows: list[list[object]] | None) -> Study:
    settings = fill({"evaluate": {"bootstrap": 300}}) | {"seed": 0}
    settings["evaluate"]["listener"] = "ears" if rows is not None else None
    source = SimpleNamespace(classes=[SimpleNamespace(slug=cls, name=cls) for cls in CLASSES])
    study = Study(Layout(folder, "demo"), source, settings, "main")  # type: ignore[arg-type]
    if rows is not None:
        artifacts.write_csv(study.layout.listened("main"), COLUMNS, rows, {})
    return study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(tmp_path, heard())


def label(stimulus: str, part: str, metric: str = "informedness") -> Label:
    return Label(STANDARD, metric, part=stimulus, clips=listening.PARTS[part])


def test_the_model_s_answer_is_what_is_to_be_known_and_not_the_truth(study: Study) -> None:
    found = listening.measure(study).found
    right, wrong = (found[label(SIGNAL, part), ALL].interval for part in ("right", "wrong"))
    assert right.estimate == 1.0
    assert wrong.estimate == pytest.approx(-0.5)  # of two clips without an answer one bears its name
    for part in ("all", "right", "wrong"):
        one = found[label(MASKED, part), ALL]
        assert one.interval.low < one.interval.estimate < one.interval.high
        assert one.interval.estimate == pytest.approx(0.8, abs=0.12)
        assert one.n == (240 if part == "all" else 120)
        assert abs(found[label(CELLS, part), ALL].interval.estimate) < 0.2
        assert found[label(SILENCE, part), ALL].interval == (0, 0, 0)
    of_class = [found[label(MASKED, "wrong"), cls] for cls in CLASSES]
    assert [one.n for one in of_class] == [40, 40, 40]
    assert np.mean([one.interval.estimate for one in of_class]) == pytest.approx(
        found[label(MASKED, "wrong"), ALL].interval.estimate
    )


def test_the_intervals_of_listeners_who_guess_by_lot_hold_0() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(40):
        cls, answer, guess = rng.choice(CLASSES, (3, 90))
        made_up = pd.DataFrame({"cls": cls, "answer": answer, "stimulus": SIGNAL, "guess": guess})
        found = judged(made_up, pd.Series(np.arange(90) // 3), CLASSES, 100, 0).found
        low, high = found[label(SIGNAL, "all"), ALL].interval[1:]
        inside += low <= 0 <= high
    assert 34 <= inside <= 40  # 95 % of them, but for chance


def test_differences_are_paired_and_said_in_words(study: Study) -> None:
    measured = listening.measure(study)
    right, wrong = (measured.found[label(MASKED, part).less(SIGNAL), ALL].interval for part in ("right", "wrong"))
    assert right.high < 0 < wrong.low
    same = pd.DataFrame(
        [[*row[:5], stimulus, row[6]] for row in heard() if row[5] == MASKED for stimulus in (SIGNAL, MASKED)],
        columns=list(COLUMNS),
    )
    found = judged(same, same["group"], CLASSES, 50, 0).found
    assert found[label(MASKED, "wrong").less(SIGNAL), ALL].interval == (0, 0, 0)  # the same clusters are drawn for both
    text = " ".join(listening.report(study, measured).split())
    assert "Of right answers `masked` tells less than the clip alone" in text
    assert "Of wrong answers `masked` tells more than the clip alone" in text
    assert "A proxy, no people" in text and "groups of clips resampled" in text


def test_what_is_not_defined_is_empty_and_counted(study: Study) -> None:
    measured = listening.measure(study)
    rows = {(row[4], row[3]): row for row in listening.rows(study, measured)}
    assert len(next(iter(rows.values()))) == len(listening.COLUMNS)
    silent = rows[label(SILENCE, "all", "markedness").text, ALL]
    assert silent[5] == "" and silent[-1] == 3
    assert rows[label(MASKED, "all", "markedness").text, ALL][-1] == 0
    assert "| silence | 240 | 40 | 0.000 [0.000, 0.000] | – | 3 |" in listening.report(study, measured)
    of_classes = listening.report(study, measured).split("## Markedness, class by class")[1]
    assert "| silence | – | – | – |" in of_classes


def test_the_figure_is_drawn_from_the_table_alone(study: Study) -> None:
    path = study.layout.tables / "listening.csv"
    artifacts.write_csv(path, listening.COLUMNS, [], {})
    assert drawings._listening(Tables(path.parent)) is None
    artifacts.write_csv(path, listening.COLUMNS, listening.rows(study, listening.measure(study)), {})
    figure = drawings._listening(Tables(path.parent))
    assert [axis.get_title() for axis in figure.axes] == [
        f"{metric}, {part} answers" for part in ("right", "wrong") for metric in ("informedness", "markedness")
    ]
    drawn = [[line for line in axis.lines if line.get_marker() == "o"] for axis in figure.axes]
    assert [len(points) for points in drawn] == [4, 3, 4, 3]  # silence has no markedness
    assert drawn[2][0].get_xdata()[0] == -0.5


def test_one_speaker_has_no_interval(tmp_path: Path) -> None:
    study = study_of(tmp_path, heard(60, groups=1))
    measured = listening.measure(study)
    interval = measured.found[label(MASKED, "right"), ALL].interval
    assert math.isfinite(interval.estimate) and math.isnan(interval.low)
    assert "tells nobody knows whether more than the clip alone" in listening.report(study, measured)


def test_a_difference_is_claimed_only_outside_its_interval() -> None:
    said = [verdict(Interval(0.1, *bounds)) for bounds in ((0.05, 0.2), (-0.2, -0.05), (-0.1, 0.3))]
    assert said == ["more than", "less than", "as much, for all we know, as"]


def test_nobody_was_asked(tmp_path: Path) -> None:
    study = study_of(tmp_path, None)
    nothing = listening.measure(study)
    assert list(listening.rows(study, nothing)) == []
    assert "`evaluate.listener`" in listening.report(study, nothing)


def kit(folder: Path) -> tuple[Layout, list[list[object]]]:
    layout = Layout(folder, "demo")
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls, 9] for cls in CLASSES], {})
    rows = heard(48)
    names = [f"{number:03d}.wav" for number in range(len(rows))]
    key = [[name, "", row[1], row[2], row[3], row[0], row[4], row[5]] for name, row in zip(names, rows, strict=True)]
    artifacts.write_csv(layout.key("main"), KEY, key, {})
    return layout, [[name, row[6]] for name, row in zip(names, rows, strict=True)]


def answers(path: Path, rows: list[list[object]]) -> Path:
    artifacts.write_csv(path, ["file", "guess"], rows, {})
    return path


def test_people_are_judged_by_the_same_functions_over_listeners(tmp_path: Path) -> None:
    layout, told = kit(tmp_path)
    one = answers(tmp_path / "ann.csv", told)
    text = of_people(layout, "main", [one], 100)
    assert "1 listeners, 192 guesses of 192." in text and "| groups of clips |" in text
    constant = answers(tmp_path / "bob.csv", [[name, "nine"] for name, _ in told])
    part = answers(tmp_path / "cyd.csv", told[:100])
    text = of_people(layout, "main", [one, constant, part], 100)
    assert "3 listeners, 484 guesses of 576." in text and "| listeners |" in text
    assert f"- {constant}: all guesses are alike: nine." in text
    assert f"- {part}: 92 without a guess" in text
    key = artifacts.read_csv(layout.key("main")).set_index("file")
    alone = pd.DataFrame(told, columns=["file", "guess"]).join(key, on="file")
    found = judged(alone, alone["group"], CLASSES, 10, 0).found[label(SIGNAL, "wrong"), ALL].interval.estimate
    assert f"| signal | 24 | 8 | {found:.3f}" in of_people(layout, "main", [one], 100)


def test_answers_to_a_kit_that_is_gone_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EarmarkError, match=r"'.*demo/main/key.csv' is missing"):
        of_people(Layout(tmp_path, "demo"), "main", [tmp_path / "ann.csv"], 10)

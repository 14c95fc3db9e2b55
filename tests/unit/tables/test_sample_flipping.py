"""What is claimed of relevance, told from made-up answers while samples go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from earmark.metrics.samples import AMPLITUDE, MATCHED, ORDERS, RANDOM, RELEVANCE, shares
from earmark.plan.config import fill
from earmark.stages.flip import COLUMNS
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import sample_flipping
from earmark.tables.labels import Label
from earmark.tables.sample_flipping import ANSWERED, LOGIT, PLACES
from earmark.tables.study import Study

FLIPS = [0.01, 0.1, 0.5]
CLASSES = ("low", "high")
SPEAKERS = 8
KEEP = {RANDOM: 0.5, AMPLITUDE: 0.1, RELEVANCE: 0.01, MATCHED: 0.1}
"""Share at which an order still leaves the class answered; the logit falls by 1 at every further one."""


def write(study: Study, speakers: int = SPEAKERS, gap: float = 2.0) -> None:
    rows = []
    for cls in CLASSES:
        for clip in range(2 * speakers):
            for order in ORDERS:
                for place, share in enumerate(shares(FLIPS)):
                    answered = float(share <= KEEP[order])
                    better = gap * (order == RELEVANCE) * (0 < share < 1) * (cls == "low")
                    energy = {0.0: 0.0, 1.0: 1.0}.get(share, share if order == RANDOM else share**0.25)
                    logit = 5 - place - better + 0.01 * (clip // 2)
                    about = cls, 100 * (cls == "low") + clip, f"{clip}.wav", f"speaker{clip // 2}"
                    rows.append((*about, order, share, logit, answered, energy))
    artifacts.write_csv(study.layout.flipped("main"), COLUMNS, rows, {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    config = fill({"model": {"architecture": "audionet-s"}, "evaluate": {"flips": FLIPS}})
    source = SimpleNamespace(classes=[SimpleNamespace(slug=cls, name=cls) for cls in CLASSES])
    study = Study(Layout(tmp_path, "demo"), source, config | {"seed": 0}, "main")  # type: ignore[arg-type]
    write(study)
    return study


def table(study: Study) -> pd.DataFrame:
    path = study.layout.tables / "sample_flipping.csv"
    rows = sample_flipping.rows(study, sample_flipping.measure(study))
    artifacts.write_csv(path, sample_flipping.COLUMNS, rows, {})
    return artifacts.read_csv(path)


def test_areas_are_over_samples_and_over_the_energy_of_each_clip(study: Study) -> None:
    found = sample_flipping.measure(study).found
    at = np.array(shares(FLIPS))
    for order in ORDERS:
        answered = (at <= KEEP[order]).astype(float)
        energy = at if order == RANDOM else np.where(at < 1, at**0.25, 1)
        for over, axis in (("samples", at), ("energy", energy)):
            one = found[Label(PLACES[order], f"answered_over_{over}"), ALL].interval.estimate
            assert one == pytest.approx(np.trapezoid(answered, axis))
    assert found[Label(PLACES[RELEVANCE], ANSWERED, part="0.1"), ALL].interval.estimate == 0
    assert found[Label(PLACES[AMPLITUDE], "removed", part="0.1"), "low"].interval.estimate == pytest.approx(0.1**0.25)


OVER = Label(PLACES[RELEVANCE], "remaining_logit_over_samples", (MATCHED,))
AT = Label(PLACES[RELEVANCE], LOGIT, (MATCHED,), "0.1")


def test_a_claim_is_what_relevance_does_more_than_the_same_among_equal_sizes(study: Study) -> None:
    """Not what it does more than samples by lot, or than the largest; and it is of areas over all classes alone."""
    flipped = sample_flipping.measure(study)
    assert {minus for label in sample_flipping.comparisons(FLIPS) for minus in label.minus} == {MATCHED}
    for cls, difference in (("low", -2), ("high", 0), (ALL, -1)):
        assert flipped.compared[AT, cls].interval.estimate == pytest.approx(difference)
    tested = {(label.text, cls) for (label, cls), one in flipped.compared.items() if np.isfinite(one.p)}
    assert tested == {(f"{name}_{over} - matched", ALL) for name in (ANSWERED, LOGIT) for over in sample_flipping.OVER}
    assert flipped.compared[OVER, ALL].p < 0.05
    assert [sample_flipping.claim(flipped, label) for label in (OVER, AT)] == ["yes", "–"]


def test_what_is_worse_than_its_control_is_no_claim(study: Study) -> None:
    write(study, gap=-2.0)
    flipped = sample_flipping.measure(study)
    assert flipped.compared[OVER, ALL].p < 0.05
    assert sample_flipping.claim(flipped, OVER) == "no"


@pytest.mark.parametrize(("speakers", "expected"), [(7, "too few groups"), (8, "yes")])
def test_of_few_speakers_nothing_is_claimed(study: Study, speakers: int, expected: str) -> None:
    """Of seven who all agree, p is 4 x 2 / 2^7."""
    write(study, speakers=speakers)
    flipped = sample_flipping.measure(study)
    assert flipped.compared[OVER, ALL].interval.high < 0
    assert (flipped.compared[OVER, ALL].p < 0.05) == (expected == "yes")
    assert sample_flipping.claim(flipped, OVER) == expected
    assert f"| {expected} |" in sample_flipping.report(study, flipped)


def test_every_row_has_its_place_and_none_compares_where_all_orders_agree(study: Study) -> None:
    frame = table(study)
    assert not frame.duplicated(["order", "less", "metric", "share", "cls"]).any()
    assert (frame["estimate"] != "").all()
    assert set(frame.loc[frame["less"] != "", "share"]) == {"", *map(str, FLIPS)}
    assert set(frame.loc[frame["less"] != "", "order"]) == {RELEVANCE}
    tested = frame[frame["p"] != ""]
    assert set(tested["cls"]) == {ALL} and set(tested["less"]) == {MATCHED} and len(tested) == 4
    assert set(frame["n"]) == {str(2 * SPEAKERS), str(4 * SPEAKERS)}


def test_the_figure_s_curves_are_read_from_the_table(study: Study) -> None:
    curves = sample_flipping.curves(table(study))
    assert list(curves) == list(ORDERS)
    for order, curve in curves.items():
        assert [share for share, _, _ in curve] == list(shares(FLIPS))
        assert [bar[0] for _, _, bar in curve] == [float(share <= KEEP[order]) for share in shares(FLIPS)]
        assert [energy for _, energy, _ in curve] == sorted(energy for _, energy, _ in curve)


def test_people_read_what_may_be_claimed(study: Study) -> None:
    text = sample_flipping.report(study, sample_flipping.measure(study))
    assert "with nothing else.**" in text and "nan" not in text
    tables = text.split("\n## ")[1:]
    assert [one.splitlines()[0] for one in tables] == [
        "Clips whose class is still answered",
        "Logit of the class that is left",
        "Share of the energy that has gone",
        "Class by class: relevance less matched",
    ]
    rows = {line.split(" | ")[0]: line.strip("| ").split(" | ") for line in tables[0].splitlines() if line[:1] == "|"}
    assert rows["| 0 %"][-2:] == rows["| 100 %"][-2:] == ["–", "–"]
    assert rows["| 10 %"][2].startswith("1.000") and rows["| 10 %"][3].startswith("0.000")
    assert rows["| 10 %"][-1] == "–" and rows["| over samples"][-1] == "yes"
    assert "| over energy |" in tables[1]


def test_nothing_is_made_of_nothing(study: Study) -> None:
    study.layout.flipped("main").unlink()
    assert sample_flipping.measure(study) is None
    study.config["evaluate"]["flips"] = []
    assert sample_flipping.rows(study, None) == []
    assert "`evaluate.flips`" in sample_flipping.report(study, None)

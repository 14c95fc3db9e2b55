"""Medians of made-up likenesses, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.metrics.sanity import CHECKS
from earmark.plan.config import fill
from earmark.stages.sanity import COLUMNS
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, Layout
from earmark.tables import sanity
from earmark.tables.labels import At, Label
from earmark.tables.study import Study

STANDARD, NOISE = (At(INPUT_LAYER, name, 1) for name in ("standard", "noise"))


def likeness(clip: int, check: str) -> float:
    return CHECKS.index(check) / 10 + (clip - 4) ** 3 / 1000  # skewed: the median is no mean


def write(study: Study, method: str, shift: float, checks: tuple[str, ...] = CHECKS) -> None:
    rows = [
        ["tone", clip, f"{clip}.wav", f"g{clip}", check, likeness(clip, check) + shift, "" if check == "seed" else 0.5]
        for clip in range(8)
        for check in checks
    ]
    artifacts.write_csv(study.layout.method("main", INPUT_LAYER, method, 1) / "sanity.csv", COLUMNS, rows, {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    settings = {"evaluate": {"sanity": ["standard", "noise~0", "noise~1", "occlusion"], "bootstrap": 200}}
    source = SimpleNamespace(classes=[SimpleNamespace(slug="tone", name="tone")])
    study = Study(Layout(tmp_path, "demo"), source, fill(settings) | {"seed": 0}, "main")  # type: ignore[arg-type]
    write(study, "standard", 0.0, CHECKS[:4])
    write(study, "noise~0", 0.1)
    write(study, "noise~1", 0.3)
    return study


def test_medians_are_over_clips_and_seeds_are_averaged_before(study: Study) -> None:
    found = sanity.measure(study).found
    for at, shift in ((STANDARD, 0.0), (NOISE, 0.2)):
        for check in CHECKS[:4]:
            one = found[Label(at, "sanity_cosine", part=check), ALL]
            wanted = np.median([likeness(clip, check) + shift for clip in range(8)])
            assert one.interval.estimate == pytest.approx(wanted)
            assert one.interval.low <= wanted <= one.interval.high
            assert one.n == 8


def test_what_was_not_measured_is_empty(study: Study) -> None:
    tried = sanity.measure(study)
    rows = {(row[1], row[4]): row for row in sanity.rows(study, tried) if row[3] == ALL}
    assert len(rows) == 3 * 2 * len(CHECKS)
    assert rows["standard", "sanity_cosine network"][5] != ""
    for missing in (
        ("standard", "sanity_cosine shift"),
        ("noise", "sanity_spearman seed"),
        ("occlusion", "sanity_cosine class"),
    ):
        assert rows[missing][5] == "", missing
    (study.layout.method("main", INPUT_LAYER, "noise~1", 1) / "sanity.csv").unlink()
    assert not [at for (at, *_), _ in sanity.measure(study).found if at == NOISE]  # no mean of some seeds


def test_people_are_told_what_the_checks_cannot_show(study: Study) -> None:
    text = sanity.report(study, sanity.measure(study))
    assert "| input | occlusion | 1 | – | – | – | – | – |" in text
    assert text.count("| layer | method | K | network | class | seed | noise | shift |") == 2
    assert "random ones pass" in " ".join(text.split())
    study.config["evaluate"]["sanity"] = []
    nothing = sanity.measure(study)
    assert list(sanity.rows(study, nothing)) == []
    assert "`evaluate.sanity`" in sanity.report(study, nothing)

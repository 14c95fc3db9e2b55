"""Relevance that was put into one band is found there, and the sound's energy where the sound is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from earmark.data import chosen
from earmark.data.chosen import SCORED
from earmark.data.dataset import open_dataset
from earmark.drawings.answers import SPREAD
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.figures.frequency import shares
from earmark.job import Job
from earmark.plan.config import fill
from earmark.stages import ingest
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import frequency
from earmark.tables.frequency import AGAINST, ENERGY, FOR
from earmark.tables.labels import STANDARD
from earmark.tables.study import Study
from tests.unit.stages.test_ingest import FRONTEND, tone, write

CLASSES, PER_CLASS = {"deep": 500.0, "high": 2000.0}, 6
"""Hz of what is heard; recordings, two a group."""

RELEVANT = 1000.0
"""Hz where all relevance was put."""

CONFIG = {
    **fill(
        {
            "source": "folder",
            "frontend": FRONTEND,
            "clips_per_recording": 1,
            "group": "/(.)",
            "evaluate": {"bootstrap": 100},
        }
    ),
    "seed": 0,
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Write clips of two tones and their standard heatmaps."""
    root, results = (tmp_path_factory.mktemp(name) for name in ("recordings", "results"))
    for cls, hertz in CLASSES.items():
        for number in range(PER_CLASS):
            write(root / cls / f"{number // 2}{number % 2}.wav", tone(hertz + number, 0.225))
    ingest.run(Job("ingest", results, "mine", {**CONFIG, "root": str(root)}))
    layout = Layout(results, "mine")
    source = open_dataset(layout)
    place = int((source.frontend.frequencies - RELEVANT).abs().argmin())
    rows = []
    for cls in source.classes:
        clips = source.of_class(np.arange(len(source.clips)), cls)
        maps = torch.zeros(len(clips), 1, *source.frontend.grid)
        maps[:, :, :, place] = 1.0
        maps[::2, :, :, -1, 0] = -3.0  # of every other clip something speaks against it
        every = torch.ones(len(clips), dtype=torch.bool)
        path = layout.concept("main", *STANDARD, cls.slug) / explanation.NAME
        found = Explanation(torch.from_numpy(clips), every.float(), every, every.clone(), maps, None, None, 0, {}, path)
        explanation.write(found, {})
        rows += [[clip, cls.slug, 1.0, SCORED, ""] for clip in clips]
    artifacts.write_csv(layout.chosen("main"), chosen.COLUMNS, rows, {})
    return Study(layout, source, CONFIG, "main")


def table(study: Study) -> dict[tuple[str, str, float], list[str]]:
    """Read rows by metric, class and where their band begins."""
    artifacts.write_csv(
        study.layout.tables / "frequency.csv", frequency.COLUMNS, frequency.rows(study, frequency.measure(study)), {}
    )
    frame = artifacts.read_csv(study.layout.tables / "frequency.csv")
    return {(row.metric, row.cls, float(row.from_hz), float(row.to_hz)): row for row in frame.itertuples(index=False)}


def bands(found: dict, metric: str, cls: str) -> dict[tuple[float, float], object]:
    """Select the bands of a metric."""
    return {key[2:]: row for key, row in found.items() if key[:2] == (metric, cls)}


def test_shares_lie_where_relevance_and_sound_were_put(study: Study) -> None:
    found = table(study)
    for cls, hertz in CLASSES.items():
        for metric, where in ((FOR, RELEVANT), (ENERGY, hertz)):
            told = {band: float(row.estimate) for band, row in bands(found, metric, cls).items()}
            assert sum(told.values()) == pytest.approx(1, abs=1e-4)
            low, high = max(told, key=lambda band: told[band])
            assert low <= where < high
            assert told[low, high] == (1 if metric == FOR else pytest.approx(1, abs=0.3))
        against = bands(found, AGAINST, cls)
        assert {row.n for row in against.values()} == {"3"}  # of clips that have any
        assert float(against[max(against)].estimate) == 1
    assert {row.n for row in bands(found, FOR, ALL).values()} == {"12"}
    assert {row.left_out for row in bands(found, FOR, ALL).values()} == {"0"}


def test_what_is_more_than_the_sound_s_share_is_tested(study: Study) -> None:
    found = {key: row for key, row in table(study).items() if key[0] == f"{FOR} - {ENERGY}"}
    above = {key[1:] for key, row in found.items() if float(row.estimate) > 0.1}
    assert {cls for cls, low, high in above if low <= RELEVANT < high} == {*CLASSES, ALL}
    assert {low <= RELEVANT < high for _, low, high in above} == {True}
    assert all(0 < float(row.p) <= 1 for row in found.values())


def test_people_and_figures_are_told_the_same(study: Study) -> None:
    measured = frequency.measure(study)
    text = frequency.report(study, measured)
    assert text.count("| 891-1122 Hz | 1.000 [1.000, 1.000] |") == 2
    assert "It follows the sound" in " ".join(text.split())
    table(study)
    curves = frequency.curves(artifacts.read_csv(study.layout.tables / "frequency.csv"))
    assert list(curves) == [ALL, *CLASSES]
    assert {metric: curve.shape for metric, curve in curves["deep"].items()} == dict.fromkeys(
        (FOR, AGAINST, ENERGY), (len(measured.bands), 5)
    )
    figure = shares({name: curves[name] for name in CLASSES}, SPREAD, "title")
    figure.draw_without_rendering()
    assert [axis.get_title() for axis in figure.axes] == list(CLASSES)
    low, high = figure.axes[0].get_xlim()
    assert 0 < low < measured.bands[0][1] and high == 8000


def test_nothing_is_told_of_cells_whose_place_nobody_knows(study: Study) -> None:
    source = SimpleNamespace(frontend=SimpleNamespace(frequencies=None, times=None), classes=study.source.classes)
    blind = replace(study, source=source)  # type: ignore[arg-type]
    measured = frequency.measure(blind)
    assert list(frequency.rows(blind, measured)) == []
    assert "does not say where" in frequency.report(blind, measured)


def test_what_was_not_explained_leaves_empty_cells(study: Study) -> None:
    other = replace(study, split="net1")
    rows = list(frequency.rows(other, frequency.measure(other)))
    assert frequency.curves(pd.DataFrame(rows, columns=list(frequency.COLUMNS))) == {}
    assert len(rows) == 4 * len(frequency.bands_of(study.source.frontend)) * 3
    assert {row[5] for row in rows} == {""}

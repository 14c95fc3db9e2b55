"""A listener that knows high from low: scaled towards the other class it is deceived, else never."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import Tensor, nn

from earmark.data.dataset import open_dataset
from earmark.job import Job
from earmark.metrics.scaling import AS_IS, AWAY, BACK, CONDITIONS, SCALED
from earmark.models import base as models
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.sound.kinds import from_settings
from earmark.stages import choose, ingest, predict, scale
from earmark.statistics import ALL
from earmark.store import artifacts
from earmark.store.layout import Layout
from earmark.tables import scaling
from earmark.tables.study import Study
from tests.unit.stages.test_ingest import FRONTEND, RATE, tone, write

BETWEEN, FACTOR, PER_CLASS = 560.0, 1.7, 12
"""Hz that divide the classes; what turns the lower into the higher; recordings, each a group."""

CONFIG = {
    **fill(
        {
            "source": "folder",
            "frontend": FRONTEND,
            "clips_per_recording": 1,
            "explain": {"clips": 2, "gallery": 5},
            "evaluate": {"scaling": {"low": FACTOR, "High": 1 / FACTOR}, "bootstrap": 50},
        }
    ),
    "seed": 0,
    "torch_threads": 1,
}


class Above(nn.Module):
    """Says how much more lies above a frequency than below it: logits of the classes `high` and `low`."""

    def __init__(self, frequencies: Tensor) -> None:
        super().__init__()
        self.register_buffer("above", frequencies > BETWEEN)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = (10**inputs).sum(dim=(1, 3))  # [B, F]
        margin = rows[:, self.above].sum(dim=1).log10() - rows[:, ~self.above].sum(dim=1).log10()
        return torch.stack([margin, -margin], dim=1)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Return what there is once clips were answered as they are and scaled."""
    root, results = (tmp_path_factory.mktemp(name) for name in ("recordings", "results"))
    for number in range(PER_CLASS):
        for name, hertz in (("low", 380 + 5 * number), ("High", 700 + 5 * number)):
            write(root / name / f"{number}.wav", tone(hertz, 0.225))
    layout = Layout(results, "mine")
    frontend = from_settings(CONFIG["frontend"])
    listener = Network(Above(frontend.frequencies), frontend, ("high", "low"), {})
    artifacts.write_tensors(layout.model("main"), {"nothing": torch.zeros(1)}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "of", lambda job: listener)
        for stage in (ingest, predict, choose, scale):
            name = stage.__name__.rpartition(".")[2]
            stage.run(Job(name, results, "mine", {**CONFIG, "root": str(root)}, split="main"))
    return layout


def study(layout: Layout, **evaluate: object) -> Study:
    config = {**CONFIG, "evaluate": {**CONFIG["evaluate"], **evaluate}}
    return Study(layout, open_dataset(layout), config, "main")


def test_every_test_clip_is_answered_in_every_condition(layout: Layout) -> None:
    rows = artifacts.read_rows(layout.split("main") / "scaled.csv")
    test = open_dataset(layout).split("main").test
    wanted = {(str(clip), condition, answer) for clip in test for condition in CONDITIONS for answer in ("high", "low")}
    assert {(row["clip"], row["condition"], row["answer"]) for row in rows} == wanted
    assert len(rows) == len(wanted) > 2 * CONFIG["explain"]["clips"] * len(CONDITIONS) * 2  # more than are explained
    logits = artifacts.read_csv(layout.predictions("main"))
    for row in rows:
        if row["condition"] == AS_IS:
            assert float(row["logit"]) == pytest.approx(float(logits[row["answer"]][int(row["clip"])]), abs=1e-5)
        assert (row["answered"] == "1") == (float(row["logit"]) > 0)


def test_a_listener_to_pitch_is_turned_by_scaling_alone(layout: Layout) -> None:
    measured = scaling.measure(study(layout))
    rows = {(row[0], row[5], row[6]): row for row in scaling.rows(study(layout), measured)}
    for cls, other in (("low", "high"), ("high", "low")):
        told = {condition: float(rows[condition, cls, "scaled_accuracy"][7]) for condition in CONDITIONS}
        assert told == {AS_IS: 1, BACK: 1, SCALED: 0, AWAY: 1}
        assert [float(rows[condition, cls, f"turned {other}"][7]) for condition in CONDITIONS] == [0, 0, 1, 0]
        margins = [float(rows[condition, cls, "margin"][7]) for condition in CONDITIONS]
        assert margins[2] < 0 < min(margins[0], margins[1], margins[3])
        assert (AS_IS, cls, f"turned {cls}") not in rows
        assert float(rows[SCALED, cls, "margin"][1]) == pytest.approx(FACTOR if cls == "low" else 1 / FACTOR, rel=1e-5)
    assert float(rows[SCALED, ALL, "scaled_accuracy"][7]) == 0
    assert all(len(row) == len(scaling.COLUMNS) for row in rows.values())
    text = scaling.report(study(layout), measured)
    assert text.count("| there and back | 1.000 [1.000, 1.000] | 0.000 [0.000, 0.000] |") == 2
    assert "frequencies times 1.7" in text


def test_nothing_is_told_where_nothing_was_asked_for(layout: Layout) -> None:
    asked = study(layout, scaling={})
    assert list(scaling.rows(asked, scaling.measure(asked))) == []
    assert "`evaluate.scaling`" in scaling.report(asked, scaling.measure(asked))
    fewer = study(layout, scaling={"low": FACTOR})
    found = list(scaling.rows(fewer, scaling.measure(fewer)))
    assert {row[5] for row in found} == {"low", ALL}


def test_what_was_not_answered_leaves_empty_cells(layout: Layout) -> None:
    elsewhere = replace(study(layout), split="cv0")
    rows = list(scaling.rows(elsewhere, scaling.measure(elsewhere)))
    assert len(rows) == len(CONDITIONS) * (4 * 3 - 2)  # nobody is turned to what he is
    assert {row[7] for row in rows} == {""}


def test_sounds_of_the_gallery_are_beside(layout: Layout) -> None:
    source = open_dataset(layout)
    for cls, factor in (("low", FACTOR), ("high", 1 / FACTOR)):
        folder = layout.split("main") / "scaled" / cls
        listed = artifacts.read_rows(folder / "clips.csv")
        assert [row["folder"] for row in listed] == ["000", "001", "002"][: len(listed)] != []
        for row in listed:
            made = {path.stem: path for path in (folder / row["folder"]).iterdir()}
            assert set(made) == {"as-it-is", "there-and-back", "scaled", "scaled-away"}
            read = {name: wavfile.read(path) for name, path in made.items()}
            assert {(rate, len(samples)) for rate, samples in read.values()} == {(RATE, source.clip_samples)}
            np.testing.assert_array_equal(read["as-it-is"][1], source.waveforms([int(row["clip"])])[0].numpy())
            pitch = {name: loudest(samples) for name, (_, samples) in read.items()}
            assert pitch["scaled"] == pytest.approx(factor * pitch["as-it-is"], rel=0.02)
            assert pitch["there-and-back"] == pytest.approx(pitch["as-it-is"], rel=0.02)
            assert pitch["scaled-away"] == pytest.approx(pitch["as-it-is"] / factor, rel=0.02)
    contents = {row["file"] for row in artifacts.read_rows(layout.split("main") / "scaled_sounds.csv")}
    files = (layout.split("main") / "scaled").rglob("*")
    made = {path.relative_to(layout.split("main")).as_posix() for path in files if path.is_file()}
    assert contents == {name for name in made if not name.endswith(".json")}


def loudest(samples: np.ndarray) -> float:
    """Find the loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * RATE))
    return float(spectrum.argmax()) / 8

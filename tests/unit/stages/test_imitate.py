"""Stage ``imitate`` and its tables, from a training of two epochs."""

import numpy as np
import pytest

from earmark.drawings import explainers as drawings
from earmark.figures.style import save
from earmark.job import Job
from earmark.plan.config import fill
from earmark.stages import imitate, learn
from earmark.store import artifacts
from earmark.tables import components, components_spectra, fidelity
from earmark.tables.study import Study
from earmark.tables.written import Tables
from tests.unit.conftest import STRIPES, STRIPES_PER_FOLD, chosen, copied

METHOD = "l2i"
COUNT = 6


def job_of(layout, stage: str, method: str = METHOD) -> Job:
    own = {"components": COUNT, "channels": 4, "clips": 24, "epochs": 2, "batch_size": 8}
    config = fill({"explainers": {"l2i": own}, "evaluate": {"fidelity": [method], "bootstrap": 50}})
    shared = {"seed": 0, "torch_threads": 1}
    return Job(stage, layout.results, layout.dataset, config | shared, split="main", method=method)


@pytest.fixture(scope="module")
def imitated(noisy, tmp_path_factory):
    layout = copied(noisy, tmp_path_factory.mktemp("imitated"))
    chosen(layout)
    learn.run(job_of(layout, "learn"))
    imitate.run(job_of(layout, "imitate"))
    return layout


@pytest.fixture(scope="module")
def study(imitated) -> Study:
    return Study.of(job_of(imitated, "compare"))


def read(layout, name: str):
    return artifacts.read_csv(layout.trained("main", METHOD) / name)


def test_every_test_clip_is_answered(imitated):
    answered = read(imitated, "imitated.csv")
    assert len(answered) == 2 * STRIPES_PER_FOLD
    assert set(answered["cls"]) <= set(STRIPES)
    predicted = artifacts.read_csv(imitated.predictions("main")).iloc[:, 1:].astype(float).to_numpy()
    given = np.array(STRIPES)[predicted.argmax(axis=1)][answered["clip"].astype(int)]
    assert ((answered["answer"] == given) == (answered["top1"] == "1")).all()
    assert ((answered["cls"] == answered["answer"]) == (answered["right"] == "1")).all()
    assert (answered["right_network"] == answered["right_model"]).all()
    assert (answered["top5"] == "").all()  # of two classes


def test_components_are_told_clip_by_clip(imitated):
    parts = read(imitated, "components.csv").astype({"contribution": float, "share": float})
    by_clip = parts.groupby("clip")
    assert (by_clip.size() == COUNT).all()
    assert (by_clip["share"].sum() < 1 + 1e-4).all() and (parts["share"] > -1e-6).all()
    removed = read(imitated, "removed.csv").astype({"threshold": float, "components": int})
    widest = removed[removed["threshold"] == 0.1].set_index("clip")["components"]
    above = by_clip["contribution"].apply(lambda own: int((own / own.abs().max() > 0.1).sum()))
    assert (widest.loc[above.index] == above).all()


def test_the_same_run_gives_the_same_bytes(imitated, tmp_path):
    again = copied(imitated, tmp_path)
    imitate.run(job_of(again, "imitate"))
    for name in ("imitated.csv", "removed.csv", "components.csv", "spectra.csv"):
        first, second = (layout.trained("main", METHOD) / name for layout in (imitated, again))
        assert first.read_bytes() == second.read_bytes()


def test_the_table_holds_the_means_of_its_clips(study, imitated):
    measured = fidelity.measure(study)
    rows = {(row[0], row[4], row[5]): row for row in fidelity.rows(study, measured)}
    assert all(len(row) == len(fidelity.COLUMNS) for row in rows.values())
    answered = read(imitated, "imitated.csv")
    means = answered.assign(top1=answered["top1"].astype(float)).groupby("cls")["top1"].mean()
    estimate, low, high = (float(value) for value in rows["", "all", "fidelity"][6:9])
    assert estimate == pytest.approx(means.mean(), abs=1e-5) and low <= estimate <= high
    for cls, mean in means.items():
        assert float(rows["", cls, "fidelity"][6]) == pytest.approx(mean, abs=1e-5)
    own, others, lead = (
        rows["0.1", "all", name][6] for name in ("removed_ff", "removed_ff others", "removed_ff - others")
    )
    if others:
        removed = read(imitated, "removed.csv")
        paired = removed[(removed["threshold"] == "0.1") & (removed["random_ff"] != "")]
        wanted = (paired["ff"].astype(float) - paired["random_ff"].astype(float)).groupby(paired["cls"]).mean().mean()
        assert float(lead) == pytest.approx(wanted, abs=1e-5)
    assert own
    assert "| l2i |" in fidelity.report(study, measured)


def test_components_have_a_table_a_spectrum_and_a_figure(study, imitated, tmp_path):
    known = components.measure(study)
    rows = list(components.rows(study, known))
    assert all(len(row) == len(components.COLUMNS) for row in rows)
    assert {row[0] for row in rows} == {str(number) for number in range(1, COUNT + 1)}
    spectra = components_spectra.measure(study)
    assert f"| {COUNT} |" in components.report(study, known)
    tables = {"components": (components, rows), "components_spectra": (components_spectra, None)}
    for name, (table, made) in tables.items():
        content = made or list(table.rows(study, spectra))
        artifacts.write_csv(tmp_path / f"{name}.csv", table.COLUMNS, content, {})
    figure = drawings._components(study, Tables(tmp_path), METHOD)
    save(figure, tmp_path / "figure.png")
    assert figure.axes[0].get_images()[0].get_array().shape[1] == COUNT
    assert drawings._components(study, Tables(tmp_path), "another") is None


def test_nothing_is_asked_for(noisy):
    study = Study.of(Job("compare", noisy.results, noisy.dataset, fill({}) | {"seed": 0}, split="main"))
    for table, measured in ((fidelity, fidelity.measure(study)), (components, components.measure(study))):
        assert list(table.rows(study, measured)) == []
        assert "(key `evaluate.fidelity`)" in table.report(study, measured)

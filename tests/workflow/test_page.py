"""The page of the tiny grid: what it loads is there, sounds sum up, and the model says of them what it says."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.models import base as models
from tests.unit.page import test_files
from tests.unit.page.test_files import read


@pytest.fixture(scope="module")
def folder(complete) -> Path:
    return complete.folder / "results/synthetic/report/files"


@pytest.fixture(scope="module")
def data(folder) -> dict:
    return read(folder, "data")


def sound(folder: Path, about: dict) -> np.ndarray:
    """Decode a sound at its true level."""
    if about["key"] is None:
        return np.zeros(1)
    samples, rate = test_files.sound(folder, about["key"])
    assert rate == 16000
    return about["gain"] * samples


def decibels(error: np.ndarray, whole: np.ndarray) -> float:
    return 10 * np.log10((error**2).sum() / (whole**2).sum() + 1e-12)


def test_all_that_it_names_is_there_and_nothing_else(folder, data):
    views = [read(folder, f"views/{view['id']}") for view in data["views"]]
    assert [view["id"] for view in views] == [view["id"] for view in data["views"]]
    wholes = [
        whole
        for view in views
        for whole in (*view["clips"], *(clip for concept in view["concepts"] for clip in concept["clips"]))
    ]
    played = {part["key"] for whole in wholes for part in whole["sounds"] if part["key"]}
    named = {f"{key}.js" for key in played} | {f"{whole['picture']['stored']}.js" for whole in wholes}
    named |= {f"views/{view['id']}.js" for view in data["views"]} | {f"{table['key']}.js" for table in data["tables"]}
    named |= {figure["file"] for figure in data["figures"]}
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.parent != folder}
    assert named == {name for name in made if not (folder / name).is_dir() and not Path(name).name.startswith(".")}
    assert {"flipping", "concepts", "ground_truth", "recovery"} <= {table["name"] for table in data["tables"]}
    assert any(figure["file"].startswith("figures/learning_drsa") for figure in data["figures"])


def test_every_class_layer_and_k_of_what_is_heard_has_a_view(data):
    heard = [method["name"] for method in data["methods"] if method["heard"]]
    assert heard == ["drsa"]
    assert {(view["cls"], view["layer"], view["k"]) for view in data["views"] if view["method"] == "drsa"} == {
        (cls, layer, 4) for cls in ("class1", "class2") for layer in ("conv2", "conv4")
    }
    assert [cls["clips"] > 0 and not cls["reason"] for cls in data["classes"]] == [True, True]


def test_sounds_of_concepts_sum_to_the_standard_one_and_with_the_rest_to_the_clip(folder, data):
    for view in data["views"]:
        for clip in read(folder, f"views/{view['id']}")["clips"] if view["method"] == "drsa" else ():
            parts = {part["name"]: sound(folder, part) for part in clip["sounds"]}
            assert list(parts) == ["input", "standard", *(f"concept{n}" for n in range(1, view["k"] + 1)), "rest"]
            concepts = sum(parts[f"concept{n}"] for n in range(1, view["k"] + 1))
            assert decibels(concepts - parts["standard"], parts["input"]) < -60
            assert decibels(parts["standard"] + parts["rest"] - parts["input"], parts["input"]) < -60


def test_the_clip_is_heard_in_views_of_controls_too_from_the_same_file(folder, data):
    heard = {method["name"]: method["heard"] for method in data["methods"]}
    views = [read(folder, f"views/{view['id']}") for view in data["views"]]
    assert not all(heard.values())
    for view in views:
        for clip in view["clips"]:
            assert heard[view["method"]] or [part["name"] for part in clip["sounds"]] == ["input"]
    inputs = [
        {clip["sounds"][0]["key"] for view in views for clip in view["clips"] if heard[view["method"]] == on}
        for on in (True, False)
    ]
    assert inputs[1] and inputs[1] <= inputs[0]


def test_shares_and_sums_are_those_of_the_maps(folder, data):
    for view in data["views"]:
        for clip in read(folder, f"views/{view['id']}")["clips"]:
            whole, *parts = clip["maps"]
            assert sum(part["sum"] for part in parts) == pytest.approx(whole["sum"], rel=1e-3, abs=1e-3)
            assert sum(part["share"] for part in parts) == pytest.approx(1, rel=1e-3, abs=1e-3)


def test_matched_sounds_are_as_loud_as_the_clip_or_as_their_peak_allows(folder, data):
    clip = read(folder, f"views/{data['views'][0]['id']}")["clips"][0]
    whole = sound(folder, clip["sounds"][0])
    for part in clip["sounds"]:
        samples = sound(folder, part) * part["matched"] / part["gain"]
        loud = np.sqrt((samples**2).mean() / (whole**2).mean())
        peak = np.abs(samples).max() / np.abs(whole).max()
        assert max(loud, peak) == pytest.approx(1, rel=1e-3) and loud < 1.001 and peak < 1.001


def test_the_model_says_of_sounds_what_the_page_says(complete, folder, data):
    model = models.load(complete.folder / "results/synthetic/main/model.safetensors")
    view = read(folder, f"views/{data['views'][0]['id']}")
    for clip in view["clips"]:
        waves = torch.from_numpy(np.stack([sound(folder, part) for part in clip["sounds"]])).float()
        expected = model.logits(model.frontend(waves, like=waves[0])).detach()
        told = torch.tensor([part["heard"] for part in clip["sounds"]])
        torch.testing.assert_close(told, expected, atol=2e-2, rtol=1e-2)  # of 16 bits
        torch.testing.assert_close(told[0], torch.tensor(clip["answers"]), atol=1e-3, rtol=1e-3)


def test_concepts_are_named_by_the_objects_that_they_hold(folder, data):
    view = next(view for view in data["views"] if view["method"] == "drsa" and view["k"] == 4)
    for number, concept in enumerate(read(folder, f"views/{view['id']}")["concepts"], start=1):
        assert concept["number"] == number
        assert "of the relevance of" in concept["evidence"] and concept["name"]
        assert len(concept["clips"]) == 3


@pytest.mark.parametrize("start", ["index.html", "files/index.html"])
def test_a_browser_opens_it_and_loads_all_that_it_asks_for(browser, folder, data, start):
    """The second is what a report of Snakemake takes."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((folder.parent / start).as_uri())
    page.wait_for_selector("canvas")
    for view in data["views"]:
        page.evaluate("key => load(key)", f"views/{view['id']}")
    for table in data["tables"]:
        page.evaluate("key => load(key)", table["key"])
    rendered = page.evaluate("() => earmark.render().then(samples => Array.from(samples))")
    page.close()
    assert said == []
    first = read(folder, f"views/{data['views'][0]['id']}")["clips"][0]
    expected = next(sound(folder, part) for part in first["sounds"] if part["name"] == "standard")
    assert decibels(np.array(rendered) - expected, expected) < -60


def test_a_report_of_snakemake_holds_the_page_the_tables_and_the_figures(browser, complete, folder, tmp_path):
    called = complete.snakemake("--report", str(tmp_path / "report.zip"))
    assert called.status == 0, called.output
    with zipfile.ZipFile(tmp_path / "report.zip") as packed:
        packed.extractall(tmp_path)
        sizes = {file.filename: file.file_size for file in packed.infolist()}
    names = {Path(name).name for name in sizes}
    assert {"report.html", "flipping.md", "concepts.csv", "confusion.png", "mixer.js", "data.js"} <= names
    assert (
        sum(size for name, size in sizes.items() if Path(name).name == "mixer.js")
        == (folder / "mixer.js").stat().st_size
    )
    (start,) = tmp_path.glob("report/report.html")
    page = browser.new_page()
    page.goto(start.as_uri())
    items = page.evaluate("results")
    table, shown = (
        next(item for item in items.values() if item["labels"] == labels)
        for labels in ({"table": "flipping.md"}, {"page": "see and hear the concepts"})
    )
    assert "The page of synthetic" in shown["caption"] and table["caption"]
    kinds = page.evaluate("categories")["synthetic"]
    assert {"Page", "Tables", "Figures"} <= set(kinds)
    page.goto((start.parent / shown["data_uri"]).as_uri())
    page.wait_for_selector("#play")
    assert page.is_hidden("#others")
    page.close()

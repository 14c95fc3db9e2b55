"""Which data sets' networks may be compared, and what the stages that compare them are given of both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from earmark.errors import EarmarkError
from earmark.plan import targets
from earmark.plan.config import validate
from earmark.plan.datasets import check_beside
from earmark.plan.stages import stage_config

ROOT = Path(__file__).parents[3]

WAVES = {
    "source": "voices",
    "frontend": {"sample_rate": 8000},
    "model": {"architecture": "audionet-s"},
    "grid": {"layers": ["conv4"], "methods": ["drsa", "info"], "k": [8, 4]},
    "evaluate": {"beside": ["voices"]},
}


LATE = ("choose", "agree", "relate", "compare", "draw", "report")


def validated(**blocks: Any) -> dict[str, Any]:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    return validate({**raw, "datasets": {**raw["datasets"], **blocks}})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluate": {"beside": ["voice"]}}, "beside names voice, which is no data set; did you mean voices?"),
        (
            {"evaluate": {"beside": ["waves"]}},
            "beside names waves itself: name another data set of the same recordings",
        ),
        ({"grid": {"methods": ["prca", "gradcam"]}}, "voices, and no method of subspaces is in the grids of both"),
        ({"grid": {"k": [2]}}, "voices, and no K is in the grids of both: set grid.k of one as of the other"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(changes: dict[str, Any], sentence: str) -> None:
    block = {**WAVES, **{key: {**WAVES.get(key, {}), **value} for key, value in changes.items()}}
    with pytest.raises(EarmarkError, match=re.escape(sentence)) as caught:
        validated(waves=block)
    assert str(caught.value).startswith("config: datasets.waves.evaluate.beside names ")


@pytest.mark.parametrize(
    "other",
    [
        {"extends": "voices", "voices": {"takes": 2}},
        {"extends": "voices", "voices": {"labels": "sex"}},
        {"extends": "voices", "frontend": {"sample_rate": 16000, "n_fft": 1024, "hop": 256}},
        {"source": "folder", "root": "recordings", "grid": {"layers": ["conv4"], "methods": ["drsa"]}},
        {"source": "synthetic"},
    ],
)
def test_generated_recordings_are_the_same_by_the_same_settings_only(
    other: dict[str, Any], tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings/zero").mkdir(parents=True)
    (tmp_path / "recordings/zero/0.wav").write_bytes(b"")
    config = validated(waves={**WAVES, "evaluate": {"beside": ["other"]}}, other=other)
    with pytest.raises(EarmarkError, match="names other, which has none of the recordings of waves"):
        check_beside(config, "waves")
    with pytest.raises(EarmarkError, match="has none of the recordings"):
        targets.check_path(config, "results/waves/main/beside.csv")


def test_other_networks_may_hear_the_same_voices_by_any_front_end() -> None:
    config = validated(waves=WAVES)
    check_beside(config, "waves")
    targets.check_path(config, "results/waves/main/beside.csv")
    for path in ("waves/cv0/beside.csv", "voices/main/beside.csv"):
        with pytest.raises(EarmarkError, match=r"are compared for main, where evaluate\.beside names them"):
            targets.check_path(config, f"results/{path}")


def test_folders_share_recordings_of_one_name_and_classes_that_both_explain(tmp_path: Path) -> None:
    held = {"one": ("a/0.wav", "c/1.wav"), "two": ("a/0.flac", "c/2.wav"), "three": ("a/0.wav", "b/3.wav")}
    for root, name in ((root, name) for root, names in held.items() for name in names):
        path = tmp_path / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    grid = {"grid": {"layers": ["conv4"], "methods": ["drsa"], "k": [4]}, "source": "folder"}
    blocks = {name: {**grid, "root": str(tmp_path / name)} for name in held}
    blocks["only-b"] = {**blocks["three"], "explain": {"classes": ["b"]}}

    def checked(first: str, second: str) -> None:
        config = validated(**blocks | {first: {**blocks[first], "evaluate": {"beside": [second]}}})
        check_beside(config, first)

    checked("one", "three")
    with pytest.raises(EarmarkError, match="names two, which has none of the recordings of one"):
        checked("one", "two")
    with pytest.raises(EarmarkError, match="names only-b, which explains no class that one explains"):
        checked("one", "only-b")


def test_only_stages_that_compare_get_what_they_need_of_others() -> None:
    config = validated(waves=WAVES)
    given = {stage: json.loads(stage_config(config, "waves", stage)) for stage in LATE}
    assert {stage for stage, sections in given.items() if "others" in sections} == {"relate", "compare"}
    assert set(given["relate"]["others"]["voices"]) == {"lrp", "grid", "explain"}
    assert given["relate"]["others"]["voices"]["grid"] == config["datasets"]["voices"]["grid"]
    assert "others" not in json.loads(stage_config(config, "voices", "compare"))

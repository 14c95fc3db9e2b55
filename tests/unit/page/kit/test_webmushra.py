"""What webMUSHRA is given, against the keys that it documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from earmark.page.kit.webmushra import Trial, configuration

SCHEMA = yaml.safe_load(Path(__file__).with_name("webmushra.schema.yaml").read_text())
TRIALS = [Trial(f"t{n}", 'a "<b>" & c', f"s{n}0", (f"s{n}1", f"s{n}2")) for n in range(3)]


def faults(config: dict[str, Any]) -> list[str]:
    Draft202012Validator.check_schema(SCHEMA)
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(config)]


@pytest.mark.parametrize("seconds", [1.0, 12.0, 30.0])
def test_all_keys_are_documented_ones(seconds: float) -> None:
    config = configuration("demo-0a1b2c3d", "A test", TRIALS, seconds)
    assert faults(config) == []
    assert faults(yaml.safe_load(yaml.safe_dump(config, sort_keys=False))) == []
    mushra = [page for block in config["pages"] if isinstance(block, list) for page in block[1:]]
    assert {page["strict"] for page in mushra} == {seconds <= 12}


def test_the_schema_tells_what_is_wrong() -> None:
    config = configuration("demo-0a1b2c3d", "A test", TRIALS, 1.0)
    for change in ({"testId": "a test"}, {"bufferSize": 1000}, {"sounds": []}, {"pages": []}):
        assert faults({**config, **change})
    assert faults({**config, "pages": config["pages"][:-1]})


def test_either_question_is_asked_of_every_clip_in_an_order_by_lot() -> None:
    pages = configuration("demo", "A test", TRIALS, 1.0)["pages"]
    blocks = [page for page in pages if isinstance(page, list)]
    assert [block[0] for block in blocks] == ["random", "random"]
    assert [[page["id"] for page in block[1:]] for block in blocks] == [
        [f"t{n}-{question}" for n in range(3)] for question in ("class", "quality")
    ]
    first = blocks[0][1]
    assert first["reference"] == "stimuli/demo/s00.wav"
    assert first["stimuli"] == {"s01": "stimuli/demo/s01.wav", "s02": "stimuli/demo/s02.wav"}
    assert first["randomize"] and not first["showConditionNames"]
    assert "a &quot;&lt;b&gt;&quot; &amp; c" in first["content"]
    assert pages[-1]["type"] == "finish" and pages[-1]["writeResults"] and not pages[-1]["showResults"]

"""Concepts are called by what they hold, and the number behind the name is said."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

from earmark.page import names

COLUMNS = ["layer", "method", "k", "cls", "concept", "object", "name", "share"]


def table(parts: list[list[float | str]]) -> pd.DataFrame:
    objects = ["bass", "chop", "voice"]
    return pd.DataFrame(
        [
            ["conv4", "info", "2", "a", str(concept), str(place), objects[place - 1], str(share)]
            for concept, row in enumerate(parts, start=1)
            for place, share in enumerate(row, start=1)
        ],
        columns=COLUMNS,
    )


@pytest.mark.parametrize(
    ("parts", "name", "evidence"),
    [
        ([0.91, 0.2, 0.1], "bass", "it holds 91 % of the relevance of bass"),
        (
            [0.6, 0.2, 0.5],
            "bass and voice",
            "it holds 60 % of the relevance of bass and 50 % of the relevance of voice",
        ),
        ([0.1, 0.3, ""], "some chop", "it holds 30 % of the relevance of chop"),
        ([0.8, 0.8, 0.8], "bass and chop", "it holds 80 % of the relevance of bass and 80 % of the relevance of chop"),
        ([0, "", 0], "nothing", "it holds no relevance of any sound object"),
    ],
)
def test_objects_give_names(parts, name, evidence) -> None:
    found = names.by_objects(table([parts, [0.0, 0.0, 0.0]]), 2)
    assert found is not None and len(found) == 2
    assert found[0] == (name, evidence)
    assert found[1].name == "nothing"


def test_without_objects_the_sound_gives_the_name() -> None:
    assert names.by_objects(table([]), 2) is None
    seconds = torch.arange(16000) / 16000
    tone = 0.1 * torch.sin(2 * math.pi * 100 * seconds)
    found = names.by_sounds(torch.stack([tone, 0.5 * tone]), 16000)
    assert found.name == "tonal bass steady" and "Hz" in found.evidence
    assert names.by_sounds(torch.zeros(1, 100), 16000).name == "silence"


def test_what_cannot_be_heard_is_named_by_its_rows() -> None:
    profile = torch.zeros(4, 3)
    profile[2] = 1
    hertz = torch.tensor([100.0, 200.0, 400.0, 800.0])
    assert names.by_rows(profile, hertz).name == "around 400 Hz"
    assert names.by_rows(profile, None).name == ""
    assert names.by_rows(torch.zeros(4, 3), hertz).name == ""

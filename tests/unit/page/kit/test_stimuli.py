"""Sounds that are rated: how they are played, and names that tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.data.dataset import ClassInfo
from earmark.metrics.ratings import REFERENCE, REST
from earmark.page.kit.stimuli import Stimulus, names_of, played, trials
from earmark.page.kit.webmushra import RATES, Trial


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16000), (16000, 16000), (24000, 32000), (96000, RATES[-1])])
def test_sounds_are_played_at_a_rate_that_is_known_and_are_as_long(rate: int, wanted: int) -> None:
    times = torch.arange(rate) / rate
    found, waves = played([torch.sin(2 * np.pi * 500 * times), 0.01 * torch.sin(2 * np.pi * 700 * times)], rate)
    assert found == wanted
    assert [(len(wave), wave.dtype) for wave in waves] == 2 * [(wanted, np.int16)]
    levels = [np.sqrt(np.mean(np.square(wave.astype(float)))) for wave in waves]
    assert levels[0] == pytest.approx(levels[1], rel=1e-3)


def test_names_are_by_lot_and_as_long_as_each_other() -> None:
    names = names_of(12, 0)
    assert sorted(names) == [f"s{number:02d}" for number in range(1, 13)] and names != sorted(names)
    assert names == names_of(12, 0) != names_of(12, 1)


def test_a_trial_lists_its_sounds_by_their_names() -> None:
    low, high = ClassInfo("low", "Low", 0), ClassInfo("high", "High", 1)
    conditions = (REFERENCE, REST, "mine")
    stimuli = [
        Stimulus(trial, cls, clip, condition, torch.zeros(1))
        for trial, cls, clip in (("t01", low, 4), ("t02", high, 2))
        for condition in conditions
    ]
    assert trials(stimuli, ["s3", "s6", "s1", "s5", "s4", "s2"]) == [
        Trial("t01", "Low", "s3", ("s1", "s6")),
        Trial("t02", "High", "s5", ("s2", "s4")),
    ]

"""What guesses know of answers, by hand and by theory; and what listeners get."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earmark.metrics.listening import (
    CELLS,
    MASKED,
    PICTURE,
    RELEVANCE,
    SEEN,
    SIGNAL,
    SILENCE,
    contingency,
    equally_loud,
    fitted,
    informedness,
    markedness,
    mask_of,
    mean_of_known,
    pictures,
    relaid,
    seen,
    sounds,
)
from earmark.sound.base import silence
from earmark.sound.logmel import LogMel
from earmark.sound.waveform import Waveform

CLASSES = ["eight", "five", "nine"]

WAVE = Waveform(8000, 2000)
LOGMEL = LogMel(8000, 256, 64, n_mels=24, n_frames=32)


def counts(answers: list[str], guesses: list[str]) -> np.ndarray:
    return contingency(answers, guesses, CLASSES).sum(axis=0)


def test_by_hand() -> None:
    """Of `five`: 4 of 5 answers are guessed, and 1 of the 7 others; 4 of 5 guesses are right, 1 of 7 others is not."""
    answers = ["five"] * 5 + ["nine"] * 4 + ["eight"] * 3
    guesses = ["five"] * 4 + ["nine"] + ["nine"] * 3 + ["five"] + ["eight"] * 3
    table = counts(answers, guesses)
    assert table.tolist() == [[3, 0, 0], [0, 4, 1], [0, 1, 3]]
    np.testing.assert_allclose(informedness(table), [1, 4 / 5 - 1 / 7, 3 / 4 - 1 / 8])
    np.testing.assert_allclose(markedness(table), [1, 4 / 5 - 1 / 7, 3 / 4 - 1 / 8])
    skewed = counts(["five"] * 2 + ["nine"] * 6, ["five"] * 5 + ["nine"] * 3)
    np.testing.assert_allclose(informedness(skewed)[1], 2 / 2 - 3 / 6)
    np.testing.assert_allclose(markedness(skewed)[1], 2 / 5 - 0 / 3)


def test_perfect_contrary_and_constant_listeners() -> None:
    answers = ["five", "nine", "eight"] * 4
    perfect, constant = counts(answers, answers), counts(answers, ["nine"] * 12)
    assert informedness(perfect).tolist() == markedness(perfect).tolist() == [1, 1, 1]
    assert informedness(constant).tolist() == [0, 0, 0]
    assert np.isnan(markedness(constant)).all() and np.isnan(mean_of_known(markedness(constant)))
    two = contingency(["a", "b"] * 3, ["b", "a"] * 3, ["a", "b"]).sum(axis=0)
    assert informedness(two).tolist() == markedness(two).tolist() == [-1, -1]


def test_a_listener_who_guesses_by_lot_knows_nothing_however_often_each_class_is_guessed() -> None:
    rng = np.random.default_rng(0)
    answers = rng.choice(CLASSES, 20000, p=[0.7, 0.2, 0.1]).tolist()
    table = counts(answers, rng.choice(CLASSES, 20000, p=[0.1, 0.1, 0.8]).tolist())
    assert np.abs(informedness(table)).max() < 0.02
    assert np.abs(markedness(table)).max() < 0.02


def test_other_names_change_nothing() -> None:
    rng = np.random.default_rng(1)
    answers, guesses = rng.choice(CLASSES, (2, 60)).tolist()
    renamed = {"eight": "nine", "nine": "five", "five": "eight"}
    plain = counts(answers, guesses)
    other = counts([renamed[one] for one in answers], [renamed[one] for one in guesses])
    order = [CLASSES.index(renamed[one]) for one in CLASSES]
    for measure in (informedness, markedness):
        np.testing.assert_array_equal(measure(other)[order], measure(plain))


def test_what_is_not_defined_is_no_number_and_counts_in_no_mean() -> None:
    table = counts(["five"] * 3 + ["nine"] * 3, ["five"] * 2 + ["eight"] + ["nine"] * 3)
    assert np.isnan(informedness(table)[0])  # never answered
    assert markedness(table)[0] == 0 - 0  # guessed once, wrongly; never missed
    assert np.isnan(markedness(counts(["five", "nine"], ["five", "five"]))[[0, 2]]).all()  # never guessed
    np.testing.assert_allclose(mean_of_known(informedness(table)), (2 / 3 + 1) / 2)


def tone(hertz: float, samples: int = 2000) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz / 8000 * torch.arange(samples))


def heard(hertz: float) -> torch.Tensor:
    """Mask of relevance on the cells of a tone, with some of the contrary elsewhere."""
    cells = torch.full(WAVE.grid[1:], -0.1)
    cells[int((WAVE.frequencies - hertz).abs().argmin())] = 1.0
    return mask_of(cells, 90)


def test_an_explanation_is_heard_where_it_is_and_cells_by_lot_are_as_strong() -> None:
    clip = tone(500) + tone(2000)
    made = sounds(WAVE, clip, heard(500), None, 3, "additive")
    assert list(made) == [SIGNAL, MASKED, CELLS, SILENCE]
    assert made[SIGNAL] is clip
    spectrum = torch.fft.rfft(made[MASKED]).abs()
    assert spectrum[125] > 20 * spectrum[500]  # 500 Hz against 2000 Hz
    power, mask = WAVE.stft(clip[None])[0].abs().square(), heard(500)
    passed = (mask.square() * power).sum() / power.sum()
    lot = WAVE.stft(made[CELLS][None])[0].abs().square().sum() / power.sum()
    assert 0.05 < passed < 0.5
    # A cell more or less, and cells of which neighbours are missing, make the difference.
    assert lot == pytest.approx(float(passed), rel=0.5)
    assert not made[SILENCE].any()
    again = sounds(WAVE, clip, heard(500), None, 3, "additive")
    other = sounds(WAVE, clip, heard(500), None, 4, "additive")
    assert torch.equal(made[CELLS], again[CELLS]) and not torch.equal(made[CELLS], other[CELLS])


def test_positive_relevance_weighs_samples_and_keeps_their_signs() -> None:
    clip = tone(300)
    relevance = clip * torch.randn(2000, generator=torch.Generator().manual_seed(0))
    made = sounds(WAVE, clip, heard(300), relevance, 0, "additive")[RELEVANCE]
    assert torch.equal(made != 0, relevance > 0)
    assert torch.equal(made.sign()[relevance > 0], clip.sign()[relevance > 0])


def test_a_map_without_positive_relevance_is_silent_and_so_are_cells_by_lot() -> None:
    made = sounds(WAVE, tone(300), mask_of(-torch.ones(WAVE.grid[1:]), 90), None, 0, "additive")
    assert not made[MASKED].any() and not made[CELLS].any()


def test_sounds_become_as_long_as_the_listener_s_clips() -> None:
    clip = torch.arange(1.0, 6.0)[None]
    assert fitted(clip, 7).tolist() == [[1, 2, 3, 4, 5, 0, 0]]
    assert fitted(clip, 3).tolist() == [[1, 2, 3]]


def test_masks_lie_at_the_same_frequencies_and_times_on_the_listener_s_grid() -> None:
    hertz, seconds = WAVE.frequencies[:, None], WAVE.times[None]
    plane = hertz / 4000 + 2 * seconds  # linear: interpolation is exact
    found = relaid(plane, WAVE, LOGMEL)
    wanted = LOGMEL.frequencies[:, None] / 4000 + 2 * LOGMEL.times[None]
    assert found.shape == LOGMEL.grid[1:]
    torch.testing.assert_close(found, wanted.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(relaid(torch.ones(WAVE.grid[1:]), WAVE, LOGMEL), torch.ones(LOGMEL.grid[1:]))


def test_all_of_a_picture_is_the_clip_none_is_silence_and_half_is_half_as_bright() -> None:
    clip = tone(700, LOGMEL.clip_samples)
    picture, dark = LOGMEL(clip[None])[0], silence(LOGMEL)
    ones = torch.ones(LOGMEL.grid[1:])
    torch.testing.assert_close(seen(LOGMEL, clip, ones), picture)
    torch.testing.assert_close(seen(LOGMEL, clip, 0 * ones), dark)
    torch.testing.assert_close(seen(LOGMEL, clip, ones / 2), (picture + dark) / 2)


def test_people_see_the_clip_and_as_much_of_it_as_the_mask_leaves() -> None:
    clip = tone(700)
    clip[1000:] = 0
    mask = torch.rand(WAVE.grid[1:], generator=torch.Generator().manual_seed(0))
    shown = pictures(WAVE, clip, mask)
    assert shown[PICTURE].amin() == 0 and shown[PICTURE].amax() == 1
    assert not shown[PICTURE][:, 10:].any()
    row = int(shown[PICTURE].sum(dim=1).argmax())
    assert abs(float(WAVE.frequencies[row]) - 700) < 20
    torch.testing.assert_close(shown[SEEN], shown[PICTURE] * mask)
    assert not pictures(WAVE, 0 * clip, mask)[PICTURE].any()


def test_sounds_are_equally_loud_and_none_is_clipped() -> None:
    click, hum = torch.zeros(1000), 0.01 * tone(200, 1000)
    click[10] = -3.0
    loud = equally_loud([click, hum, torch.zeros(1000)])
    levels = [float(one.square().mean().sqrt()) for one in loud]
    assert levels[0] == pytest.approx(levels[1]) and levels[2] == 0
    assert max(float(one.abs().max()) for one in loud) == pytest.approx(0.99)

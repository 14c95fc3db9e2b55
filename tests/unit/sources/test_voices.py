"""The voices: do they sound as drawn, and does nothing but what is said, or who says it, tell the class?"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from earmark.data.dataset import DataSet, open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config
from earmark.plan.datasets import class_slugs, fold_count
from earmark.sources.base import Rendered
from earmark.sources.voices import sounds
from earmark.sources.voices.recordings import LOWEST_RATE, Recordings
from earmark.sources.voices.vowels import BANDWIDTHS, LABELS, PATTERNS, REGISTERS, STEMS, VOWELS
from earmark.stages import generate, ingest
from earmark.store.layout import Layout, slug

RATE = LOWEST_RATE
SEED = 5


def settings(labels: str = "digit", speakers: int = 6, takes: int = 1, **frontend: int) -> dict:
    block = {
        "source": "voices",
        "voices": {"labels": labels, "speakers": speakers, "takes": takes},
        "frontend": {"sample_rate": RATE, "n_fft": 256, "hop": 128, "n_mels": 32, "n_frames": 63, **frontend},
    }
    return {**config.fill(block), "seed": SEED, "torch_threads": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Six speakers who say everything once."""
    results = tmp_path_factory.mktemp("voices")
    generate.run(Job("generate", results, "voices", settings()))
    return Layout(results, "voices")


@pytest.fixture(scope="module")
def ingested(written: Layout) -> DataSet:
    ingest.run(Job("ingest", written.results, "voices", settings()))
    return open_dataset(written)


@pytest.fixture(scope="module")
def rendered() -> list[Rendered]:
    """Eight speakers who say everything once."""
    source = Recordings(settings(speakers=8))
    return [source.render(item) for item in source.items()]


@pytest.fixture
def steady() -> tuple[sounds.Speaker, sounds.Take]:
    """One who says one vowel, for long and in no room; the vowel and the pitch are to be replaced."""
    speaker = sounds.Speaker("male", 100.0, 1.0, open_quotient=0.6, speed_quotient=2.0, breath_db=-20.0)
    take = sounds.draw_take(speaker, "zero", 1.0, np.random.default_rng(0))
    return speaker, dataclasses.replace(take, hz=100.0, seconds=0.8, offset=0.0, declination=0.0, echo_db=-200.0)


def vowel(name: str, tract: float = 1.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    formants = tuple(tract * hz for hz in (*VOWELS[name], 3300.0, 3750.0))
    return formants, formants


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- what is said -----------------------------------------------------------------------------------------------------


def test_patterns_are_pairs_in_both_orders():
    assert len(set(PATTERNS.values())) == 10
    assert {pair[::-1] for pair in PATTERNS.values()} == set(PATTERNS.values())
    assert set(np.concatenate(list(PATTERNS.values()))) == set(VOWELS)
    for classes in LABELS.values():
        assert list(classes) == sorted(map(slug, classes))


# --- how it sounds ----------------------------------------------------------------------------------------------------


def test_the_glottis_opens_slowly_closes_fast_and_rests():
    turns = np.arange(3000) / 1000
    pulse = sounds.flow(turns, 0.6, 2.0).reshape(3, 1000)
    np.testing.assert_allclose(pulse[0], pulse[2], atol=1e-9)
    assert pulse[0, 0] == 0 and pulse[0].max() == pytest.approx(1) and pulse[0].argmax() == 400
    assert not pulse[0, 600:].any()
    assert (np.diff(pulse[0, :401]) >= 0).all() and (np.diff(pulse[0, 400:]) <= 0).all()


def test_a_pulse_s_spectrum_falls_by_twelve_decibels_an_octave_less_six_for_the_lips():
    speaker = sounds.Speaker("male", 100.0, 1.0, open_quotient=0.6, speed_quotient=2.0, breath_db=-20.0)
    level = 20 * np.log10(np.abs(sounds.harmonics(speaker, 64)))
    octaves = [level[2**n - 1 : 2 ** (n + 1) - 1].max() for n in range(3, 6)]
    np.testing.assert_allclose(np.diff(octaves), -6, atol=2)


@pytest.mark.parametrize("name", VOWELS)
def test_the_tract_rings_at_its_formants(name):
    """Gain 1 at 0 Hz; where a formant stands alone, its peak is as wide as it should be."""
    hz = np.arange(1.0, 4000.0)
    formants = np.array(vowel(name)[0])[:, None]
    gain = np.abs(sounds.tract(hz, formants))
    assert np.abs(sounds.tract(np.zeros(1), formants)) == pytest.approx(1)
    peaks = hz[signal.argrelmax(gain)[0]]
    for centre in VOWELS[name]:
        assert np.abs(peaks - centre).min() < 0.03 * centre
    first = peaks[0]
    above = hz[(gain > gain[hz == first] / np.sqrt(2)) & (np.abs(hz - first) < 100)]
    assert np.ptp(above) == pytest.approx(BANDWIDTHS[0], rel=0.15)


@pytest.mark.parametrize("hz", [90.0, 150.0, 210.0])
@pytest.mark.parametrize("name", ["iy", "aa", "er"])
def test_breath_and_harmonics_lie_under_the_formants(steady, name, hz):
    """The breath's spectrum has its peaks there, and the harmonics that are strong are those next to them."""
    speaker, take = steady
    take = dataclasses.replace(take, hz=hz, formants=vowel(name))
    stems = sounds.say(speaker, take, RATE, RATE, np.random.default_rng(1))
    found, density = signal.welch(stems[-1], RATE, nperseg=512, nfft=4096)
    for centre in VOWELS[name][:2]:
        near = np.abs(found - centre) < 150
        assert found[near][density[near].argmax()] == pytest.approx(centre, abs=50)
    voiced = stems[:-1].sum(axis=0)[1000:5000]
    spectrum = np.abs(np.fft.rfft(voiced * np.hanning(len(voiced)), 16384))
    at = np.fft.rfftfreq(16384, 1 / RATE)
    strongest = at[spectrum[at < 1000].argmax()]
    assert abs(strongest - VOWELS[name][0]) < 0.7 * hz


@pytest.mark.parametrize("name", ["ih", "ae", "ao", "ah"])
def test_linear_prediction_finds_the_formants_of_a_low_voice(steady, name):
    speaker, take = steady
    take = dataclasses.replace(take, hz=95.0, formants=vowel(name))
    voiced = sounds.say(speaker, take, RATE, RATE, np.random.default_rng(2))[:-1].sum(axis=0)[1500:4500]
    emphasised = np.append(voiced[0], voiced[1:] - 0.95 * voiced[:-1]) * np.hamming(len(voiced))
    repeated = np.correlate(emphasised, emphasised, "full")[len(voiced) - 1 :][:13]
    repeated[0] *= 1 + 1e-6
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    poles = np.roots(np.append(1, -np.linalg.solve(repeated[lags], repeated[1:])))
    peaks = np.angle(poles[poles.imag > 0]) * RATE / (2 * np.pi)
    for centre in VOWELS[name][:2]:
        assert np.abs(peaks - centre).min() < 0.5 * 95


def pitch(sound: np.ndarray, near: float) -> float:
    """Find the period that a sound repeats best at, near a pitch in Hz, by a grid of a sixteenth of a sample."""
    window = np.hanning(len(sound))
    repeated, falling = (
        np.fft.irfft(np.abs(np.fft.rfft(part, 4096)) ** 2, 16 * 4096)[: 16 * 200] for part in (sound * window, window)
    )
    lags = np.arange(16 * 200) / (16 * RATE)
    asked = (lags > 0.7 / near) & (lags < 1.4 / near)
    return 1 / lags[asked][(repeated / falling)[asked].argmax()]


@pytest.mark.parametrize("hz", [90.0, 150.0, 220.0])
@pytest.mark.parametrize("name", ["iy", "uw", "er"])
def test_autocorrelation_finds_the_pitch_of_a_vowel(steady, name, hz):
    speaker, take = steady
    take = dataclasses.replace(take, hz=hz, formants=vowel(name))
    mixture = sounds.say(speaker, take, RATE, RATE, np.random.default_rng(4)).sum(axis=0)
    assert pitch(mixture[2000:4000], hz) == pytest.approx(hz, rel=0.01)


def test_autocorrelation_finds_the_pitch_of_what_is_said(rendered):
    """In the middle, where the falling pitch is the mean; formants that move there move phases, too."""
    errors = []
    for one in rendered:
        take = one.parameters["take"]
        middle = round((take["offset"] + take["seconds"] / 2) * RATE)
        errors.append(abs(pitch(one.mixture[middle - 600 : middle + 600], take["hz"]) / take["hz"] - 1))
    assert np.mean(np.array(errors) < 0.02) > 0.9
    assert max(errors) < 0.05


def test_nothing_folds_at_half_the_rate(steady):
    """A high voice has energy at its harmonics only."""
    speaker, take = steady
    still = dataclasses.replace(take, hz=250.0, formants=vowel("iy"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sounds, "JITTER", 0.0)
        patched.setattr(sounds, "SHIMMER", 0.0)
        voiced = sounds.say(speaker, still, RATE, RATE, np.random.default_rng(3))[:-1].sum(axis=0)[1200:5200]
    power = np.abs(np.fft.rfft(voiced * np.blackman(4000))) ** 2
    hz = np.fft.rfftfreq(4000, 1 / RATE)
    between = np.abs((hz + 125) % 250 - 125) > 20
    assert power[between].sum() < 1e-6 * power.sum()


def test_shares_of_the_harmonics_sum_to_one_and_follow_the_formants():
    hz = 100.0 * np.arange(1, 40)[:, None]
    formants = np.array([[500.0], [1500], [2500], [3300], [3750]])
    parts = sounds.shares(hz, formants)
    np.testing.assert_allclose(parts.sum(axis=0), 1)
    assert parts[:, 0, 0].tolist() == [1, 0, 0, 0]
    for number, centre in enumerate((500, 1500, 2500), start=1):
        assert parts[number, centre // 100 - 1] > 0.97
    assert parts[1, 8, 0] + parts[2, 8, 0] > 0.99  # near the border of the first two, 866 Hz, both have some
    assert 0.1 < parts[1, 8, 0] < 0.9


def test_a_speaker_stays_in_a_register(rendered):
    for one in rendered:
        speaker, take = one.parameters["speaker"], one.parameters["take"]
        low, high = REGISTERS[speaker["sex"]].hz
        assert low <= speaker["hz"] <= high
        assert 0.95 * speaker["hz"] <= take["hz"] <= 1.05 * speaker["hz"]
        scale = REGISTERS[speaker["sex"]].tract
        for name, formants in zip(PATTERNS[one.parameters["digit"]], take["formants"], strict=True):
            np.testing.assert_allclose(formants[:3], scale * np.array(VOWELS[name]), rtol=0.11)
            assert list(formants) == sorted(formants)


def test_stems_sum_to_the_mixture_which_stands_in_zeros(rendered):
    offsets = []
    for one in rendered:
        np.testing.assert_allclose(one.stems.sum(axis=0), one.mixture, atol=1e-6)
        assert max(np.abs(one.mixture).max(), np.abs(one.stems).max()) == pytest.approx(32767)
        levels = [sound.std() / one.mixture.std() for sound in one.stems]
        assert min(levels) > 10 ** (-50 / 20)
        sounding = np.flatnonzero(one.mixture)
        take = one.parameters["take"]
        assert sounding[0] >= round(take["offset"] * RATE)
        assert sounding[-1] < (take["offset"] + take["seconds"] + sounds.ECHO_SECONDS[1]) * RATE + 2
        assert sounding[-1] < 0.95 * RATE
        offsets.append(take["offset"])
    assert np.ptp(offsets) > 0.3


# --- the data set -----------------------------------------------------------------------------------------------------


def test_the_mean_spectrum_tells_the_pair_and_time_tells_the_order(rendered):
    """For speakers unheard: a linear model on the mean guesses the order, one on both halves knows it."""
    means, halves = [], []
    for one in rendered:
        take = one.parameters["take"]
        spoken = one.mixture[round(take["offset"] * RATE) :][: round(take["seconds"] * RATE)]
        _, _, cells = signal.stft(spoken, nperseg=256)
        power = (np.abs(cells[:128]) ** 2).reshape(32, 4, -1).sum(axis=1)  # [32, T]
        means.append(np.log(power.mean(axis=1)))
        halves.append(np.log([half.mean(axis=1) for half in np.array_split(power, 2, axis=1)]).ravel())
    labels = [one.parameters["digit"] for one in rendered]
    speakers = [one.parameters["speaker"]["hz"] for one in rendered]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    by_mean, by_halves = (
        cross_val_score(model, np.stack(features), labels, groups=speakers, cv=GroupKFold(4)).mean()
        for features in (means, halves)
    )
    assert 0.3 < by_mean < 0.8
    assert by_halves > 0.85


def test_files_are_complete_and_agree(written):
    index = rows(written.generated_index)
    assert Counter(row["class"] for row in index) == dict.fromkeys(LABELS["digit"], 6)
    assert index[0]["path"] == "eight/eight_speaker01_0.wav"
    truth = json.loads(written.truth.read_text())
    assert [clip["path"] for clip in truth["clips"]] == [row["path"] for row in index]
    assert [clip["digit"] for clip in truth["clips"]] == [row["class"] for row in index]
    stems = np.split(np.load(written.stems), len(index), axis=1)
    assert stems[0].shape == (5, 62 * 128)
    for row, own in zip(index, stems, strict=True):
        samples, rate = soundfile.read(written.generated / row["path"], dtype="int16")
        assert (rate, samples.shape) == (RATE, (RATE,))
        assert np.abs(samples[: 62 * 128] - own.sum(axis=0)).max() <= 0.5 + 5 * 0.5


def test_nothing_depends_on_labels_processes_or_how_many_there_are(written, tmp_path):
    generate.run(Job("generate", tmp_path, "voices", settings("sex", speakers=8, takes=2), processes=2))
    more = Layout(tmp_path, "voices")
    few, many = (
        {Path(row["path"]).name: (number, row) for number, row in enumerate(rows(layout.generated_index))}
        for layout in (written, more)
    )
    assert len(many) == 160
    assert Counter(row["class"] for _, row in many.values()) == {"female": 80, "male": 80}
    before, after = np.load(written.stems, mmap_mode="r"), np.load(more.stems, mmap_mode="r")
    size = 62 * 128
    for name, (number, row) in few.items():
        place, again = many[name]
        assert again["sha256"] == row["sha256"]
        np.testing.assert_array_equal(
            before[:, number * size : (number + 1) * size], after[:, place * size : (place + 1) * size]
        )
        assert again["class"] == ("male" if int(row["group"][-2:]) % 2 else "female")


@pytest.mark.parametrize(("labels", "speakers", "folds"), [("digit", 6, 6), ("sex", 6, 3), ("sex", 24, 10)])
def test_folds_hold_whole_speakers(labels, speakers, folds):
    block = settings(labels, speakers)
    assert class_slugs(block) == list(LABELS[labels])
    assert fold_count(block) == folds


def test_clips_have_their_stems(ingested):
    assert ingested.n_folds == 6
    assert [one.slug for one in ingested.classes] == list(LABELS["digit"])
    assert (ingested.manifest.groupby("group")["fold"].nunique() == 1).all()
    picked = np.arange(0, 60, 7)
    stems, waveforms = ingested.stems(picked), ingested.waveforms(picked)
    assert ingested.object_names(ingested.classes[0]) == list(STEMS)
    assert (stems.sum(dim=1) - waveforms).abs().max() * 32768 <= 0.5 + 5 * 0.5 + 1


@pytest.mark.parametrize(
    ("frontend", "sentence"),
    [
        ({"n_frames": 65}, r"^Voices need clips of 0\.94 s to 1 s, not 1\.02 s: lower `frontend\.n_frames` or "),
        ({"n_frames": 33}, r"^Voices need clips of 0\.94 s to 1 s, not 0\.51 s: raise `frontend\.n_frames` or "),
        ({"sample_rate": 4000}, r"^Voices need `frontend\.sample_rate` to be at least 8000, not 4000\.$"),
    ],
)
def test_a_front_end_that_does_not_suit_the_voices_is_refused(tmp_path, frontend, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        generate.run(Job("generate", tmp_path, "voices", settings(**frontend)))
    assert not (tmp_path / "voices").exists()

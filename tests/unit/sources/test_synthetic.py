"""The synthetic data: does each clip hold what Table 4.1 and Appendix D promise, and nothing else?"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.stats import chisquare
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config
from earmark.sound.logmel import LogMel
from earmark.sources import synthetic
from earmark.sources.base import PEAK, Rendered
from earmark.sources.synthetic import OBJECTS
from earmark.stages import generate
from earmark.store.layout import Layout

RATE = 16000
CLASSES = tuple(OBJECTS)
SEED = 3
PLACES = [(cls, number) for cls in CLASSES for number in range(4)]


def make(cls: str, index: int, kind: str = "main", seed: int = SEED) -> Rendered:
    return synthetic.make_clip(cls, kind, index, seed=seed, noise=0.01, sample_rate=RATE)


def power(waveforms: np.ndarray) -> np.ndarray:
    """Power per Hz of one-second signals under a Hann window, [..., 8001]: no leak from the signal's ends."""
    return np.abs(np.fft.rfft(waveforms * np.hanning(RATE))) ** 2


@pytest.fixture(scope="module")
def full() -> dict[str, list[Rendered]]:
    """Clips with all four objects."""
    return {cls: [make(cls, index, "all-test") for index in range(60)] for cls in CLASSES}


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[synthetic.Parameters]]:
    """Parameters of many clips, as they would be drawn for the main set, without rendering them."""
    rngs = {cls: np.random.default_rng([SEED, number]) for number, cls in enumerate(CLASSES)}
    return {
        cls: [synthetic.draw(rngs[cls], cls, all_objects=False, noise=0.01) for _ in range(2500)] for cls in CLASSES
    }


def settings(clips: int, all_objects: int, **frontend: int) -> dict:
    block = {"synthetic": {"clips_per_class": clips, "all_objects_clips": all_objects}, "frontend": frontend}
    return {**config.fill(block), "seed": SEED, "torch_threads": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    results = tmp_path_factory.mktemp("generate")
    generate.run(Job("generate", results, "toy", settings(12, 3)))
    return Layout(results, "toy")


# --- one object -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "number"), PLACES)
def test_a_stem_sounds_in_its_own_bands_only(full, cls, number):
    """Modulation widens a tone by at most its own few harmonics: 100 Hz on either side."""
    spectrum = power(np.stack([clip.stems[number] for clip in full[cls]]))
    inside = np.zeros(spectrum.shape[1], bool)
    for low, high in OBJECTS[cls][number].bands:
        inside[max(int(low) - 100, 0) : int(high) + 101] = True
    share = spectrum[:, inside].sum(1) / spectrum.sum(1)
    assert share.min() > 0.98


@pytest.mark.parametrize(("cls", "number"), PLACES)
def test_a_stem_has_the_drawn_frequencies(full, cls, number):
    sound = OBJECTS[cls][number]
    for clip in full[cls][:20]:
        one = clip.parameters["objects"][number]
        assert one["object"] == number + 1
        spectrum = power(clip.stems[number])
        for factor, plus in sound.tones:
            hz = factor * one["hz"] + plus
            near = spectrum[int(hz) - 12 : int(hz) + 13]
            assert abs(np.argmax(near) - 12) <= 1.5 or sound.melodic  # the melody's tones are cut into pulses
            assert near.sum() > 0.05 * spectrum.sum()


@pytest.mark.parametrize(("cls", "number"), PLACES)
def test_a_stem_is_modulated_as_drawn(full, cls, number):
    """The magnitude, smoothed over a period of the tone, repeats with the modulation frequency."""
    for clip in full[cls][:20]:
        one = clip.parameters["objects"][number]
        if OBJECTS[cls][number].melodic:
            assert one["modulation_hz"] == 16
            continue
        magnitude = np.abs(clip.stems[number].astype(float))
        envelope = power(magnitude - magnitude.mean())[:60]
        strongest = np.argmax(envelope)
        if OBJECTS[cls][number].masked:  # the mask's gate and the beats
            assert strongest in (synthetic.MASK_HZ, 16)
            assert min(envelope[2], envelope[16]) > 0.2 * envelope.max()
        else:
            assert abs(strongest - one["modulation_hz"]) <= 1.01


def test_table_4_1_ranges_hold_for_every_draw(drawn):
    for cls in CLASSES:
        for clip in drawn[cls]:
            for one in clip["objects"]:
                sound = OBJECTS[cls][one["object"] - 1]
                assert sound.frequency[0] <= one["hz"] <= sound.frequency[1]
                assert sound.modulation[0] <= one["modulation_hz"] <= sound.modulation[1]
                assert 0.5 <= one.get("alpha", 1) <= 1


def test_no_object_is_louder_than_one(full):
    times = np.arange(RATE) / RATE
    for cls in CLASSES:
        for clip in full[cls][:20]:
            for one in clip.parameters["objects"]:
                assert np.abs(synthetic.render_object(OBJECTS[cls][one["object"] - 1], one, times)).max() <= 1 + 1e-6


def test_the_modulator_is_equation_d3():
    times = np.arange(RATE) / RATE
    for shift in (0.0, 0.75, 1.0, 2.0):
        expected = np.maximum(0, 0.7 * np.sin(2 * np.pi * (5 * times + 0.3)) + shift) / (shift + 1)
        np.testing.assert_allclose(synthetic.modulator(times, 5, 0.3, 0.7, shift), expected, atol=1e-6)


@pytest.mark.parametrize("falling", [False, True])
def test_the_sawtooth_runs_its_way_and_returns_within_10_ms(falling):
    times = np.arange(RATE) / RATE
    envelope = synthetic.sawtooth(times, 2, 0.0, falling=falling)
    assert 0 <= envelope.min() < 1e-3
    assert 0.999 < envelope.max() <= 1
    rising = np.diff(envelope) > 0
    assert rising.mean() == pytest.approx(0.02 if falling else 0.98, abs=0.002)
    assert np.abs(np.diff(envelope)).max() <= 1 / (0.010 * RATE) + 1e-5  # along a line, not at once


def test_the_sawtooth_would_leak_without_its_ramp(full):
    """Far from its tone a stem lies well below what a jump gives."""
    times = np.arange(RATE) / RATE
    far = slice(2000, 8000)
    for clip in full["class1"][:20]:
        one = clip.parameters["objects"][1]
        tone = np.sin(2 * np.pi * (one["hz"] * times + one["phases"][0]))
        jumping = power(tone * ((2 * times + one["modulation_phase"]) % 1))
        ours = power(clip.stems[1])
        assert ours[far].sum() / ours.sum() < 0.1 * jumping[far].sum() / jumping.sum()


def test_the_bass_is_masked_half_of_the_time_without_clicks(full):
    for clip in full["class1"]:
        one = clip.parameters["objects"][0]
        times = np.arange(RATE) / RATE
        mask = np.sin(2 * np.pi * (2 * times + one["mask_phase"]))
        assert np.abs(clip.stems[0][mask <= -1e-4]).max() == 0  # eq. D.4
        beats = np.maximum(0, np.sin(2 * np.pi * (16 * times + one["modulation_phase"])))
        edges = np.flatnonzero(np.diff(mask > 0))
        assert beats[edges].max() < 0.01
        assert (clip.stems[0] != 0).mean() == pytest.approx(0.25, abs=0.01)  # half of the half-waves


def test_the_melody_has_twelve_sounds_a_second_that_climb_and_descend(full):
    times = np.arange(RATE) / RATE
    shapes = set()
    for clip in full["class2"]:
        one = clip.parameters["objects"][2]
        step = synthetic.melody(times, 16, 0.0, one["rest"], one["start"]).reshape(16, -1)  # a row per pulse
        assert (step == step[:, :1]).all()
        tones = step[step[:, 0] >= 0, 0]
        assert len(tones) == 12
        assert (np.abs(np.diff(tones)) == 1).all()
        assert set(tones) == {0, 1, 2, 3}
        shapes.add(tuple(step[:, 0]))
        assert (clip.stems[2] != 0).mean() == pytest.approx(12 / 16 / 2, abs=0.02)  # half-wave rectified
        silent = np.maximum(0, np.sin(2 * np.pi * (16 * times + one["modulation_phase"]))) == 0
        assert np.abs(clip.stems[2][silent]).max() < 1e-3 * np.abs(clip.stems[2]).max()
    assert len(shapes) > 15  # of 24


# --- one clip ---------------------------------------------------------------------------------------------------------


def test_number_of_objects_follows_its_law(drawn):
    counts = np.bincount([len(clip["objects"]) for cls in CLASSES for clip in drawn[cls]], minlength=5)[1:]
    expected = np.array([0.5, 0.2, 0.2, 0.1]) * counts.sum()
    assert chisquare(counts, expected).pvalue > 0.01


def test_each_object_is_as_likely_and_distinct(drawn):
    for cls in CLASSES:
        chosen = [[one["object"] for one in clip["objects"]] for clip in drawn[cls]]
        assert all(len(set(numbers)) == len(numbers) for numbers in chosen)
        assert chisquare(np.bincount(np.concatenate(chosen))[1:]).pvalue > 0.01


def test_distractors_keep_their_distance_and_have_one_law(drawn):
    bands = [(100, 150), (500, 600), (800, 1000), (1600, 2000), (800, 1600), (3500, 4000), (4000, 4500)]
    for cls in CLASSES:
        numbers = np.bincount([len(clip["distractors"]) for clip in drawn[cls]])
        assert set(np.flatnonzero(numbers)) == {3, 4, 5}
        assert chisquare(numbers[3:]).pvalue > 0.01
        sounds = [one for clip in drawn[cls] for one in clip["distractors"]]
        hz = np.array([one["hz"] for one in sounds])
        assert hz.min() >= 1
        assert hz.max() < 8000
        for low, high in bands:
            assert not ((hz >= low - 50) & (hz <= high + 50)).any()
        modulated = [one["modulation_hz"] for one in sounds if "modulation_hz" in one]
        assert len(modulated) / len(sounds) == pytest.approx(0.5, abs=0.02)
        assert 40 <= min(modulated) < 41
        assert 99 < max(modulated) <= 100
        # Exponential with scale 2000 Hz: odds of two free intervals.
        ratio = ((hz > 2050) & (hz < 3450)).sum() / (hz >= 4550).sum()
        theory = (np.exp(-2050 / 2000) - np.exp(-3450 / 2000)) / (np.exp(-4550 / 2000) - np.exp(-8000 / 2000))
        assert ratio == pytest.approx(theory, rel=0.1)


def test_stems_and_rest_sum_to_the_mixture(full):
    """What is left is noise and tones: no trace of an object beyond rounding."""
    times = np.arange(RATE) / RATE
    for clip in full["class1"][:5] + full["class2"][:5]:
        gain = clip.parameters["gain"] * PEAK
        rest = clip.mixture - clip.stems.sum(0)
        for one in clip.parameters["distractors"]:
            envelope = np.full(RATE, one["alpha"])
            if "modulation_hz" in one:
                turns = one["modulation_hz"] * times + one["modulation_phase"]
                envelope = (one["alpha"] * np.sin(2 * np.pi * turns) + 2) / 3
            rest -= gain * envelope * np.sin(2 * np.pi * (one["hz"] * times + one["phase"]))
        assert rest.std() == pytest.approx(0.01 * gain, rel=0.05)
        assert np.abs(clip.mixture).max() == pytest.approx(PEAK, rel=1e-5)


def test_a_clip_depends_on_its_seed_class_set_and_number_alone():
    first = make("class1", 7)
    np.testing.assert_array_equal(first.mixture, make("class1", 7).mixture)
    for other in (make("class1", 8), make("class2", 7), make("class1", 7, "all-test"), make("class1", 7, seed=4)):
        assert not np.array_equal(first.mixture, other.mixture)


def test_nothing_but_the_objects_tells_the_class():
    """Without the stems a linear classifier guesses; the level of the rest tells nothing either."""
    clips = [(label, make(cls, index)) for label, cls in enumerate(CLASSES) for index in range(450)]
    labels = np.array([label for label, _ in clips])
    rest = np.stack([clip.mixture - clip.stems.sum(0) for _, clip in clips])
    bands = power(rest)[:, :8000].reshape(len(rest), 160, 50).sum(2)  # 50 Hz each
    features = np.log10(bands)
    features = (features - features.mean(0)) / features.std(0)
    even = np.arange(len(clips)) % 2 == 0
    fitted = LogisticRegression(C=0.01, max_iter=500).fit(features[even], labels[even])
    assert abs(roc_auc_score(labels[~even], fitted.decision_function(features[~even])) - 0.5) < 0.06
    assert abs(roc_auc_score(labels, [clip.parameters["gain"] for _, clip in clips]) - 0.5) < 0.06
    with_objects = np.log10(power(np.stack([clip.mixture for _, clip in clips]))[:, :8000].reshape(-1, 160, 50).sum(2))
    fitted = LogisticRegression(max_iter=500).fit(with_objects[even], labels[even])
    assert roc_auc_score(labels[~even], fitted.decision_function(with_objects[~even])) > 0.9


# --- the stage --------------------------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files_are_complete_and_agree(written):
    index = rows(written.generated_index)
    assert len(index) == 2 * (12 + 2 * 3)
    sets = {(row["class"], row["set"]): 0 for row in index}
    for row in index:
        sets[row["class"], row["set"]] += 1
    assert sets == {(cls, kind): 12 if kind == "main" else 3 for cls in CLASSES for kind in synthetic.SETS}
    assert (written.generated / "class1" / "0000.wav").exists()
    assert (written.generated / "class2" / "all-validation-002.wav").exists()
    assert len(list(written.generated.rglob("*"))) == len(index) + 2
    stems = np.load(written.stems, mmap_mode="r")
    assert stems.dtype == np.int16
    assert stems.shape == (4, len(index) * LogMel.from_config({}).clip_samples)
    truth = json.loads(written.truth.read_text())
    assert [clip["path"] for clip in truth["clips"]] == [row["path"] for row in index]
    assert len(truth["objects"]["class1"]) == 4
    assert (truth["objects"]["class1"][2]["low_hz"], truth["objects"]["class1"][2]["high_hz"]) == (800, 2000)
    assert truth["provenance"]["config"]["seed"] == SEED
    for number, row in enumerate(index):
        info = soundfile.info(written.generated / row["path"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 1, RATE, "PCM_16")
        present = [one["object"] - 1 for one in truth["clips"][number]["objects"]]
        own = slice(15120 * number, 15120 * (number + 1))
        assert [o for o in range(4) if stems[o, own].any()] == present
        assert row["set"] == "main" or len(present) == 4


def test_written_stems_are_the_truth_at_the_level_of_the_written_mixture(written):
    stems = np.split(np.load(written.stems), len(rows(written.generated_index)), axis=1)
    times = np.arange(15120) / RATE
    for number, clip in enumerate(json.loads(written.truth.read_text())["clips"]):
        mixture, _ = soundfile.read(written.generated / clip["path"], dtype="int16")
        assert np.abs(mixture.astype(int)).max() == PEAK
        cls = clip["path"].split("/")[0]
        for one in clip["objects"]:
            again = synthetic.render_object(OBJECTS[cls][one["object"] - 1], one, times)
            np.testing.assert_allclose(stems[number][one["object"] - 1], PEAK * clip["gain"] * again, atol=0.51)
        rest = mixture[:15120] - stems[number].sum(0)
        expected = synthetic.make_clip(
            cls,
            "main" if "all" not in clip["path"] else re.sub(r"-\d+$", "", Path(clip["path"]).stem),
            int(re.search(r"(\d+)\.wav", clip["path"])[1]),
            seed=SEED,
            noise=0.01,
            sample_rate=RATE,
        )
        assert np.abs(rest - (expected.mixture - expected.stems.sum(0))[:15120]).max() <= 0.5 * (4 + 1) + 0.1


def test_more_clips_leave_the_others_as_they_are(written, tmp_path):
    generate.run(Job("generate", tmp_path, "toy", settings(14, 1)))
    before = {row["path"]: row["sha256"] for row in rows(written.generated_index)}
    after = {row["path"]: row["sha256"] for row in rows(Layout(tmp_path, "toy").generated_index)}
    shared = before.keys() & after.keys()
    assert len(shared) == 2 * (12 + 2)
    assert all(before[path] == after[path] for path in shared)


def test_equal_settings_give_equal_bytes_and_replace_what_was_there(written, tmp_path):
    layout = Layout(tmp_path, "toy")
    layout.generated.mkdir(parents=True)
    (layout.generated / "stale.wav").touch()
    generate.run(Job("generate", tmp_path, "toy", settings(12, 3)))
    for name in ("stems", "truth", "generated_index"):
        assert getattr(layout, name).read_bytes() == getattr(written, name).read_bytes()
    assert not (layout.generated / "stale.wav").exists()
    assert sorted(path.name for path in layout.root.iterdir()) == [
        "generated",
        "generated.csv",
        "generated.csv.json",
        "stems.npy",
        "truth.json",
    ]


@pytest.mark.parametrize(
    ("frontend", "sentence"),
    [
        (
            {"n_frames": 128},
            r"^Synthetic recordings last 1 s, a clip of the front end 1\.91 s: lower `[^`]+` or `[^`]+`\.$",
        ),
        ({"sample_rate": 8000}, r"^Synthetic recordings reach up to 8000 Hz: .* must be at least 16000, not 8000\.$"),
    ],
)
def test_a_front_end_that_does_not_suit_the_sounds_is_refused(tmp_path, frontend, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        generate.run(Job("generate", tmp_path, "toy", settings(10, 0, **frontend)))
    assert not (tmp_path / "toy").exists()

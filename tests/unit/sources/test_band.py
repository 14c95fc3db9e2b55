"""The band: is every stem where it should be, and does nothing but the playing tell the style?"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from earmark.data import folds
from earmark.data.dataset import DataSet, open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import config
from earmark.plan.datasets import class_slugs, fold_count
from earmark.sound.logmel import LogMel
from earmark.sources.band import sounds
from earmark.sources.band.recordings import Recordings
from earmark.sources.band.score import _chord, compose
from earmark.sources.band.styles import DRUMS, STEMS, STYLES
from earmark.stages import generate, ingest
from earmark.store.layout import Layout, slug

RATE = 16000
SEED = 5


def settings(tracks: int = 3, artists: int = 3, seconds: float = 4, **frontend: int) -> dict:
    block = {
        "source": "band",
        "band": {"tracks_per_style": tracks, "artists": artists, "seconds": seconds},
        "clips_per_recording": 3,
        "frontend": frontend,
    }
    return {**config.fill(block), "seed": SEED, "torch_threads": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Three tracks of 4 s per style."""
    results = tmp_path_factory.mktemp("band")
    generate.run(Job("generate", results, "band", settings()))
    return Layout(results, "band")


@pytest.fixture(scope="module")
def ingested(written: Layout) -> DataSet:
    ingest.run(Job("ingest", written.results, "band", settings()))
    return open_dataset(written)


@pytest.fixture(scope="module")
def rendered() -> dict[str, list]:
    """Score and sound of two tracks of 12 s per style."""
    source = Recordings(settings(tracks=3, seconds=12))
    return {style: [source.render(item) for item in source.items() if item.cls == style][:2] for style in STYLES}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- styles and scores ------------------------------------------------------------------------------------------------


def test_styles_are_complete():
    assert list(STYLES) == sorted(STYLES)
    assert len(STYLES) == 10
    legal = {"kick": "xXo.", "snare": "xXo.", "hat": "xXoOr.", "bass": "13578a.-", "chords": "xm1234.-"}
    legal |= {"lead": "nt.-", "chop": "x."}
    for name, style in STYLES.items():
        assert slug(name) == name
        assert set(style.patterns) == set(STEMS)
        for stem, patterns in style.patterns.items():
            for pattern in patterns:
                assert len(pattern) == 4 * style.division, (name, stem)
                assert set(pattern) <= set(legal[stem]), (name, stem, pattern)
                assert not re.match(r"-|.*\.-", pattern), (name, stem, pattern)  # nothing to hold
        for progression in style.progressions:
            assert all(_chord(chord)[1] for chord in progression.split())


def test_one_tempo_suits_every_style():
    assert max(style.tempo[0] for style in STYLES.values()) < min(style.tempo[1] for style in STYLES.values())


@pytest.mark.parametrize("name", STYLES)
def test_what_is_played_is_the_style_s_pattern(name):
    """Every onset lies on a step of the track's tempo at which a pattern of its stem has a note, fills aside."""
    style = STYLES[name]
    for seed in range(5):
        score = compose(style, 20, np.random.default_rng(seed))
        bar = 240 / score.facts["tempo"]
        step = bar / (4 * style.division)
        start = score.facts["start"]
        played = {stem: score.hits[stem] if stem in DRUMS else score.notes[stem] for stem in STEMS}
        assert sum(bool(events) for events in played.values()) >= 4
        for stem in set(STEMS) - {"snare"}:
            marked = {n for pattern in style.patterns[stem] for n, mark in enumerate(pattern) if mark not in ".-"}
            for one in played[stem]:
                place = (one.time - start) / step
                late = score.facts["swing"] if round(place) % 2 and style.division == 4 else 0
                nearest = round(place - score.facts["swing"] / 2 if style.division == 4 else place)
                assert nearest % (4 * style.division) in marked
                assert abs(place - nearest - late) * step < 0.03 + score.facts["swing"] * step


def test_sections_say_who_plays():
    score = compose(STYLES["disco"], 30, np.random.default_rng(1))
    sections = score.facts["sections"]
    assert len(sections) >= 3
    assert {len(section["stems"]) for section in sections} != {len(STEMS)}
    ends = [section["seconds"] for section in sections[1:]] + [30]
    for section, end in zip(sections, ends, strict=True):
        inside = (section["seconds"] + 0.05, end - 0.05)
        for stem in STEMS:
            events = score.hits[stem] if stem in DRUMS else score.notes[stem]
            if stem not in section["stems"]:
                assert not [one for one in events if inside[0] < one.time < inside[1]], (stem, section)


# --- sounds -----------------------------------------------------------------------------------------------------------

VOICE = sounds.Voice(
    kind="wave",
    slope=1.0,
    odd=1.0,
    cutoff=8.0,
    opening=2.0,
    attack=0.005,
    decay=0.5,
    sustain=0.8,
    detune=1.0,
    vibrato=0.0,
    ratio=1.0,
    index=2.0,
    damping=3.0,
)


@pytest.mark.parametrize("kind", ["wave", "string", "fm"])
@pytest.mark.parametrize("hz", [55.0, 220.0, 830.6])
def test_notes_are_in_tune(kind, hz):
    """The period that the sound repeats best at is that of the note, to a tenth of a semitone and a sample."""
    sound = sounds.note(replace(VOICE, kind=kind), hz, 0.5, RATE, np.random.default_rng(2))[1600:6400]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 16 * len(sound))) ** 2
    repeated = np.fft.irfft(spectrum)  # autocorrelation, 1 / RATE per sample
    periods = np.arange(len(repeated)) / RATE
    near = (periods > 0.75 / hz) & (periods < 1.5 / hz)
    best = periods[near][repeated[near].argmax()]
    assert abs(best - 1 / hz) < 0.006 / hz + 1 / RATE


def test_waves_are_band_limited():
    """A high sawtooth has nothing between its harmonics: partials above half the rate would fold to there."""
    sound = sounds.note(replace(VOICE, cutoff=12.0, opening=6.0), 1234.5, 1.0, RATE, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(sound[2000:14000] * np.blackman(12000))) ** 2
    hz = np.fft.rfftfreq(12000, 1 / RATE)
    harmonic = np.abs((hz + 617.25) % 1234.5 - 617.25) < 30
    assert spectrum[~harmonic & (hz > 100)].sum() < 1e-5 * spectrum.sum()


def test_distortion_adds_harmonics_at_any_level():
    times = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 200 * times).astype(np.float32)
    for level in (0.01, 1.0):
        spectrum = np.abs(np.fft.rfft(sounds.amplify(level * tone, 24, 4000, RATE)))
        assert spectrum[600] > 0.2 * spectrum[200]
        assert spectrum[400] < 0.01 * spectrum[200]  # tanh is odd


def centroid(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float((np.fft.rfftfreq(len(sound), 1 / RATE) * power).sum() / power.sum())


def test_stems_sound_where_their_kind_does(rendered):
    found = {stem: [] for stem in STEMS}
    for tracks in rendered.values():
        for track in tracks:
            for stem, sound in zip(STEMS, track.stems, strict=True):
                if sound.any():
                    found[stem].append(centroid(sound))
    assert all(len(values) >= 5 for values in found.values())
    assert max(found["kick"]) < 300
    assert min(found["hat"]) > 2500
    assert max(found["kick"]) < np.median(found["snare"]) < min(found["hat"])
    assert np.median(found["bass"]) < np.median(found["chords"]) < np.median(found["lead"])


def test_stems_are_within_reach_of_each_other(rendered):
    for tracks in rendered.values():
        for track in tracks:
            levels = [20 * np.log10(sound.std()) for sound in track.stems if sound.any()]
            assert max(levels) - min(levels) < 45
            assert np.abs(track.mixture).max() == pytest.approx(32767, rel=1e-6)


def test_an_artist_sounds_alike_in_every_style_and_unlike_others():
    source = Recordings(settings(tracks=4, artists=3, seconds=4))
    items = list(source.items())
    palettes = {item.path: source.render(item).parameters["palette"] for item in items[:5]}
    one, other, third, again, another_style = palettes.values()
    assert one == again == another_style != other != third


# --- the stage --------------------------------------------------------------------------------------------------------


def test_files_are_complete_and_agree(written):
    index = rows(written.generated_index)
    assert Counter(row["class"] for row in index) == dict.fromkeys(STYLES, 3)
    assert [row["path"] for row in index[:3]] == [f"backbeat/backbeat.{number:05d}.wav" for number in range(3)]
    assert {row["samples"] for row in index} == {str(4 * RATE)}
    stems = np.load(written.stems, mmap_mode="r")
    assert (stems.dtype, stems.shape) == (np.int16, (7, 30 * 4 * RATE))
    truth = json.loads(written.truth.read_text())
    assert [clip["path"] for clip in truth["clips"]] == [row["path"] for row in index]
    assert [clip["artist"] for clip in truth["clips"]] == [row["group"] for row in index]
    assert list(truth["objects"]) == list(STYLES)
    for row in index:
        info = soundfile.info(written.generated / row["path"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 2, 4 * RATE, "PCM_16")


def test_stems_sum_to_the_mixdown_to_rounding(written):
    stems = np.split(np.load(written.stems), 30, axis=1)
    for number, row in enumerate(rows(written.generated_index)):
        channels, _ = soundfile.read(written.generated / row["path"], dtype="int16")
        assert np.abs(channels.astype(int)).max() == 32767
        assert (channels[:, 0] != channels[:, 1]).any()
        left_over = channels.mean(axis=1) - stems[number].sum(axis=0)
        assert np.abs(left_over).max() <= 0.5 + 7 * 0.5 + 0.02


def test_nothing_depends_on_how_many_tracks_or_processes_there_are(written, tmp_path):
    generate.run(Job("generate", tmp_path, "band", settings(tracks=4), processes=2))
    more = Layout(tmp_path, "band")
    before, after = ({row["path"]: row for row in rows(layout.generated_index)} for layout in (written, more))
    assert len(after) == 40
    assert all(after[path] == row for path, row in before.items())
    few, many = np.split(np.load(written.stems), 30, axis=1), np.split(np.load(more.stems), 40, axis=1)
    place = {path: number for number, path in enumerate(after)}
    for number, path in enumerate(before):
        np.testing.assert_array_equal(few[number], many[place[path]])


def test_clips_have_their_stems(ingested):
    assert ingested.n_folds == 3 == fold_count(settings())
    assert [one.slug for one in ingested.classes] == class_slugs(settings())
    picked = np.arange(0, len(ingested.clips), 4)  # all three places in the tracks
    assert set(ingested.clips["offset"][picked] - ingested.clips["recording_offset"][picked]) == {0, 24440, 48880}
    stems, waveforms = ingested.stems(picked), ingested.waveforms(picked)
    assert stems.shape == (len(picked), 7, ingested.clip_samples)
    assert all(ingested.object_names(info) == list(STEMS) for info in ingested.classes)
    assert (stems.sum(dim=1) - waveforms).abs().max() * 32768 <= 0.5 + 1 + 7 * 0.5
    assert len(ingested.held_out("all-test")) == 0


def test_an_artist_lies_in_one_fold(ingested):
    by_artist = ingested.manifest.groupby("group")
    assert len(by_artist) == 3
    for _, tracks in by_artist:
        assert tracks["fold"].nunique() == 1
        assert set(tracks["class"]) == set(STYLES)


def test_ten_folds_hold_as_many_tracks_of_each_style():
    items = list(Recordings(settings(tracks=50, artists=50)).items())
    fold = folds.assign([item.cls for item in items], [item.group for item in items], 10, seed=0)
    counts = Counter((item.cls, number) for item, number in zip(items, fold, strict=True))
    assert set(counts.values()) == {5}


def test_the_average_spectrum_does_not_tell_the_style():
    """A linear model on mean log-mels stays far from what a listener to the rhythm reaches, for artists unheard."""
    source = Recordings(settings(tracks=6, artists=6, seconds=5))
    frontend = LogMel.from_config({"frontend": {"n_fft": 800, "hop": 360, "n_mels": 64, "n_frames": 128}})
    features, labels, artists = [], [], []
    for item in source.items():
        mono = torch.from_numpy(source.render(item).mixture.mean(axis=1) / 32768).float()
        clips = torch.stack([mono[: frontend.clip_samples], mono[-frontend.clip_samples :]])
        features.extend(frontend(clips).mean(dim=(1, 3)).numpy())
        labels += 2 * [item.cls]
        artists += 2 * [item.group]
    features, labels = np.stack(features), np.asarray(labels)
    right = []
    for train, test in GroupKFold(3).split(features, labels, artists):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        right.append(model.fit(features[train], labels[train]).score(features[test], labels[test]))
    assert 0.15 < np.mean(right) <= 0.6


@pytest.mark.parametrize(
    ("frontend", "sentence"),
    [
        ({"hop": 2000}, "The band's tracks last 4 s, a clip of the front end 7.88 s: raise `band.seconds` or lower"),
        ({"sample_rate": 8000}, "The band's cymbals reach up to 8000 Hz: `frontend.sample_rate` must be at least"),
    ],
)
def test_a_front_end_that_does_not_suit_the_sounds_is_refused(tmp_path, frontend, sentence):
    with pytest.raises(EarmarkError, match=re.escape(sentence)):
        generate.run(Job("generate", tmp_path, "band", settings(**frontend)))
    assert not (tmp_path / "band").exists()

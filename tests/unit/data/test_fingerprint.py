"""Copies of a recording are found, whatever was done to them; other recordings are not taken for one."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from earmark.data import fingerprint
from earmark.data.fingerprint import Match, matches
from tests.unit.sources.music import music

RATE = 16000
SECONDS = 5.0


def int16(samples: np.ndarray) -> np.ndarray:
    return np.rint(32767 * np.clip(samples, -1, 1)).astype(np.int16)


def coded(samples: np.ndarray, kind: str, subtype: str) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
    file.seek(0)
    return soundfile.read(file)[0][: len(samples)]


def noisy(samples: np.ndarray, part: float) -> np.ndarray:
    return samples + part * samples.std() * np.random.default_rng(0).standard_normal(len(samples))


COPIES = {
    "quieter by 20 dB": lambda x: 0.1 * x,
    "upside down": lambda x: -x,
    "vorbis": lambda x: coded(x, "OGG", "VORBIS"),
    "mp3": lambda x: coded(x, "MP3", "MPEG_LAYER_III"),
    "mu-law": lambda x: coded(x, "WAV", "ULAW"),
    "by way of 8 kHz": lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE),
    "noise at 20 dB": lambda x: noisy(x, 0.1),
    "less treble": lambda x: np.convolve(x, np.ones(4) / 4)[: len(x)],
    "begins later": lambda x: x[7001:],
    "begins earlier": lambda x: np.concatenate([0.001 * np.random.default_rng(1).standard_normal(5003), x])[: len(x)],
    "its last part": lambda x: x[int(0.55 * len(x)) :],
    "later, quieter and coded": lambda x: coded(0.3 * x[20011:], "MP3", "MPEG_LAYER_III"),
}
SHIFTS = {"begins later": 7001, "begins earlier": -5003, "its last part": 44000, "later, quieter and coded": 20011}


@pytest.fixture(scope="module")
def pieces() -> list[np.ndarray]:
    return [music(seed, SECONDS, RATE) for seed in range(4)]


@pytest.mark.parametrize("density", [fingerprint.DENSE_SECONDS, 0.0], ids=["dense", "sparse"])
def test_copies_are_found_and_other_pieces_are_not(pieces, density, monkeypatch):
    monkeypatch.setattr(fingerprint, "DENSE_SECONDS", density)
    recordings = [int16(piece) for piece in pieces] + [int16(change(pieces[2])) for change in COPIES.values()]
    found = {(match.first, match.second): match for match in matches(recordings, RATE)}
    copies = range(len(pieces), len(recordings))
    assert {pair for pair in found if 2 not in pair and pair[0] < len(pieces)} == set()
    for place, name in zip(copies, COPIES, strict=True):
        assert (2, place) in found, name
        seconds = SHIFTS.get(name, 0) / RATE
        codec_delay = 0.08 if "mp3" in name or "coded" in name else 0.001
        assert found[2, place].seconds == pytest.approx(seconds, abs=codec_delay), name
        assert 0.6 < found[2, place].agreement <= 1 + 1e-6, name


def test_a_piece_over_the_same_loop_is_another_piece():
    bar = music(50, 1.0, RATE)
    loop = np.tile(bar, 5)
    recordings = [int16(0.5 * loop + 0.5 * music(60 + number, SECONDS, RATE)) for number in range(3)]
    assert matches(recordings, RATE) == []


def test_another_performance_is_another_recording():
    """The same notes by ear, each some milliseconds off, on an instrument with other overtones."""
    rng = np.random.default_rng(3)
    starts, pitches = np.sort(rng.uniform(0, SECONDS - 0.5, 40)), 110 * 2 ** (rng.integers(0, 30, 40) / 12)

    def performed(seed: int) -> np.ndarray:
        player = np.random.default_rng(seed)
        samples, time = np.zeros(round(SECONDS * RATE)), np.arange(8000) / RATE
        loudness = player.uniform(0.2, 1, 6)
        for start, hertz in zip(starts + player.normal(0, 0.02, 40).clip(-0.05, 0.05), pitches, strict=True):
            first = max(round(start * RATE), 0)
            for number, level in enumerate(loudness, start=1):
                wave = level * np.sin(2 * np.pi * hertz * number * time) * np.exp(-5 * time)
                samples[first : first + 8000] += wave[: len(samples) - first]
        return samples / np.abs(samples).max()

    assert matches([int16(performed(seed)) for seed in range(4)], RATE) == []


def test_tones_and_silence_have_no_landmarks():
    time = np.arange(3 * RATE) / RATE
    tones = [int16(0.5 * np.sin(2 * np.pi * hertz * time)) for hertz in (440.0, 441.0, 440.0)]
    assert matches([*tones, np.zeros(3 * RATE, np.int16), np.zeros(10, np.int16), np.zeros(0, np.int16)], RATE) == []
    assert matches([], RATE) == []


def test_short_copies_are_found():
    words = [music(80 + number, 0.5, RATE) for number in range(6)]
    recordings = [int16(word) for word in words] + [int16(coded(0.4 * word, "OGG", "VORBIS")) for word in words]
    assert {(match.first, match.second) for match in matches(recordings, RATE)} == {(n, n + 6) for n in range(6)}


def test_too_short_a_stretch_in_common_is_no_match(pieces):
    first, second = pieces[0], np.concatenate([pieces[0][-RATE:], pieces[1][RATE:]])
    assert matches([int16(first), int16(second)], RATE) == []


def test_threads_and_the_type_of_numbers_change_nothing(pieces):
    recordings = [int16(piece) for piece in (pieces[0], pieces[1], 0.5 * pieces[0], pieces[1][4000:])]
    one = matches(recordings, RATE)
    assert [(match.first, match.second) for match in one] == [(0, 2), (1, 3)]
    assert matches(recordings, RATE, workers=3) == one
    floats = matches([recording.astype(np.float64) / 32768 for recording in recordings], RATE)
    assert [(match.first, match.second) for match in floats] == [(0, 2), (1, 3)]
    assert one[1] == Match(1, 3, 0.25, pytest.approx(one[1].agreement))


def test_memory_does_not_grow_with_length():
    whole = int16(music(7, 120.0, RATE))
    tracemalloc.start()
    (found,) = matches([whole, whole[7001:]], RATE)  # of 8 MB each, and spectra of 8 MB, as float32
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16_000_000
    assert found.seconds == 7001 / RATE and found.agreement > 0.99


@pytest.mark.parametrize("density", [fingerprint.DENSE, fingerprint.SPARSE], ids=["dense", "sparse"])
def test_landmarks_do_not_depend_on_the_parts_that_they_are_found_in(pieces, monkeypatch, density):
    recording = int16(np.concatenate(pieces))
    whole = fingerprint.landmarks(recording, RATE, density)
    for part in (3 * density.reach, 100, 10**6):
        monkeypatch.setattr(fingerprint, "PART", part)
        found = fingerprint.landmarks(recording, RATE, density)
        assert np.array_equal(found.codes, whole.codes) and np.array_equal(found.frames, whole.frames)
    assert len(whole.codes) > 100

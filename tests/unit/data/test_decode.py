"""Decoding: the samples of a whole recording, read block by block, of files whose headers are right or wrong."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from earmark.data import decode as decoding
from earmark.data.decode import decode

RATE = 16000


def noise(count: int, channels: int = 1, level: float = 0.2) -> np.ndarray:
    return level * np.random.default_rng(count).standard_normal((count, channels))


def written(path: Path, samples: np.ndarray, rate: int = RATE, **how) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


def riff(
    samples: np.ndarray, rate: int = RATE, *, size: int | None = None, data: int | None = None, before=b"", after=b""
):
    """Return a 16-bit WAV file whose header may say what is not so, with chunks before and after the samples."""
    body = np.rint(samples.ravel() * 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2 & 0xFFFFFFFF, 2, 16)
    content = b"WAVE" + form + before + struct.pack("<4sI", b"data", len(body) if data is None else data) + body + after
    return struct.pack("<4sI", b"RIFF", len(content) if size is None else size) + content


def whole(path: Path) -> np.ndarray:
    """Resample a recording as a whole: float32 [n]."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE, quality="HQ")


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "channels", "how"),
    [
        ("same.wav", RATE, 1, {}),
        ("stereo.wav", 44100, 2, {}),
        ("deep.caf", 96000, 5, {"subtype": "PCM_24"}),
        ("slow.flac", 8000, 1, {}),
        ("vorbis.ogg", 44100, 2, {}),
        ("opus.opus", 48000, 2, {"format": "OGG", "subtype": "OPUS"}),
        ("layer3.mp3", 44100, 2, {}),  # each frame leans on bits of those before
        ("layer3 at the same rate.mp3", RATE, 1, {}),
        ("adpcm.wav", 22050, 1, {"subtype": "MS_ADPCM"}),
    ],
)
def test_blocks_leave_no_trace(tmp_path, monkeypatch, name, rate, channels, how):
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    path = written(tmp_path / name, noise(30001, channels, 0.1), rate, **how)
    np.testing.assert_array_equal(decode(path, RATE).samples, np.rint(whole(path) * np.float32(32768)))


@pytest.mark.parametrize("place", [100, 29000])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_peak_scales_what_came_before_and_after_it(tmp_path, monkeypatch, place, rate):
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    samples = noise(30001)
    samples[place : place + 20] = 3
    path = written(tmp_path / "loud.wav", samples, rate, subtype="FLOAT")
    found, mono = decode(path, RATE).samples, whole(path)
    np.testing.assert_array_equal(found, np.rint(mono * np.float32(32767 / np.abs(mono).max())))
    assert np.abs(found.astype(int)).max() == 32767


@pytest.mark.parametrize("block", [700, 1000, 5000, 10**6])
@pytest.mark.parametrize(
    ("zeros", "pause"),
    [
        ([(0, 0)], (0, 0)),
        ([(0, 1500), (4000, 5400)], (0, 1500)),
        ([(2, 1001), (1900, 5200)], (1900, 3300)),
        ([(100, 1100), (3000, 4000)], (100, 1000)),  # equally long: the first
        ([(50, 60), (7000, 8000)], (7000, 1000)),
    ],
)
def test_a_pause_may_lie_across_blocks(tmp_path, monkeypatch, block, zeros, pause):
    monkeypatch.setattr(decoding, "BLOCK", 2 * block)
    samples = np.full((8000, 2), 0.25) * [1, 0]  # one of two channels sounds
    samples[::7] *= -1
    for start, end in zeros:
        samples[start:end] = 0
    found = decode(written(tmp_path / "pause.wav", samples), RATE)
    assert found.pause == (pause[0] / RATE, pause[1] / RATE)


def test_memory_does_not_grow_with_length(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 2**14)
    path = written(tmp_path / "long.wav", noise(2_000_000, 2), 48000)  # 16 MB as float32
    tracemalloc.start()
    found = decode(path, RATE, tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_500_000
    assert len(found.samples) == pytest.approx(2_000_000 / 3, abs=1)
    assert list(tmp_path.iterdir()) == [path], "what is kept on disk has no name"


def test_a_value_that_is_not_finite_is_found_in_the_last_block(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    samples = noise(5500)
    samples[5400] = np.nan
    found = decode(written(tmp_path / "nan.wav", samples, subtype="FLOAT"), RATE)
    assert (found.reason, found.seconds) == ("holds values that are not finite", 5500 / RATE)


@pytest.mark.parametrize("place", [10, 2500])
def test_a_value_that_is_not_finite_is_found_behind_one_that_would_be_clipped(tmp_path, monkeypatch, place):
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    samples = noise(5500)
    samples[place], samples[5400] = 1.5, np.nan
    found = decode(written(tmp_path / "nan.wav", samples, subtype="FLOAT"), RATE)
    assert (found.reason, found.seconds) == ("holds values that are not finite", 5500 / RATE)


# --- headers ----------------------------------------------------------------------------------------------------------

LIST = struct.pack("<4sI", b"LIST", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"some software\0"
JUNK = struct.pack("<4sI", b"JUNK", 4040) + bytes(4040)


@pytest.mark.parametrize(
    ("content", "samples", "remark"),
    [
        (riff(noise(4800)), 4800, ""),
        (riff(noise(4800), before=JUNK, after=LIST), 4800, ""),
        (riff(noise(4800), after=b"TAG" + bytes(125)), 4800, ""),
        (riff(noise(4800), after=b"ID3\4" + bytes(1000)), 4800, ""),
        (riff(noise(4800), data=9600 + 44), 4800, ""),  # counts itself in
        (riff(noise(4800), size=9636 + 8), 4800, ""),
        (
            riff(noise(4800), size=2**32 - 1, data=2**32 - 1, before=LIST),
            4800,
            "its header says 4294967295 bytes, 9600 are",
        ),
        (riff(noise(4800), size=0x7FFFF024, data=0x7FFFF000), 4800, "its header says 2147479588 bytes, 9636 are there"),
        (
            riff(noise(9600))[: 44 + 9600],
            4800,
            "never closed or cut short: its header says 19236 bytes, 9636 are there",
        ),
        (riff(noise(4800), data=4800), 2400, "its header leaves out the last 4800 bytes"),
    ],
)
def test_samples_that_are_there_are_used_and_a_wrong_header_is_told(tmp_path, content, samples, remark):
    (tmp_path / "x.wav").write_bytes(content)
    found = decode(tmp_path / "x.wav", RATE)
    assert (len(found.samples), found.seconds, found.reason) == (samples, samples / RATE, "")
    assert remark in found.remark
    assert bool(found.remark) == bool(remark)


@pytest.mark.parametrize(
    "content",
    [
        riff(noise(4800), size=0, data=0),
        riff(noise(4800), size=36, data=0),
        riff(noise(4800), size=4088, data=0, before=JUNK),
        riff(np.concatenate([np.zeros((100, 1)), noise(4800)]), size=0, data=0),
    ],
)
def test_a_file_that_was_never_closed_is_not_called_empty_without_a_word(tmp_path, content):
    (tmp_path / "x.wav").write_bytes(content)
    told = f"empty, says its header, though the file has {len(content)} bytes: was it never closed?"
    assert decode(tmp_path / "x.wav", RATE).reason == told


def test_a_header_alone_is_empty(tmp_path):
    (tmp_path / "x.wav").write_bytes(riff(noise(0)))
    assert decode(tmp_path / "x.wav", RATE).reason == "empty"


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("x.wav", {}),
        ("x.wav", {"subtype": "MS_ADPCM"}),
        ("x.w64", {}),
        ("x.rf64", {}),
        ("x.aiff", {}),
        ("x.au", {}),
        ("x.caf", {}),
        ("x.flac", {}),
        ("x.ogg", {}),
        ("x.mp3", {}),
        ("x.voc", {}),
        ("x.sph", {"format": "NIST"}),
    ],
)
def test_a_file_that_is_cut_short_is_told_in_every_format(tmp_path, name, how):
    path = written(tmp_path / name, noise(48000), **how)
    complete = decode(path, RATE)
    assert (complete.remark, complete.reason) == ("", "")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    cut = decode(path, RATE)
    assert "cut short" in cut.remark or cut.reason.startswith("cannot be decoded: ")
    assert len(cut.samples) < len(complete.samples)


@pytest.mark.parametrize("rate", [1, 7, 999, 2_000_001, 10**8, 2**31 - 1])
def test_a_rate_that_cannot_be_is_no_reason_to_resample(tmp_path, rate):
    (tmp_path / "x.wav").write_bytes(riff(noise(2000), rate))
    found = decode(tmp_path / "x.wav", RATE)
    assert found.reason == f"its header says {rate} Hz: no recording is sampled below 1000 Hz or above 2000000 Hz"
    assert (len(found.samples), found.seconds, found.sample_rate) == (0, None, rate)


@pytest.mark.parametrize("rate", [0, 2**32 - 1])
def test_a_rate_that_libsndfile_refuses(tmp_path, rate):
    (tmp_path / "x.wav").write_bytes(riff(noise(2000), rate))
    reason = "cannot be decoded: its header gives no possible sampling rate or number of channels"
    assert decode(tmp_path / "x.wav", RATE).reason == reason


@pytest.mark.parametrize("rate", [1000, 2_000_000])
def test_the_slowest_and_the_fastest_rate(tmp_path, rate):
    found = decode(written(tmp_path / "x.wav", noise(4000), rate), RATE)
    assert (found.reason, len(found.samples)) == ("", 4000 * RATE // rate)


@pytest.mark.parametrize("ending", ["au", "snd"])
def test_a_file_without_a_header_is_not_guessed_at(tmp_path, ending):
    """libsndfile takes it for telephone speech."""
    path = tmp_path / f"x.{ending}"
    path.write_bytes(noise(4000).tobytes())
    assert decode(path, RATE).reason == "cannot be decoded: it has no header"


def test_a_link_to_what_is_not_there(tmp_path):
    (tmp_path / "x.wav").symlink_to("../.git/annex/objects/gone")
    assert decode(tmp_path / "x.wav", RATE).reason == "cannot be read: it is a link to what is not there"

"""Decode recordings to 16-bit mono, block by block: memory does not grow with their length."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from earmark.data.dataset import FULL_SCALE

BLOCK = 2**18
"""Values, of all channels together, that are decoded at a time. The resampler gives the same samples for any block."""

LOWEST_RATE, HIGHEST_RATE = 1000, 2_000_000
"""Sampling rates in Hz outside which a header is wrong: telephones take 8000, the fastest recorders of ultrasound about
a million; and below 1000 there is little of what a mel spectrogram shows, though any length once it is resampled."""

MISCOUNT = 64
"""Bytes by which headers are often off: they count themselves in, or leave out a byte of padding."""

MISCOUNT_SAMPLES = 2304
"""Two frames of MP3: encoders count the padding at both ends in different ways."""

BARE_HEADER = 512
"""Bytes that a header without samples may take."""

QUIET = 1.5
"""16-bit steps below which a sample counts as zero: a lossy codec or dither leaves single ones."""

SPHERE_HEADER = 1024
"""Bytes of the header of a SPHERE file."""

MISSIZED = re.compile(r"(\d+) \(should be (\d+)\)")
"""How libsndfile notes a size in a header and what the file has room for."""

LEFT_OVER = re.compile(r"Unknown chunk marker \(\w+\) at position (\d+)\. Exiting parser")
"""How libsndfile notes where it stopped to understand a file."""

TAGS = (b"ID3", b"TAG")
"""Beginnings of what players append to files."""

INCOMPLETE = 24
"""libsndfile's number for a header that gives a rate or a number of channels that cannot be."""

NOT_FINITE = "holds values that are not finite"

NOTHING = np.empty(0, "<i2")


@dataclass(frozen=True)
class Decoded:
    """Content of a file: int16 `samples` ``[n]``, none of them where a `reason` says why it cannot be used.

    `pause` is its longest run of zeros: its start and its length in seconds. `remark` says what is wrong with a
    file that can be used. `gain` is what full scale became, less than `FULL_SCALE` where 16 bits would have been too
    few.
    """

    samples: np.ndarray
    seconds: float | None
    sample_rate: int | None
    sha256: str
    reason: str = ""
    pause: tuple[float, float] = (0.0, 0.0)
    remark: str = ""
    gain: float = FULL_SCALE


class _Forward(soundfile.SoundFile):
    """A file that is read from its start to its end.

    Of one that can be sought, soundfile seeks the place where it is after every read. That makes the decoder of MP3
    forget the bits that it keeps for the next frame, and the next block begins with noise. One seek at the very
    start gives what reading a file as a whole gives, to the last bit.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if super().seekable():
            self.seek(0)

    def seekable(self) -> bool:
        """Say that there is no other place to go to."""
        return False


def decode(path: Path, sample_rate: int, folder: Path | None = None) -> Decoded:
    """Decode a file to 16-bit mono at `sample_rate`.

    Channels are averaged. Where resampling (or a floating-point file) exceeds full scale, the
    whole recording is scaled down: nothing is clipped. The samples lie in a file without a name, mapped into memory.

    Parameters
    ----------
    path : Path
        An audio file.
    sample_rate : int
        In Hz.
    folder : Path, optional
        Where there is room for the samples; by default where the system keeps temporary files.

    Returns
    -------
    Decoded
        With a `reason` and no samples if the file cannot be read, is empty, holds values
        that are not finite, is wholly silent or claims a sampling rate that cannot be.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        gone = error.errno == errno.ENOENT and path.is_symlink()
        why = "it is a link to what is not there" if gone else error.strerror
        return Decoded(NOTHING, None, None, "", f"cannot be read: {why}")
    return dataclasses.replace(_readable(lambda: _decoded(path, sample_rate, folder)), sha256=sha256)


def decode_part(path: Path, sample_rate: int, place: np.ndarray) -> Decoded:
    """Decode a file that is part of a recording to mono at `sample_rate`, at its own level.

    Parameters
    ----------
    path : Path
        An audio file.
    sample_rate : int
        In Hz.
    place : array of float32 [n]
        Where the samples are written, of full scale 1; what has no room there is left out.

    Returns
    -------
    Decoded
        Without samples: how long the file is, with a `reason` if it cannot be read or holds values that are not finite.
    """
    return _readable(lambda: _decoded_part(path, sample_rate, place))


def _readable(read: Callable[[], Decoded]) -> Decoded:
    """Read a file, or say why it cannot be."""
    try:
        return read()
    except soundfile.LibsndfileError as error:
        return Decoded(NOTHING, None, None, "", f"cannot be decoded: {_said(error)}")
    except (MemoryError, ValueError):  # a damaged header can claim any number of channels
        return Decoded(NOTHING, None, None, "", "cannot be decoded: its header makes no sense")


def _decoded_part(path: Path, sample_rate: int, place: np.ndarray) -> Decoded:
    heard, done = _Heard(), 0
    with _Forward(path) as file:
        rate, reason = file.samplerate, _not_sound(file)
        for samples in () if reason else _resampled(file, sample_rate, heard):
            room = place[done : done + len(samples)]
            room[:] = samples[: len(room)]
            done += len(room)
    return Decoded(NOTHING, heard.frames / rate, rate, "", reason or ("" if heard.finite else NOT_FINITE))


def _not_sound(file: soundfile.SoundFile) -> str:
    """Say why an open file is no recording; nothing where it may be one."""
    if file.format == "RAW":  # what libsndfile takes a file without a header for, if it ends in .au or .snd
        return "cannot be decoded: it has no header"
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        allowed = f"no recording is sampled below {LOWEST_RATE} Hz or above {HIGHEST_RATE} Hz"
        return f"its header says {file.samplerate} Hz: {allowed}"
    return ""


def _said(error: soundfile.LibsndfileError) -> str:
    if error.code == INCOMPLETE:
        return "its header gives no possible sampling rate or number of channels"
    return str(error.error_string).strip().removeprefix("Error : ").rstrip(".")


def _decoded(path: Path, sample_rate: int, folder: Path | None) -> Decoded:
    """Decode a file, its checksum aside."""
    with _Forward(path) as file:
        rate, claimed = file.samplerate, file.frames
        reason = _not_sound(file)
        if reason:
            return Decoded(NOTHING, None, None if file.format == "RAW" else rate, "", reason)
        remark = _misfit(path, file.extra_info)
        claimed = max(claimed, _sphere_samples(path)) if file.format == "NIST" else claimed
        with tempfile.TemporaryFile(dir=folder) as spool:
            gain = np.float32(FULL_SCALE)
            heard = _convert(file, sample_rate, gain, spool)
            if heard.finite and heard.clips:
                spool.seek(0)
                gain = np.float32((FULL_SCALE - 1) / heard.peak)
                with _Forward(path) as again:
                    heard_again = _convert(again, sample_rate, gain, spool)
                heard = dataclasses.replace(heard_again, peak=heard.peak)
            samples = np.memmap(spool, "<i2", "r", shape=(heard.written,)) if heard.written else NOTHING
    if heard.frames + MISCOUNT_SAMPLES < claimed:
        remark = remark or f"cut short: its header says {claimed} samples, {heard.frames} are there"
    content = Decoded(samples, heard.frames / rate, rate, "", "", heard.pause(rate), remark, float(gain))
    return _judged(content, heard, path)


def _judged(content: Decoded, heard: _Heard, path: Path) -> Decoded:
    """Leave out a recording that is nothing to learn from."""
    reason = ""
    if not heard.finite:
        reason = NOT_FINITE
    elif not heard.written:
        size = path.stat().st_size
        told = f", says its header, though the file has {size} bytes: was it never closed?"
        reason = "empty" + (told if size > BARE_HEADER and not heard.frames else "")
    elif heard.low == heard.high:
        reason = "silent"
    if not reason:
        return content
    return Decoded(NOTHING, content.seconds, content.sample_rate, "", reason)


@dataclass
class _Heard:
    """What a pass over a recording finds out.

    `frames` are counted at the file's rate, `written` samples at the other one; `low` and `high` are in steps of
    16 bits, before they are stored.
    """

    frames: int = 0
    written: int = 0
    finite: bool = True
    peak: np.float32 = field(default_factory=lambda: np.float32(0))
    low: float = np.inf
    high: float = -np.inf
    loud: int = -1
    silence: tuple[int, int] = (0, 0)

    @property
    def clips(self) -> bool:
        """Whether 16 bits are too few."""
        return self.high > FULL_SCALE - 1 or self.low < -FULL_SCALE

    def listen(self, samples: np.ndarray) -> None:
        """Look for pauses in the next samples of the file, ``[n, channels]``."""
        loud = self.frames + np.flatnonzero((np.abs(samples) >= QUIET / FULL_SCALE).any(axis=1))
        self._close(np.concatenate([[self.loud], loud]))
        self.frames += len(samples)

    def pause(self, rate: int) -> tuple[float, float]:
        """Return start and length in seconds of the longest run of zeros."""
        self._close(np.array([self.loud, self.frames]))
        start, length = self.silence
        return start / rate, length / rate

    def _close(self, edges: np.ndarray) -> None:
        """Note the longest gap between neighbours, if it is the longest so far."""
        self.loud = int(edges[-1])
        gaps = np.diff(edges) - 1
        if len(gaps) and gaps.max() > self.silence[1]:
            longest = int(np.argmax(gaps))
            self.silence = (int(edges[longest]) + 1, int(gaps[longest]))


def _convert(file: soundfile.SoundFile, sample_rate: int, gain: np.float32, spool: BinaryIO) -> _Heard:
    """Write a file's samples as 16-bit mono, up to where they would be clipped."""
    heard = _Heard()
    for samples in _resampled(file, sample_rate, heard):
        if not len(samples):
            continue
        scaled = np.rint(samples * gain)
        heard.peak = max(heard.peak, np.abs(samples).max())
        heard.low, heard.high = min(heard.low, float(scaled.min())), max(heard.high, float(scaled.max()))
        if not heard.clips:
            heard.written += len(scaled)
            spool.write(scaled.astype("<i2").tobytes())
    spool.flush()
    return heard


def _resampled(file: soundfile.SoundFile, sample_rate: int, heard: _Heard) -> Iterator[np.ndarray]:
    """Yield a file's samples, channels averaged, at another rate: float32 ``[n]``; up to what is not finite."""
    stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    size = max(BLOCK // file.channels, 1)
    while len(samples := file.read(size, dtype="float32", always_2d=True)):
        heard.listen(samples)
        mono = samples.mean(axis=1)  # [n]
        heard.finite = heard.finite and bool(np.isfinite(mono).all())
        if heard.finite:
            yield stream.resample_chunk(mono)
    if heard.finite and heard.frames:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _misfit(path: Path, info: str) -> str:
    """Say where a header and the file do not fit, by what libsndfile noted; nothing where they do."""
    for said, there in MISSIZED.findall(info):
        if int(said) - int(there) > MISCOUNT:
            return f"written to a pipe, never closed or cut short: its header says {said} bytes, {there} are there"
    if "lacks an end-of-stream" in info or "truncated" in info:
        return "cut short: its end is missing"
    stopped = LEFT_OVER.search(info)
    if stopped:
        with path.open("rb") as file:
            file.seek(int(stopped[1]))
            rest = path.stat().st_size - int(stopped[1])
            if rest > MISCOUNT and not file.read(3).startswith(TAGS):
                return f"its header leaves out the last {rest} bytes"
    return ""


def _sphere_samples(path: Path) -> int:
    """Read from the text that a SPHERE file begins with how many samples follow: libsndfile does not compare."""
    with path.open("rb") as file:
        count = re.search(rb"^sample_count -i (\d+)", file.read(SPHERE_HEADER), re.MULTILINE)
    return int(count[1]) if count else 0

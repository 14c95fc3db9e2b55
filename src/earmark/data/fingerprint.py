"""Find recordings that are one recording: copied, re-encoded, at another level, or cut at another place.

Two steps, because the first alone can err. *Landmarks*, pairs of spectral peaks, vote for the offset in time between
two recordings (Wang 2003, "An industrial-strength audio search algorithm"). Where many agree, the recordings are laid
on top of each other to the sample, and the *agreement* of their spectra's movements decides: two performances of one
piece, or two pieces over one loop, do not move alike in every bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import maximum_filter, uniform_filter1d

WINDOW = 0.064
"""Seconds of a frame, rounded to a power of two samples; four frames overlap."""

HIGHEST = 4000.0
"""Hz; above it lossy codecs and low sampling rates leave too little."""

DEPTH = 6.0
"""Nepers below the recording's loudest cell beyond which no peak is looked for."""

LONGEST, WIDEST = 63, 31
"""Frames and bins between the two peaks of a landmark, at most."""

COMMON = 400
"""A landmark that occurs more often than this, over all recordings, tells nothing."""

VOTES = 4
"""Landmarks that must agree on an offset."""

SHARE = 0.03
"""Part of the landmarks of the stretch in common that must agree on it."""

STRETCH = 2.0, 0.8
"""Recordings must have this many seconds in common, or this part of the shorter one."""

AGREEMENT = 0.5, 0.25
"""Agreement from which two recordings are one, for a long overlap, and what is added for one of a second or less:
takes of one word by one speaker reach .68 in half a second, pieces over one loop .33 in twelve (docs/gtzan.md)."""

PART = 512
"""Frames that are transformed at once: memory does not grow with the length of a recording but by its landmarks."""

BLOCK = 2**17
"""Samples that are laid on top of each other at once."""


@dataclass(frozen=True)
class Density:
    """How many landmarks a recording gets.

    Attributes
    ----------
    reach : int
        Frames and bins around a peak that lie below it.
    prominence : float
        Nepers by which a peak stands out from the mean of its own bin within `reach`; a steady tone has no peaks.
    partners : int
        Later peaks that a peak makes landmarks with.
    """

    reach: int
    prominence: float
    partners: int


DENSE, SPARSE = Density(5, 0.3, 8), Density(10, 0.5, 5)

DENSE_SECONDS = 3600.0
"""All recordings together; up to here short ones are worth many landmarks, beyond there would be too many."""


@dataclass(frozen=True)
class Match:
    """Two recordings that are one.

    Attributes
    ----------
    first, second : int
        Their places in the list; `first` < `second`.
    seconds : float
        When the second begins in the time of the first.
    agreement : float
        Correlation of their spectra's movements where they overlap.
    """

    first: int
    second: int
    seconds: float
    agreement: float


@dataclass(frozen=True)
class Landmarks:
    """Codes of a recording's landmarks and the frames they begin at, int64 ``[L]`` each."""

    codes: np.ndarray
    frames: np.ndarray


def matches(recordings: Sequence[np.ndarray], rate: int, workers: int = 1) -> list[Match]:
    """List the pairs of recordings that are one.

    Parameters
    ----------
    recordings : sequence of numpy.ndarray
        Samples ``[n]`` of each, of any number type; they may lie on disk, as each is read on its own.
    rate : int
        Their sampling rate in Hz.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    list of Match
        In the order of `first`, then `second`.

    Notes
    -----
    Robust to level, filters, sampling rate, lossy codecs, noise and cuts. Not found are copies at another speed or
    pitch, and excerpts that do not overlap.
    """
    seconds = sum(len(samples) for samples in recordings) / rate
    density = DENSE if seconds <= DENSE_SECONDS else SPARSE
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda samples: landmarks(samples, rate, density), recordings))
        index = _Index(found)
        candidates = chain.from_iterable(pool.map(index.candidates, range(len(found))))
        checked = pool.map(lambda candidate: _checked(recordings, rate, *candidate), candidates)
        return [match for match in checked if match is not None]


def landmarks(samples: np.ndarray, rate: int, density: Density) -> Landmarks:
    """Find the landmarks of a recording.

    Parameters
    ----------
    samples : numpy.ndarray
        ``[n]``.
    rate : int
        In Hz.
    density : Density
        The same for all recordings that are to be compared.
    """
    loudest = max(float(part.max()) for part in _spectra(samples, rate))
    levels = (_levels(part, loudest) for part in _spectra(samples, rate))
    frames, bins = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    done, before = 0, (nothing := np.empty((0, _bins(rate)), np.float32))
    for level, after in pairwise(chain(levels, [nothing])):
        near = np.concatenate([before, level, after[: density.reach]])  # a peak's surroundings may lie in other parts
        own = slice(len(before), len(before) + len(level))
        rows, columns = np.nonzero(_peaks(near, density)[own])  # ordered by time, then frequency
        frames.append(rows + done)
        bins.append(columns)
        done, before = done + len(level), level[-density.reach :]
    return _paired(np.concatenate(frames), np.concatenate(bins), density.partners)


def _levels(magnitudes: np.ndarray, loudest: float) -> np.ndarray:
    """Nepers ``[P, bins]`` of magnitudes below the recording's largest."""
    relative = magnitudes / np.maximum(np.float32(loudest), np.finfo(np.float32).tiny)
    return np.log(np.maximum(relative, 1e-9))


def _peaks(level: np.ndarray, density: Density) -> np.ndarray:
    """Say which cells of ``[P, bins]`` nepers are peaks."""
    around = 2 * density.reach + 1
    highest = maximum_filter(level, around, mode="nearest")
    mean = uniform_filter1d(level, around, axis=0, mode="nearest")
    return (level == highest) & (level > mean + density.prominence) & (level > -DEPTH)


def _paired(frames: np.ndarray, bins: np.ndarray, partners: int) -> Landmarks:
    """Make landmarks of every peak with its next `partners` ones that are neither too near nor too far."""
    taken = np.zeros(len(frames), np.int64)
    codes, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for ahead in range(1, len(frames)):
        wait, leap = frames[ahead:] - frames[:-ahead], bins[ahead:] - bins[:-ahead]
        if wait.min() > LONGEST:
            break
        fits = (wait >= 2) & (wait <= LONGEST) & (np.abs(leap) <= WIDEST) & (taken[:-ahead] < partners)
        taken[:-ahead] += fits
        code = (bins[:-ahead] * (2 * WIDEST + 1) + leap + WIDEST) * (LONGEST + 1) + wait
        codes.append(code[fits])
        places.append(frames[:-ahead][fits])
    return Landmarks(np.concatenate(codes), np.concatenate(places))


class _Index:
    """All recordings' landmarks by code, to look up those of one recording among all later ones."""

    def __init__(self, found: Sequence[Landmarks]) -> None:
        self.found, self.count = found, len(found)
        owners = np.repeat(np.arange(self.count), [len(one.codes) for one in found])  # [all L]
        keys = np.concatenate([np.empty(0, np.int64), *(one.codes for one in found)]) * self.count + owners
        order = np.argsort(keys, kind="stable")
        self.keys, self.owners = keys[order], owners[order]
        self.frames = np.concatenate([np.empty(0, np.int64), *(one.frames for one in found)])[order]

    def candidates(self, first: int) -> list[tuple[int, int, int]]:
        """List ``(first, second, offset in frames)`` of later recordings that enough landmarks connect with `first`."""
        own = self.found[first]
        begin = np.searchsorted(self.keys, own.codes * self.count)
        later = np.searchsorted(self.keys, own.codes * self.count + first + 1)
        end = np.searchsorted(self.keys, (own.codes + 1) * self.count)
        sizes = np.where(end - begin <= COMMON, end - later, 0)
        start = np.repeat(later - np.cumsum(sizes) + sizes, sizes)
        places = start + np.arange(len(start))  # [V] rows of the index, one per vote
        if not len(places):
            return []
        offsets = np.repeat(own.frames, sizes) - self.frames[places]
        return [
            (first, second, offset)
            for second, offset, votes in _elected(self.owners[places], offsets)
            if votes >= max(VOTES, SHARE * self._landmarks_in_common(first, second, offset))
        ]

    def _landmarks_in_common(self, first: int, second: int, offset: int) -> int:
        """Count the landmarks where two recordings overlap, of the one that has fewer there."""
        one, other = self.found[first].frames, self.found[second].frames + offset
        begin = max(one.min(), other.min())
        end = min(one.max(), other.max())
        return min(int(np.count_nonzero((frames >= begin) & (frames <= end))) for frames in (one, other))


def _elected(owners: np.ndarray, offsets: np.ndarray) -> list[tuple[int, int, int]]:
    """Return for every owner the offset with most votes, those of the two next to it included, and their number."""
    lowest = int(offsets.min()) - 1
    width = int(offsets.max()) - lowest + 2
    keys, votes = np.unique(owners * width + offsets - lowest, return_counts=True)
    follows = np.diff(keys) == 1
    total = votes.copy()
    total[1:] += np.where(follows, votes[:-1], 0)
    total[:-1] += np.where(follows, votes[1:], 0)
    order = np.lexsort((-total, keys // width))
    best = order[np.unique((keys // width)[order], return_index=True)[1]]
    return [(int(keys[row] // width), int(keys[row] % width) + lowest, int(total[row])) for row in best]


def _checked(recordings: Sequence[np.ndarray], rate: int, first: int, second: int, offset: int) -> Match | None:
    """Lay two recordings on top of each other and see whether they are one."""
    size, step = _frame(rate)
    one, other = recordings[first], recordings[second]
    shift = offset * step
    shift += _lag(*_overlap(one, other, shift), 2 * step)
    upper, lower = _overlap(one, other, shift)
    seconds, part = STRETCH
    if len(upper) < max(size, min(seconds * rate, part * min(len(one), len(other)))):
        return None
    agreement = _correlation(zip(_movements(upper, rate), _movements(lower, rate), strict=True))
    least, more = AGREEMENT
    enough = agreement >= least + more * min(rate / len(upper), 1.0)
    return Match(first, second, shift / rate, agreement) if enough else None


def _overlap(one: np.ndarray, other: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut two recordings to what they have in common if the second begins `shift` samples into the first."""
    begin, end = max(shift, 0), max(min(len(one), shift + len(other)), 0)
    return one[begin:end], other[begin - shift : max(end - shift, 0)]


def _lag(one: np.ndarray, other: np.ndarray, most: int) -> int:
    """Return by how many samples, at most `most` either way, the second is early: where their product is largest."""
    if not len(one):
        return 0
    near = np.zeros(2 * most + 1)  # sums of their products, the second late by `most` first
    for first in range(0, len(other), BLOCK):
        part = np.asarray(other[first : first + BLOCK], np.float32)
        there = np.asarray(one[max(first - most, 0) : first + len(part) + most], np.float32)
        lead = max(most - first, 0)
        around = np.pad(there, (lead, len(part) + 2 * most - lead - len(there)))
        size = next_fast_len(len(around))
        near += irfft(rfft(around, size) * rfft(part, size).conj(), size)[: len(near)]
    return int(np.argmax(np.abs(near))) - most  # a copy may have its sign changed


def _frame(rate: int) -> tuple[int, int]:
    """Return the samples of a frame and from one frame to the next."""
    size = 2 ** round(np.log2(WINDOW * rate))
    return size, size // 4


def _bins(rate: int) -> int:
    """Return the bins of a frame that are looked at."""
    return int(min(HIGHEST, rate / 2) * _frame(rate)[0] / rate)


def _spectra(samples: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """Yield magnitudes of the frames, some after the other: float32 ``[P, bins]``; at least one frame in all."""
    size, step = _frame(rate)
    window = np.hanning(size).astype(np.float32)
    count = max(len(samples) - size, 0) // step + 1
    for first in range(0, count, PART):
        last = min(first + PART, count) - 1
        part = np.asarray(samples[first * step : last * step + size], np.float32)
        padded = np.pad(part, (0, max(size - len(part), 0)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]  # [P, size]
        yield np.abs(rfft(frames * window, axis=1)[:, : _bins(rate)])


def _movements(samples: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """Yield changes over two frames of the step between bins, ``[P, bins - 1]``; by the root, loud cells do not decide.

    They are on the scale of the samples.
    """
    held = np.empty((0, _bins(rate)), np.float32)
    for magnitudes in _spectra(samples, rate):
        cells = np.concatenate([held, np.sqrt(magnitudes)])
        yield np.diff(cells[2:] - cells[:-2], axis=1)
        held = cells[-2:]


def _correlation(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Cosine of the angle between two arrays that come in parts, 0 where one is 0."""
    products = np.zeros(3)
    for one, other in parts:
        pairs = (one, other), (one, one), (other, other)
        products += [float((first * second).sum(dtype=np.float64)) for first, second in pairs]
    norm = float(np.sqrt(products[1] * products[2]))
    return float(products[0]) / norm if norm > 0 else 0.0

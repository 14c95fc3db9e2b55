"""How a voice sounds: pulses of the glottis and breath, filtered by a vocal tract that moves, in a room.

The source-filter theory (Fant 1960). What is voiced is a sum of harmonics: each has the amplitude and phase that the
pulse and the tract give it, so that nothing folds at half the sampling rate and every harmonic is known by itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import signal

from earmark.sources.voices.vowels import BANDWIDTHS, HIGHER, PATTERNS, REGISTERS, VOWELS

STEP_SECONDS = 0.005
"""The tract's response is computed so often, and interpolated between."""

GRAIN_SECONDS = 0.032
"""Breath is filtered in pieces of this length, which overlap by half."""

TABLE = 4096
"""Samples of one period of the glottis."""

BLUR = 0.06
"""Neighbouring formants share harmonics within so much, in parts of the frequency, of the border between them."""

TRACT = (0.96, 1.04)
"""A speaker's vocal tract against the register's: formants are so much higher."""

VARIATION = (0.06, 0.05, 0.03)
"""The first three formants of a vowel depart from the speaker's by at most so much, take by take."""

HIGHER_OR_LOWER = (0.95, 1.05)
"""Mean fundamental of a take against the speaker's."""

JITTER, SHIMMER = 0.006, 0.03
"""Standard deviations of period and amplitude from cycle to cycle, in parts of them."""

RAMP_SECONDS = 0.020
"""In which the room's last sound ends."""

ECHO_SECONDS = (0.003, 0.120)
"""When the room's answer begins and ends after what is said."""


@dataclass(frozen=True)
class Speaker:
    """One who speaks.

    Attributes
    ----------
    sex : str
        A key of `REGISTERS`.
    hz : float
        Mean fundamental.
    tract : float
        Formants against those of the men of `VOWELS`.
    open_quotient, speed_quotient : float
        Part of a period in which the glottis is open, and how much longer it opens than it closes.
    breath_db : float
        Level of the breath against what is voiced.
    """

    sex: str
    hz: float
    tract: float
    open_quotient: float
    speed_quotient: float
    breath_db: float


@dataclass(frozen=True)
class Take:
    """One pattern, said once.

    Attributes
    ----------
    hz : float
        Mean fundamental.
    declination : float
        How much it falls from beginning to end, in parts of it.
    formants : tuple of tuple of float
        Hz, five of each vowel.
    seconds : float
        Duration, without the room's answer.
    turn, glide_seconds : float
        When the tract is half-way between the vowels, in parts of the duration; how long the way takes.
    attack, release : float
        In s.
    fall_db : float
        How much softer the end is than the beginning.
    echo_db, decay_seconds : float
        Energy of the room's answer against what comes straight, and the time in which it falls by 60 dB.
    offset : float
        Seconds of silence before.
    """

    hz: float
    declination: float
    formants: tuple[tuple[float, ...], tuple[float, ...]]
    seconds: float
    turn: float
    glide_seconds: float
    attack: float
    release: float
    fall_db: float
    echo_db: float
    decay_seconds: float
    offset: float


def draw_speaker(sex: str, rng: np.random.Generator) -> Speaker:
    """Draw one who speaks in the register of a key of `REGISTERS`."""
    register = REGISTERS[sex]
    return Speaker(
        sex,
        hz=_between(rng, *register.hz),
        tract=register.tract * _between(rng, *TRACT),
        open_quotient=_between(rng, 0.5, 0.7),
        speed_quotient=_between(rng, 1.5, 3),
        breath_db=_between(rng, -32, -20),
    )


def draw_take(speaker: Speaker, digit: str, room_seconds: float, rng: np.random.Generator) -> Take:
    """Draw how a speaker says a key of `PATTERNS` once, anywhere in `room_seconds`."""
    first, second = (_formants(vowel, speaker, rng) for vowel in PATTERNS[digit])
    seconds = _between(rng, 0.32, 0.6)
    return Take(
        hz=speaker.hz * _between(rng, *HIGHER_OR_LOWER),
        declination=_between(rng, 0.04, 0.12),
        formants=(first, second),
        seconds=seconds,
        turn=_between(rng, 0.42, 0.58),
        glide_seconds=_between(rng, 0.07, 0.14),
        attack=_between(rng, 0.02, 0.06),
        release=_between(rng, 0.06, 0.12),
        fall_db=_between(rng, 0, 6),
        echo_db=_between(rng, -20, -8),
        decay_seconds=_between(rng, 0.1, 0.35),
        offset=_between(rng, 0, room_seconds - seconds - ECHO_SECONDS[1]),
    )


def flow(turns: np.ndarray, open_quotient: float, speed_quotient: float) -> np.ndarray:
    """Air that passes the glottis, 0 to 1, by the trigonometric pulse of Rosenberg (1971).

    Parameters
    ----------
    turns : numpy.ndarray
        Time in periods.
    open_quotient, speed_quotient : float
        See `Speaker`.
    """
    opening = open_quotient * speed_quotient / (1 + speed_quotient)
    closing = open_quotient - opening
    phase = turns % 1
    rising = (1 - np.cos(np.pi * phase / opening)) / 2
    falling = np.cos(np.pi / 2 * (phase - opening) / closing)
    return np.where(phase < opening, rising, np.where(phase < open_quotient, falling, 0))


def harmonics(speaker: Speaker, count: int) -> np.ndarray:
    """Return amplitudes and phases of the first harmonics of a speaker's pulse: complex ``[count]``.

    Of its derivative, as lips radiate what passes them.
    """
    pulse = flow(np.arange(TABLE) / TABLE, speaker.open_quotient, speaker.speed_quotient)
    number = np.arange(1, count + 1)
    return 2j * np.pi * number * np.fft.rfft(pulse)[number] / TABLE


def tract(hz: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Return the response of a vocal tract: five resonators in a row, each of gain 1 at 0 Hz (Fant 1960).

    Parameters
    ----------
    hz : numpy.ndarray
        Frequencies ``[..., M]``.
    formants : numpy.ndarray
        Of the resonators, in Hz, ``[5, M]``.

    Returns
    -------
    numpy.ndarray
        Complex ``[..., M]``.
    """
    response = np.ones(hz.shape, complex)
    for centre, width in zip(formants, BANDWIDTHS, strict=True):
        pole = -width / 2 + 1j * centre  # [M], in Hz
        response = response * np.abs(pole) ** 2 / ((1j * hz - pole) * (1j * hz - pole.conj()))
    return response


def shares(hz: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Share harmonics out among what sounds: the first is the fundamental, the others belong to the nearest formant.

    Parameters
    ----------
    hz : numpy.ndarray
        Of the harmonics, ``[K, M]``.
    formants : numpy.ndarray
        In Hz, ``[5, M]``.

    Returns
    -------
    numpy.ndarray
        ``[4, K, M]``: fundamental, first, second, higher formants. They sum to 1. Borders lie at the geometric mean
        of two formants.
    """
    above = [1 / (1 + (np.sqrt(lower * upper) / hz) ** (1 / BLUR)) for lower, upper in itertools.pairwise(formants[:3])]
    parts = np.stack([np.zeros_like(hz), 1 - above[0], above[0] * (1 - above[1]), above[0] * above[1]])  # [4, K, M]
    parts[:, 0] = np.array([1, 0, 0, 0])[:, None]
    return parts


def say(speaker: Speaker, take: Take, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Say one pattern once.

    Parameters
    ----------
    speaker, take : Speaker, Take
        Who speaks, and how.
    samples : int
        Of the recording, zeros before and behind included.
    rate : int
        In Hz.
    rng : numpy.random.Generator
        For jitter, shimmer, breath and the room.

    Returns
    -------
    numpy.ndarray
        What sounds, in the order of `STEMS`: ``[5, samples]``.
    """
    count = round(take.seconds * rate)
    times = np.arange(count) / rate
    hz = take.hz * (1 + take.declination * (0.5 - times / take.seconds)) * (1 + JITTER * _cycles(take, times, rng))
    turns = np.cumsum(hz) / rate
    level = _envelope(take, times) * (1 + SHIMMER * _cycles(take, times, rng))
    voiced = level * _voiced(speaker, take, hz, turns, rate)  # [4, n]
    opened = 0.3 + 0.7 * flow(turns, speaker.open_quotient, speaker.speed_quotient)
    breath = _filtered(level * opened * rng.standard_normal(count), take, rate)
    breath *= 10 ** (speaker.breath_db / 20) * voiced.sum(axis=0).std() / breath.std()
    heard = _in_room(np.vstack([voiced, breath]), take, rate, rng)
    recorded = np.zeros((len(heard), samples))
    start = round(take.offset * rate)
    recorded[:, start : start + heard.shape[1]] = heard
    return recorded


def _voiced(speaker: Speaker, take: Take, hz: np.ndarray, turns: np.ndarray, rate: int) -> np.ndarray:
    """Sum the harmonics of what sounds: ``[4, n]``."""
    count = int(rate / 2 / hz.min())
    number = np.arange(1, count + 1)[:, None]  # [K, 1]
    at = np.arange(0, len(hz) / rate + STEP_SECONDS, STEP_SECONDS)  # [M]
    places = number * np.interp(at, np.arange(len(hz)) / rate, hz)  # [K, M]
    formants = _moved(take, at)
    gains = harmonics(speaker, count)[:, None] * tract(places, formants)
    gains *= np.clip(10 * (1 - 2 * places / rate), 0, 1)  # nothing reaches half the rate
    harmonic = (_between_steps(gains, len(hz), rate) * np.exp(2j * np.pi * number * turns)).real  # [K, n]
    return np.stack([(_between_steps(part, len(hz), rate) * harmonic).sum(axis=0) for part in shares(places, formants)])


def _between_steps(values: np.ndarray, count: int, rate: int) -> np.ndarray:
    """Interpolate what is known at every step, ``[K, M]``, to samples, ``[K, n]``."""
    before, rest = np.divmod(np.arange(count) / rate / STEP_SECONDS, 1)
    place = before.astype(int)
    return values[:, place] * (1 - rest) + values[:, place + 1] * rest


def _filtered(noise: np.ndarray, take: Take, rate: int) -> np.ndarray:
    """Send noise ``[n]`` through the tract as it moves, grain by grain."""
    half = round(GRAIN_SECONDS * rate / 2)
    padded = np.pad(noise, half + (-len(noise)) % half + half)
    grains = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::half]  # [M, 2 half]
    size = 8 * half  # the tract rings on
    centres = np.arange(len(grains)) * half / rate - half / rate
    response = tract(np.fft.rfftfreq(size, 1 / rate)[:, None], _moved(take, centres)).T  # [M, bins]
    rung = np.fft.irfft(np.fft.rfft(grains * signal.windows.hann(2 * half, sym=False), size) * response, size)
    summed = np.zeros(len(padded) + size)
    for place, grain in enumerate(rung):
        summed[place * half : place * half + size] += grain
    first = half + (-len(noise)) % half + half
    return summed[first : first + len(noise)]


def _moved(take: Take, times: np.ndarray) -> np.ndarray:
    """Say where the formants are: Hz ``[5, M]`` at times ``[M]``, from the first vowel's to the second's."""
    way = np.clip((times - take.turn * take.seconds) / take.glide_seconds + 0.5, 0, 1)
    share = (1 - np.cos(np.pi * way)) / 2
    first, second = np.asarray(take.formants)[:, :, None]
    return first ** (1 - share) * second**share


def _envelope(take: Take, times: np.ndarray) -> np.ndarray:
    """Loudness of what is said ``[n]``: it rises, falls slowly, and ends."""
    rise = np.clip(times / take.attack, 0, 1)
    end = np.clip((take.seconds - times) / take.release, 0, 1)
    fall = 10 ** (-take.fall_db / 20 * times / take.seconds)
    return fall * (1 - np.cos(np.pi * rise)) * (1 - np.cos(np.pi * end)) / 4


def _cycles(take: Take, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what changes from cycle to cycle, of mean 0 and deviation 1: ``[n]``, along lines."""
    count = int(take.seconds * take.hz) + 2
    return np.interp(times * take.hz, np.arange(count), rng.standard_normal(count))


def _in_room(dry: np.ndarray, take: Take, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add a room's answer: noise that dies away. ``[O, n]`` becomes longer by the answer."""
    begin, length = (round(seconds * rate) for seconds in ECHO_SECONDS)
    after = np.arange(begin, length) / rate
    answer = rng.standard_normal(len(after)) * 10 ** (-3 * after / take.decay_seconds)
    answer *= 10 ** (take.echo_db / 20) / np.linalg.norm(answer)
    response = np.concatenate([[1.0], np.zeros(begin - 1), answer])
    wet = signal.fftconvolve(dry, response[None], axes=1)
    ramp = round(RAMP_SECONDS * rate)
    wet[:, -ramp:] *= (1 + np.cos(np.pi * np.arange(1, ramp + 1) / ramp)) / 2
    return wet


def _formants(vowel: str, speaker: Speaker, rng: np.random.Generator) -> tuple[float, ...]:
    varied = [hz * (1 + _between(rng, -part, part)) for hz, part in zip(VOWELS[vowel], VARIATION, strict=True)]
    return tuple(float(speaker.tract * hz) for hz in (*varied, *HIGHER))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))

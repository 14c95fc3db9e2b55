"""What the band plays on: drums, three kinds of voice, an amplifier, a room. Drawn by one law for all styles.

Everything is rendered at one sampling rate, as float32, band-limited below half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import fft, signal

from earmark.sources.band.styles import STEMS

TABLE = 2048
"""Samples of one period of a wave."""

RELEASE_SECONDS = 0.03
"""How fast a held note ends."""

TAKES = 4
"""Recordings of each drum that take turns: no two hits in a row are equal."""

PITCHED = ("bass", "chords", "lead", "chop")


@dataclass(frozen=True)
class Drums:
    """The parameters of one drum kit; times in s, frequencies in Hz."""

    kick_hz: float
    kick_sweep: float
    kick_sweep_seconds: float
    kick_decay: float
    kick_click: float
    snare_hz: float
    snare_tone: float
    snare_noise_hz: float
    snare_width: float
    snare_decay: float
    snare_claps: int
    hat_hz: float
    hat_metal: float
    hat_decay: float
    open_decay: float
    ride_decay: float
    ride_ping_hz: float


@dataclass(frozen=True)
class Voice:
    """A pitched instrument.

    Attributes
    ----------
    kind : {"wave", "string", "fm"}
        Filtered oscillators, a plucked string (Karplus-Strong), frequency modulation.
    slope : float
        Amplitudes of the wave's harmonics fall as h^-slope.
    odd : float
        Level of the even harmonics against the odd ones.
    cutoff : float
        Of the wave's filter, in multiples of the fundamental.
    opening : float
        How much further the filter opens at the note's beginning.
    attack, decay : float
        In s.
    sustain : float
        Level that a held note decays to.
    detune : float
        Of a second oscillator, as a ratio above 1.
    vibrato : float
        Depth as a fraction of the frequency.
    ratio, index : float
        Of the modulator: its frequency against the carrier's, its index at the beginning.
    damping : float
        Seconds until a string has fallen by 60 dB at 220 Hz.
    """

    kind: str
    slope: float
    odd: float
    cutoff: float
    opening: float
    attack: float
    decay: float
    sustain: float
    detune: float
    vibrato: float
    ratio: float
    index: float
    damping: float


@dataclass(frozen=True)
class Palette:
    """All that an artist sounds like.

    Attributes
    ----------
    drums : Drums
    voices : dict
        By stem.
    drive_db : float
        Gain before the distorting amplifier, whose low-pass is `cabinet_hz`.
    cabinet_hz : float
    reverb_seconds, reverb_db, reverb_hz : float
        Fall by 60 dB, level and low-pass of the room.
    tilt_db : float
        Of the whole spectrum, per octave above 1000 Hz.
    pan : dict
        By stem, -1 left .. 1 right.
    levels_db : dict
        By stem.
    """

    drums: Drums
    voices: dict[str, Voice]
    drive_db: float
    cabinet_hz: float
    reverb_seconds: float
    reverb_db: float
    reverb_hz: float
    tilt_db: float
    pan: dict[str, float] = field(default_factory=dict)
    levels_db: dict[str, float] = field(default_factory=dict)


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw an artist's sounds."""
    return Palette(
        drums=_draw_drums(rng),
        voices={stem: _draw_voice(rng) for stem in PITCHED},
        drive_db=float(rng.uniform(6, 18)),
        cabinet_hz=float(rng.uniform(2500, 5000)),
        reverb_seconds=_log_uniform(rng, 0.15, 0.9),
        reverb_db=float(rng.uniform(-28, -14)),
        reverb_hz=float(rng.uniform(2000, 7000)),
        tilt_db=float(rng.uniform(-1.5, 1.5)),
        pan={stem: float(rng.uniform(-0.7, 0.7)) for stem in STEMS},
        levels_db={stem: float(rng.uniform(-2, 2)) for stem in STEMS},
    )


def _draw_drums(rng: np.random.Generator) -> Drums:
    return Drums(
        kick_hz=float(rng.uniform(42, 70)),
        kick_sweep=float(rng.uniform(1, 6)),
        kick_sweep_seconds=float(rng.uniform(0.008, 0.035)),
        kick_decay=_log_uniform(rng, 0.08, 0.3),
        kick_click=float(rng.uniform(0, 0.5)),
        snare_hz=float(rng.uniform(150, 280)),
        snare_tone=float(rng.uniform(0.1, 0.8)),
        snare_noise_hz=_log_uniform(rng, 1200, 4500),
        snare_width=float(rng.uniform(0.6, 1.8)),
        snare_decay=_log_uniform(rng, 0.05, 0.2),
        snare_claps=int(rng.choice((1, 1, 1, 3))),
        hat_hz=float(rng.uniform(3500, 6500)),
        hat_metal=float(rng.uniform(0, 0.8)),
        hat_decay=_log_uniform(rng, 0.02, 0.06),
        open_decay=_log_uniform(rng, 0.12, 0.4),
        ride_decay=_log_uniform(rng, 0.25, 0.8),
        ride_ping_hz=float(rng.uniform(2500, 5000)),
    )


def _draw_voice(rng: np.random.Generator) -> Voice:
    return Voice(
        kind=str(rng.choice(("wave", "wave", "string", "fm"))),
        slope=float(rng.uniform(0.7, 1.8)),
        odd=float(rng.choice((0.0, 0.3, 1.0, 1.0))),
        cutoff=_log_uniform(rng, 2, 12),
        opening=_log_uniform(rng, 1, 6),
        attack=_log_uniform(rng, 0.003, 0.04),
        decay=_log_uniform(rng, 0.12, 0.8),
        sustain=float(rng.uniform(0.2, 0.9)),
        detune=1 + float(rng.choice((0.0, 1.0))) * float(rng.uniform(0.001, 0.006)),
        vibrato=float(rng.uniform(0, 0.006)),
        ratio=float(rng.choice((1, 1, 2, 3, 3.5, 0.5))),
        index=float(rng.uniform(0.8, 4)),
        damping=_log_uniform(rng, 0.8, 4),
    )


class Kit:
    """A drum kit ready to be hit.

    Parameters
    ----------
    drums : Drums
        Its parameters.
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Of the noise in every take.
    """

    def __init__(self, drums: Drums, sample_rate: int, rng: np.random.Generator) -> None:
        self.drums, self.rate, self.rng = drums, sample_rate, rng
        self.makers: dict[str, Callable[[], np.ndarray]] = {
            "kick": self._kick,
            "snare": self._snare,
            "hat": lambda: self._hat(drums.hat_decay),
            "open": lambda: self._hat(drums.open_decay),
            "ride": self._ride,
        }
        self.takes: dict[str, list[np.ndarray]] = {}

    def hit(self, drum: str, number: int) -> np.ndarray:
        """Return the sound of one hit: float32 ``[n]``; `number` counts the hits."""
        if drum not in self.takes:
            self.takes[drum] = [self.makers[drum]() for _ in range(TAKES)]
        return self.takes[drum][number % TAKES]

    def _times(self, decay: float) -> np.ndarray:
        return np.arange(int(5 * decay * self.rate)) / self.rate

    def _noise(self, n: int) -> np.ndarray:
        return self.rng.standard_normal(n)

    def _kick(self) -> np.ndarray:
        drums = self.drums
        times = self._times(drums.kick_decay)
        swept = drums.kick_sweep * drums.kick_sweep_seconds * (1 - np.exp(-times / drums.kick_sweep_seconds))
        body = np.sin(2 * np.pi * drums.kick_hz * (times + swept)) * np.exp(-times / drums.kick_decay)
        click = drums.kick_click * self._noise(len(times)) * np.exp(-times / 0.003)
        return _faded(body + click, self.rate)

    def _snare(self) -> np.ndarray:
        drums = self.drums
        times = self._times(drums.snare_decay)
        band = drums.snare_noise_hz * 2.0 ** np.array([-drums.snare_width, drums.snare_width])
        noise = _band_pass(self._noise(len(times)), band[0], band[1], self.rate)
        noise *= sum(
            (times >= late) * np.exp(-np.maximum(times - late, 0) / (drums.snare_decay if last else 0.006))
            for late, last in _claps(drums.snare_claps)
        )
        tone = np.sin(2 * np.pi * drums.snare_hz * times) * np.exp(-times / (0.5 * drums.snare_decay))
        noise /= np.abs(noise).max()
        return _faded((1 - drums.snare_tone) * noise + drums.snare_tone * tone, self.rate)

    def _hat(self, decay: float) -> np.ndarray:
        times = self._times(decay)
        sound = _metal(times, self.drums.hat_hz, self.drums.hat_metal, self._noise(len(times)))
        sound = _band_pass(sound, self.drums.hat_hz, 0.49 * self.rate, self.rate) * np.exp(-times / decay)
        return _faded(sound / np.abs(sound).max(), self.rate)

    def _ride(self) -> np.ndarray:
        drums = self.drums
        times = self._times(drums.ride_decay)
        wash = _metal(times, 0.7 * drums.hat_hz, drums.hat_metal, self._noise(len(times)))
        wash = _band_pass(wash, 0.7 * drums.hat_hz, 0.49 * self.rate, self.rate) * np.exp(-times / drums.ride_decay)
        ping = np.sin(2 * np.pi * drums.ride_ping_hz * times) * np.exp(-times / 0.05)
        return _faded(0.6 * wash / np.abs(wash).max() + 0.6 * ping, self.rate)


def note(voice: Voice, hz: float, held: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Render one note.

    Parameters
    ----------
    voice : Voice
        The instrument.
    hz : float
        Fundamental.
    held : float
        Seconds until the note is let go.
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Of a string's pluck.

    Returns
    -------
    numpy.ndarray
        float32 ``[n]``, `held` and the release long.
    """
    n = int((held + 4 * RELEASE_SECONDS) * sample_rate)
    times = np.arange(n) / sample_rate
    if voice.kind == "string":
        sound = _string(voice, hz, n, sample_rate, rng)
    elif voice.kind == "fm":
        sound = _fm(voice, hz, times, sample_rate) * _envelope(voice, times)
    else:
        sound = _wave(voice, hz, times, sample_rate) * _envelope(voice, times)
    release = np.exp(-np.maximum(times - held, 0) / RELEASE_SECONDS)
    return _faded(sound * release, sample_rate)


def amplify(sound: np.ndarray, drive_db: float, cabinet_hz: float, sample_rate: int) -> np.ndarray:
    """Distort a stem of any level: saturation, then the loudspeaker's low-pass. float32 ``[n]``."""
    level = float(np.sqrt(np.mean(sound[sound != 0] ** 2))) if sound.any() else 1.0
    # Twice the rate: the saturation's harmonics would fold back below half the rate.
    doubled = signal.resample_poly(sound / level, 2, 1)
    saturated = signal.resample_poly(np.tanh(10 ** (drive_db / 20) * doubled), 1, 2)
    low_pass = signal.butter(4, cabinet_hz, fs=sample_rate, output="sos")
    return signal.sosfilt(low_pass, saturated).astype(np.float32)


def room(palette: Palette, stem: str, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a stem's way to the two microphones: impulse responses float32 ``[2, m]``, tilt and pan included."""
    n = int(palette.reverb_seconds * sample_rate)
    times = np.arange(n) / sample_rate
    tail = rng.standard_normal((2, n)) * 10 ** (-3 * times / palette.reverb_seconds)
    tail = signal.sosfilt(signal.butter(1, palette.reverb_hz, fs=sample_rate, output="sos"), tail)
    tail *= 10 ** (palette.reverb_db / 20) / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    angle = np.pi / 4 * (1 + palette.pan[stem])
    responses = np.roll(tail, int(0.01 * sample_rate), axis=1)
    responses[:, : int(0.01 * sample_rate)] = 0
    responses[:, 0] = np.cos(angle), np.sin(angle)
    spectrum = fft.rfft(responses, 2 * n)
    octaves = np.log2(np.maximum(fft.rfftfreq(2 * n, 1 / sample_rate), 60) / 1000)
    # The tilt's zero-phase response is short; rolled in by 1 ms so that it stays causal but for a trace.
    shift = np.exp(-2j * np.pi * np.arange(n + 1) * int(0.001 * sample_rate) / (2 * n))
    return fft.irfft(spectrum * 10 ** (palette.tilt_db * octaves / 20) * shift, 2 * n).astype(np.float32)


def convolve(sound: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Convolve ``[n]`` with each of ``[2, m]``, cut to the sound's length: float32 ``[2, n]``."""
    length = fft.next_fast_len(len(sound) + responses.shape[1] - 1, real=True)
    product = fft.rfft(sound.astype(np.float32), length) * fft.rfft(responses, length)
    return fft.irfft(product, length)[:, : len(sound)]


def _claps(count: int) -> Sequence[tuple[float, bool]]:
    """Seconds at which a clap's bursts begin, and whether it is the last, long one."""
    return [(0.012 * number, number == count - 1) for number in range(count)]


def _metal(times: np.ndarray, hz: float, share: float, noise: np.ndarray) -> np.ndarray:
    """Noise, and partials that are no multiples of each other."""
    partials = hz * np.array([1.0, 1.17, 1.34, 1.51, 1.79])
    ringing = np.sin(2 * np.pi * partials[partials < 7600, None] * times).sum(axis=0)
    return (1 - share) * noise + share * ringing


def _band_pass(sound: np.ndarray, low: float, high: float, sample_rate: int) -> np.ndarray:
    sections = signal.butter(2, [low, min(high, 0.49 * sample_rate)], "bandpass", fs=sample_rate, output="sos")
    return signal.sosfilt(sections, sound)


def _envelope(voice: Voice, times: np.ndarray) -> np.ndarray:
    rising = np.minimum(times / voice.attack, 1)
    falling = voice.sustain + (1 - voice.sustain) * np.exp(-np.maximum(times - voice.attack, 0) / voice.decay)
    return rising * falling


def _turns(voice: Voice, hz: float, times: np.ndarray) -> np.ndarray:
    """Phase in turns, with a vibrato that sets in late."""
    depth = voice.vibrato * np.clip((times - 0.2) / 0.3, 0, 1)
    return hz * times + depth * hz / (2 * np.pi * 5.5) * np.sin(2 * np.pi * 5.5 * times)


def _wave(voice: Voice, hz: float, times: np.ndarray, sample_rate: int) -> np.ndarray:
    """Two oscillators through a low-pass that closes: a bright wave fades into a dull one."""
    sound = np.zeros(len(times))
    closing = np.exp(-times / (0.5 * voice.decay))
    for ratio in {1.0, voice.detune}:
        place = (_turns(voice, hz * ratio, times) % 1 * TABLE).astype(np.int32)
        bright = _period(voice, hz * ratio, voice.cutoff * voice.opening, sample_rate)[place]
        dull = _period(voice, hz * ratio, voice.cutoff, sample_rate)[place]
        sound += dull + closing * (bright - dull)
    return sound


def _period(voice: Voice, hz: float, cutoff: float, sample_rate: int) -> np.ndarray:
    """One period of a wave without anything above half the sampling rate, ``[TABLE]``."""
    harmonics = np.arange(1, TABLE // 2)
    amplitudes = harmonics**-voice.slope / np.sqrt(1 + (harmonics / cutoff) ** 4)
    amplitudes[1::2] *= voice.odd
    amplitudes[harmonics * hz >= 0.48 * sample_rate] = 0
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    spectrum[1 : TABLE // 2] = -0.5j * TABLE * amplitudes
    return fft.irfft(spectrum) / np.sqrt(np.sum(amplitudes**2))


def _fm(voice: Voice, hz: float, times: np.ndarray, sample_rate: int) -> np.ndarray:
    # The band of a modulated tone ends near hz + (index + 1) * modulator: kept below half the rate.
    index = min(voice.index, max((0.45 * sample_rate - hz) / (voice.ratio * hz) - 1, 0))
    depth = index * (0.15 + 0.85 * np.exp(-times / (0.6 * voice.decay)))
    turns = _turns(voice, hz, times)
    return np.sin(2 * np.pi * turns + depth * np.sin(2 * np.pi * voice.ratio * turns))


def _string(voice: Voice, hz: float, n: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Karplus-Strong: a burst of noise in a loop that delays, dulls and weakens it."""
    period = sample_rate / hz - 0.5
    whole = int(period)
    part = period - whole
    weakening = 10 ** (-3 / (voice.damping * np.sqrt(220 / hz) * hz))
    # Mean of neighbours (half a sample) and interpolation between two delays in one kernel of three taps.
    loop = weakening * np.convolve([0.5, 0.5], [1 - part, part])
    denominator = np.zeros(whole + 3)
    denominator[0] = 1
    denominator[whole : whole + 3] -= loop
    pluck = np.zeros(n)
    burst = rng.uniform(-1, 1, min(whole + 1, n))
    pluck[: len(burst)] = signal.lfilter([1], [1, -1 / (1 + 0.15 * voice.cutoff)], burst)
    sound = signal.lfilter([1], denominator, pluck - pluck[: len(burst)].mean() * (np.arange(n) < len(burst)))
    return sound / max(np.abs(sound).max(), 1e-9)


def _faded(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """End a sound within its last 5 ms: no click where it is cut."""
    n = min(int(0.005 * sample_rate), len(sound))
    faded = sound.astype(np.float32)
    faded[len(sound) - n :] *= np.linspace(1, 0, n, dtype=np.float32)
    return faded


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())

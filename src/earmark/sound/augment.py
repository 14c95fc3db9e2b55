"""Random changes of training clips (thesis A.1, Table A.1), for a whole batch at once and on its device.

A network of spectrograms sees magnitudes only, so every change of its clips is made where it is simple: on the
short-time spectrum. All clips keep their shape, whatever their own rate of stretching or shift in pitch. Where a clip
begins in the silence around it is drawn for networks of waveforms too. What happens to a clip is drawn beforehand and
depends on the seed and on the clip's place in the data set, not on the batch that it comes in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from earmark.sound.frames import RAISED
from earmark.sound.spectrogram import Spectrogram

NOISE_FRAMES = 4096
"""Frames of noise that are drawn for an epoch; every noisy clip takes a stretch of them."""

OCTAVE = 2

OVERSAMPLING = 2
"""Bins per bin of the longest window, where magnitudes are interpolated between bins: errors stay below .5 dB."""


@dataclass(frozen=True)
class Changes:
    """What is done to clips, float32 ``[N]`` each, on the CPU.

    Attributes
    ----------
    gain : torch.Tensor
        Factor of amplitude, 1 for none.
    pitch : torch.Tensor
        Factor of frequency, 1 for none.
    highpass, lowpass : torch.Tensor
        Cutoff in Hz, 0 and infinity for none.
    noise : torch.Tensor
        Standard deviation in parts of the clip's own, 0 for none.
    noise_place : torch.Tensor
        Where in the epoch's noise the clip's own begins, from 0 to 1.
    speed : torch.Tensor
        Of time, 1 for unchanged.
    """

    gain: torch.Tensor
    pitch: torch.Tensor
    highpass: torch.Tensor
    lowpass: torch.Tensor
    noise: torch.Tensor
    noise_place: torch.Tensor
    speed: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Changes:
        """Select clips."""
        return Changes(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def draw(settings: Mapping[str, Any], count: int, generator: torch.Generator) -> Changes:
    """Draw what is done to each clip of an epoch.

    Parameters
    ----------
    settings : mapping
        The section ``augment`` of the configuration.
    count : int
        Number of clips.
    generator : torch.Generator
        On the CPU, so that the draw is the same on every device.
    """
    chance = torch.rand(5, count, generator=generator)  # that a change is made; the fifth: high-pass or low-pass
    value = torch.rand(7, count, generator=generator)

    def between(row: int, key: str) -> torch.Tensor:
        lowest, highest = settings[key]
        return lowest + (highest - lowest) * value[row]

    def chosen(row: int, key: str) -> torch.Tensor:
        return chance[row] < settings[f"{key}_probability"]

    high, filtered = chance[4] < 0.5, chosen(2, "filter")
    return Changes(
        gain=torch.where(chosen(0, "gain"), 10 ** (between(0, "gain") / 20), 1.0),
        pitch=torch.where(chosen(1, "pitch"), 2 ** (between(1, "pitch") / 12), 1.0),
        highpass=torch.where(filtered & high, between(2, "highpass"), 0.0),
        lowpass=torch.where(filtered & ~high, between(3, "lowpass"), math.inf),
        noise=torch.where(chosen(3, "noise"), between(4, "noise"), 0.0),
        noise_place=value[5],
        speed=between(6, "stretch"),
    )


def is_active(settings: Mapping[str, Any]) -> bool:
    """Tell whether the section ``augment`` changes what is heard of any clip."""
    probable = any(value > 0 for key, value in settings.items() if key.endswith("_probability"))
    return probable or list(settings["stretch"]) != [1, 1]


def delays(silent: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw when clips begin: integers ``[N]`` from 0 to what is silent at the ends of clips, ``[N]``."""
    return (torch.rand(len(silent), generator=generator, dtype=torch.float64) * (silent + 1)).long()


def delayed(waveforms: torch.Tensor, delays: torch.Tensor) -> torch.Tensor:
    """Let clips ``[B, S]`` begin later, by samples ``[B]``; the silence at their ends comes before them."""
    places = torch.arange(waveforms.shape[1]) - delays.view(-1, 1)  # [B, S]
    return waveforms.gather(1, places % waveforms.shape[1])


def noise(frontend: Spectrogram, generator: torch.Generator) -> torch.Tensor:
    """Draw the spectra of an epoch's noise, of standard deviation 1: complex64 ``[NOISE_FRAMES, n_bins]``."""
    waveform = torch.randn((NOISE_FRAMES - 1) * frontend.hop + frontend.n_fft, generator=generator)
    frames = waveform.unfold(0, frontend.n_fft, frontend.hop) * frontend.taper
    return torch.fft.rfft(frames)


def logmels(
    frontend: Spectrogram, waveforms: torch.Tensor, changes: Changes, noise_spectra: torch.Tensor | None = None
) -> torch.Tensor:
    """Change clips and compute their spectrograms.

    Parameters
    ----------
    frontend : Frontend
        Of the data set.
    waveforms : torch.Tensor
        Clips ``[B, clip_samples]``, on any device.
    changes : Changes
        Of these clips.
    noise_spectra : torch.Tensor or None
        From :func:`noise`, on the same device; needed if a clip takes noise.

    Returns
    -------
    torch.Tensor
        ``[B, *I]``; where nothing is changed the very numbers of the front end's own.
    """
    clips = frontend.normalised(waveforms)
    magnitudes = frontend.stft(clips).abs()  # [B, n_bins, T]
    shifted = torch.nonzero(changes.pitch != 1)[:, 0]
    if len(shifted):
        rows = shifted.to(clips.device)
        magnitudes[rows] = pitched(frontend, clips[rows], changes.pitch[shifted].to(clips.device))
    factors = changes.gain[:, None] * response(frontend, changes.highpass, changes.lowpass)  # [B, n_bins]
    if (factors != 1).any():
        magnitudes = magnitudes * factors[:, :, None].to(magnitudes)
    noisy = torch.nonzero(changes.noise > 0)[:, 0]
    if len(noisy):
        assert noise_spectra is not None, "clips take noise, but there is none"
        rows = noisy.to(clips.device)
        magnitudes[rows] = _with_noise(frontend, magnitudes[rows], changes[noisy], noise_spectra)
    mels = frontend.amounts(magnitudes)  # [B, F, T]
    if (changes.speed != 1).any():
        mels = stretched(mels, changes.speed.to(mels))  # of mel as of linear magnitudes: the bank leaves time alone
    return frontend.inputs_of(mels)


def response(frontend: Spectrogram, highpass: torch.Tensor, lowpass: torch.Tensor) -> torch.Tensor:
    """Amplitude response of Butterworth filters of order 2, -3 dB at the cutoffs ``[B]``: ``[B, n_bins]``."""
    hertz = frontend.bin_frequencies  # [n_bins]
    high = (highpass[:, None] / hertz.clamp_min(1e-3)) ** 4
    low = (hertz / lowpass[:, None]) ** 4
    return ((1 + high) * (1 + low)).rsqrt()


def pitched(frontend: Spectrogram, clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Magnitudes of clips whose frequencies are multiplied while their time is left alone.

    Parameters
    ----------
    frontend : Frontend
        Of the data set.
    clips : torch.Tensor
        ``[B, clip_samples]``.
    factor : torch.Tensor
        Of frequency, ``[B]``, above 0.

    Returns
    -------
    torch.Tensor
        ``[B, n_bins, T]``.

    Notes
    -----
    A bin at `f` takes the magnitude at `f / factor`, seen through a window that is `factor` times as long (at most an
    octave's worth): then partials are as wide, and tones and noise as strong, as after stretching by a phase vocoder
    and resampling to the old length.
    """
    longest = OCTAVE * frontend.n_fft
    size = OVERSAMPLING * longest
    place = torch.arange(longest, device=clips.device) - longest // 2
    longer = factor.clamp_max(OCTAVE)[:, None]  # [B, 1]
    turns = place / (longer * frontend.n_fft)  # [B, longest]
    mean = RAISED[frontend.window]
    window = torch.where(turns.abs() <= 0.5, mean + (1 - mean) * torch.cos(2 * math.pi * turns), 0.0) / longer
    padded = torch.nn.functional.pad(clips[:, None], (longest // 2, longest // 2), mode=frontend.padding)[:, 0]
    frames = padded.unfold(1, longest, frontend.hop)  # [B, T, longest]
    magnitudes = torch.fft.rfft(frames * window[:, None], n=size).abs()  # [B, T, size / 2 + 1]
    bins = torch.arange(frontend.spectrum_bins, device=clips.device)
    source = bins * (size / frontend.n_fft) / factor[:, None]  # [B, n_bins]
    return _at(magnitudes, source).transpose(1, 2)


def stretched(magnitudes: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
    """Play magnitudes ``[B, F, T]`` at another speed ``[B]``, cut or filled with zeros to the same number of frames.

    As a phase vocoder does, which interpolates magnitudes between frames; its phases are of no use here.
    """
    frames = torch.arange(magnitudes.shape[2], device=magnitudes.device)
    return _at(magnitudes, frames * speed[:, None])


def _at(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Interpolate ``[B, X, Y]`` along the last axis at `places` ``[B, P]``, not negative; beyond the end it is 0."""
    last = values.shape[2] - 1
    below = places.floor()
    share = (places - below).to(values)[:, None]  # [B, 1, P]

    def taken(index: torch.Tensor) -> torch.Tensor:
        inside = (index <= last).to(values)[:, None]
        rows = index.clamp_max(last).long()[:, None].expand(-1, values.shape[1], -1)
        return values.gather(2, rows) * inside  # [B, X, P]

    return torch.lerp(taken(below), taken(below + 1), share)


def _with_noise(
    frontend: Spectrogram, magnitudes: torch.Tensor, changes: Changes, noise_spectra: torch.Tensor
) -> torch.Tensor:
    """Add noise to magnitudes ``[B, n_bins, T]``; its phases are random, so theirs may be taken as 0."""
    frames = magnitudes.shape[2]
    start = (changes.noise_place * (len(noise_spectra) - frames + 1)).long()  # [B]
    rows = (start[:, None] + torch.arange(frames)).to(magnitudes.device)
    spectra = noise_spectra[rows].transpose(1, 2)  # [B, n_bins, T]
    # Parseval: the power of a clip without its mean, by the window's own power
    power = 2 * magnitudes[:, 1:].square().sum(dim=1).mean(dim=1) / frontend.taper.square().sum() / frontend.n_fft
    level = (changes.noise.to(magnitudes) * power.sqrt())[:, None, None]  # [B, 1, 1]
    return torch.hypot(magnitudes + level * spectra.real, level * spectra.imag)


def masked(logmels: torch.Tensor, time_mask: int, mel_mask: int, generator: torch.Generator) -> torch.Tensor:
    """Set one random block of frames and one of bands to 0 in every clip (thesis A.1, A.2).

    Parameters
    ----------
    logmels : torch.Tensor
        ``[B, 1, F, T]``.
    time_mask, mel_mask : int
        Largest width of the two masks; the width is uniform from 0, the place uniform.
    generator : torch.Generator
        On the CPU, so that the draw is the same on every device.
    """
    for axis, widest in ((3, time_mask), (2, mel_mask)):
        length = logmels.shape[axis]
        draw = torch.rand(2, len(logmels), generator=generator)
        width = (draw[0] * (min(widest, length) + 1)).long()  # [B]
        start = (draw[1] * (length - width + 1)).long()  # [B]
        cells = torch.arange(length)
        hidden = (cells >= start[:, None]) & (cells < (start + width)[:, None])  # [B, length]
        shape = (-1, 1, 1, length) if axis == 3 else (-1, 1, length, 1)
        logmels = logmels.masked_fill(hidden.view(shape).to(logmels.device), 0.0)
    return logmels

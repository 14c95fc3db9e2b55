"""Pairs of an encoder and a decoder of waveforms, between which a mask makes one sound of another.

A decoder is linear, so that what a mask lets through and what it holds back sum to what the pair makes of the clip
itself: only where that is the clip does a mask take parts of it, and no sound of the decoder's own.
"""

from __future__ import annotations

import abc
import logging
import math

import torch
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.metrics.sound import si_sdr
from earmark.seeds import derive

log = logging.getLogger(__name__)

OVERLAP = 4
"""Frames of the Fourier transform that each sample lies in."""

RATE = 5e-3
"""Learning rate that a codec begins with; it falls to 0."""

FEWEST = 20.0
"""dB of SI-SDR that a pair must give clips back with."""


class Codec(nn.Module, abc.ABC):
    """An encoder and its decoder.

    Attributes
    ----------
    channels, frames : int
        Of what a clip is encoded as.
    """

    channels: int
    frames: int

    @abc.abstractmethod
    def encode(self, waveforms: Tensor) -> Tensor:
        """Encode clips ``[B, S]`` as ``[B, C, T]``, real or complex."""

    @abc.abstractmethod
    def amounts(self, encoded: Tensor) -> Tensor:
        """Say how much is in each cell of ``[B, C, T]``, real and not negative."""

    @abc.abstractmethod
    def decode(self, encoded: Tensor) -> Tensor:
        """Decode ``[B, C, T]`` linearly: ``[B, S]``."""


class Fourier(Codec):
    """The short-time Fourier transform and its inverse by overlap-add, which is exact.

    Frames of the transform are fixed filters in pairs, real and imaginary parts; one mask for both keeps the phase.

    Parameters
    ----------
    window : int
        Samples of the window (Hann's) and of the transform, even.
    samples : int
        Of a clip.
    """

    def __init__(self, window: int, samples: int) -> None:
        super().__init__()
        self.window, self.samples = window, samples
        self.hop = max(window // OVERLAP, 1)
        self.channels, self.frames = window // 2 + 1, 1 + samples // self.hop
        self.register_buffer("taper", torch.hann_window(window), persistent=False)

    def encode(self, waveforms: Tensor) -> Tensor:
        """Transform clips ``[B, S]``, silence beyond their ends: complex ``[B, C, T]``."""
        taper = self.get_buffer("taper").to(waveforms)
        return torch.stft(waveforms, self.window, self.hop, window=taper, pad_mode="constant", return_complex=True)

    def amounts(self, encoded: Tensor) -> Tensor:
        """Return ``ln(1 + magnitude)`` of complex ``[B, C, T]``."""
        return encoded.abs().log1p()

    def decode(self, encoded: Tensor) -> Tensor:
        """Invert :meth:`encode`, complex ``[B, C, T]`` to ``[B, S]``."""
        taper = self.get_buffer("taper").to(encoded.real)
        return torch.istft(encoded, self.window, self.hop, window=taper, length=self.samples)


class Learned(Codec):
    """Filters that are learned, rectified, and others that make waveforms of them (Luo and Mesgarani 2019, II).

    Parameters
    ----------
    filters : int
        How many.
    stride, overlap : int
        Samples from one frame to the next, and frames that each sample lies in: filters have ``stride * overlap``
        samples.
    samples : int
        Of a clip.
    """

    def __init__(self, filters: int, stride: int, overlap: int, samples: int) -> None:
        super().__init__()
        size = stride * overlap
        self.before = size - stride
        self.channels, self.frames = filters, -(-samples // stride) + overlap - 1
        self.samples = samples
        self.encoder = nn.Conv1d(1, filters, size, stride, bias=False)
        self.decoder = nn.ConvTranspose1d(filters, 1, size, stride, bias=False)

    def encode(self, waveforms: Tensor) -> Tensor:
        """Filter and rectify clips ``[B, S]``, silence beyond their ends: ``[B, C, T]``."""
        behind = -self.samples % self.encoder.stride[0] + self.before
        padded = nn.functional.pad(waveforms, (self.before, behind))
        return self.encoder(padded.unsqueeze(1)).relu()

    def amounts(self, encoded: Tensor) -> Tensor:
        """Return ``[B, C, T]`` as it is."""
        return encoded

    def decode(self, encoded: Tensor) -> Tensor:
        """Sum the decoder's filters, ``[B, C, T]`` to ``[B, S]``."""
        return self.decoder(encoded).squeeze(1).narrow(1, self.before, self.samples)


def heard_again(codec: Codec, waveforms: Tensor) -> Tensor:
    """Encode and decode clips ``[B, S]``."""
    return codec.decode(codec.encode(waveforms))


def distortion(sounds: Tensor, clips: Tensor) -> Tensor:
    """Measure in dB how much louder what sounds ``[B, S]`` lack of clips ``[B, S]`` is than these: ``[B]``.

    That is the negative signal-to-distortion ratio without a free scale: a scale-invariant one would let a decoder
    choose level and sign.
    """
    missed = (clips - sounds).square().sum(dim=1)
    return 10 * torch.log10(missed / clips.square().sum(dim=1))


def pretrain(codec: Codec, clips: Tensor, epochs: int, batch_size: int, seed: int, device: torch.device) -> None:
    """Let a codec learn to give clips back, and freeze it.

    Parameters
    ----------
    codec : Codec
        On the CPU; its weights change.
    clips : Tensor
        ``[N, S]``, on the CPU; silent ones are left out.
    epochs, batch_size : int
        Of the training, by Adam.
    seed : int
        Of the order of the clips.
    device : torch.device
        That computes.
    """
    codec.to(device)
    sounding = clips[clips.abs().amax(dim=1) > 0]
    optimizer = torch.optim.Adam(codec.parameters(), lr=RATE)
    steps = epochs * math.ceil(len(sounding) / batch_size)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(derive(seed, epoch))
        total = 0.0
        for rows in torch.randperm(len(sounding), generator=generator).split(batch_size):
            some = sounding[rows].to(device)
            loss = distortion(heard_again(codec, some), some)
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            falling.step()
            total += float(loss.detach().sum())
        log.info("encoder and decoder, epoch %d: distortion %.1f dB", epoch + 1, total / max(len(sounding), 1))
    optimizer.zero_grad()
    codec.requires_grad_(False).cpu()


@torch.no_grad()
def quality(codec: Codec, clips: Tensor, batch_size: int) -> float:
    """Measure how well a codec gives clips ``[N, S]`` back: mean SI-SDR in dB over those that are not silent.

    Raises
    ------
    EarmarkError
        If it is below :data:`FEWEST`.
    """
    sounding = clips[clips.abs().amax(dim=1) > 0]
    found = [
        float(si_sdr(sound[None], clip[None]))
        for some in sounding.split(batch_size)
        for sound, clip in zip(heard_again(codec, some), some, strict=True)
    ]
    mean = sum(found) / max(len(found), 1)
    if found and mean < FEWEST:
        raise EarmarkError(
            f"the learned encoder and decoder give clips back with {mean:.1f} dB only, and below {FEWEST:g} dB what is "
            "heard is not the clip's: let them learn for more epochs, with more filters, or take the encoder fourier"
        )
    return mean

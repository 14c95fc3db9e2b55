"""What log-mel and STFT spectrograms share: from magnitudes to the numbers that a network gets."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch

from earmark.sound.frames import Celled, Framed
from earmark.sound.mixture import Mixture, Stretch, distinct


@dataclass(frozen=True)
class Spectrogram(Celled):
    """Inputs that are cells of a spectrogram, compressed and normalised.

    Parameters
    ----------
    sample_rate : int
        Sampling rate of every waveform, in Hz.
    n_fft : int
        Samples of the window and of the Fourier transform, even.
    hop : int
        Samples between two frames.
    n_frames : int
        Frames of a clip.
    window : {"hamming", "hann"}
        Periodic.
    padding : {"reflect", "constant"}
        What lies beyond the ends of a clip: the clip mirrored, or zeros.
    peak_scaling : bool
        Whether clips are scaled to peak 1 (eq. A.1).
    peak : {"sample", "percentile", "cell", "deviation"}
        What counts as a clip's peak, see :meth:`earmark.sound.frames.Framed.peaks`.
    spectrum : {"magnitude", "power"}
        What is compressed.
    compression : {"log10", "log10p", "log1p", "db", "none"}
        Of an amount x: ``log10(x + offset)``, at least `floor` (eq. A.2); ``log10(1 + gain x)``; ``ln(1 + gain x)``; dB
        (10 log10 of a power, 20 log10 of a magnitude), at least `floor_db`, and at least `top_db` below the clip's
        loudest cell; or x itself.
    offset, floor, gain, floor_db : float
        Of the compressions.
    top_db : float or None
        Of dB; None: no such limit.
    mean, std : float or sequence of float
        What is taken off the compressed amounts, and what they are divided by then; one for all rows, or one per row.
    layout : {"frequency-time", "time-frequency"}
        Of an input: ``[1, F, T]`` or ``[1, T, F]``.
    """

    sample_rate: int
    n_fft: int
    hop: int
    n_frames: int
    _: KW_ONLY
    window: str = "hamming"
    padding: str = "reflect"
    peak_scaling: bool = True
    peak: str = "sample"
    spectrum: str = "magnitude"
    compression: str = "log10"
    offset: float = 1e-7
    floor: float = -4.0
    gain: float = 1.0
    floor_db: float = -100.0
    top_db: float | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    layout: str = "frequency-time"

    title: ClassVar[str]
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Framed.choices,
        "padding": ("reflect", "constant"),
        "spectrum": ("magnitude", "power"),
        "compression": ("log10", "log10p", "log1p", "db", "none"),
        "layout": ("frequency-time", "time-frequency"),
    }

    @property
    @abc.abstractmethod
    def n_rows(self) -> int:
        """Rows of the spectrogram, F."""

    @property
    @abc.abstractmethod
    def frequencies(self) -> torch.Tensor:
        """Centre frequency of every row in Hz, ``[F]``."""

    @abc.abstractmethod
    def rows(self, bins: torch.Tensor) -> torch.Tensor:
        """Sum or choose bins ``[..., n_bins, T]`` to the rows of the spectrogram, ``[..., F, T]``."""

    @property
    def clip_samples(self) -> int:
        """Samples of a clip: exactly what its `n_frames` centred frames cover."""
        return (self.n_frames - 1) * self.hop

    @property
    def grid(self) -> tuple[int, ...]:
        """Channel, rows and frames of a heatmap."""
        return (1, self.n_rows, self.n_frames)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channel, rows and frames of an input, in the order of its layout."""
        return self.grid if self.layout == "frequency-time" else (1, self.n_frames, self.n_rows)

    @property
    def unit(self) -> str:
        """What the numbers of an input are."""
        amount = {
            "log10": f"log10 {self.spectrum}",
            "log10p": f"log10(1 + {self.gain:g} {self.spectrum})",
            "log1p": f"ln(1 + {self.gain:g} {self.spectrum})",
            "db": "dB",
            "none": self.spectrum,
        }[self.compression]
        return amount if (self.mean, self.std) == (0, 1) else f"normalised {amount}"

    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform (eq. 2.21): ``[B, S]`` to complex ``[B, n_bins, T]``."""
        return self.transformed(waveforms, self.padding)

    def amounts(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Measure rows ``[B, F, T]``, magnitude or power (eq. 2.27), by the magnitudes of bins ``[B, n_bins, T]``."""
        return self.rows(magnitudes.square() if self.spectrum == "power" else magnitudes)

    def energies(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Measure the power in every cell at the waveforms' own level: ``[B, S]`` to ``[B, F, T]``."""
        amounts = self.amounts(self.stft(waveforms).abs())
        return amounts if self.spectrum == "power" else amounts.square()

    def compressed(self, amounts: torch.Tensor) -> torch.Tensor:
        """Compress amounts ``[..., F, T]`` (eq. A.2 for ``log10``)."""
        match self.compression:
            case "log10":
                return torch.log10(amounts + self.offset).clamp_min(self.floor)
            case "log10p":
                return torch.log1p(self.gain * amounts) / math.log(10)
            case "log1p":
                return torch.log1p(self.gain * amounts)
            case "db":
                factor = 10 if self.spectrum == "power" else 20
                least = torch.finfo(amounts.dtype).tiny  # of which there is a logarithm, and its gradient
                decibels = (factor * torch.log10(amounts.clamp_min(least))).clamp_min(self.floor_db)
                if self.top_db is None:
                    return decibels
                return torch.maximum(decibels, decibels.amax(dim=(-2, -1), keepdim=True) - self.top_db)
        return amounts

    def inputs_of(self, amounts: torch.Tensor) -> torch.Tensor:
        """Turn amounts ``[B, F, T]`` into inputs ``[B, *I]``."""
        mean, std = (torch.as_tensor(number).to(amounts).view(-1, 1) for number in (self.mean, self.std))
        return self.gathered(((self.compressed(amounts) - mean) / std).unsqueeze(1))

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Spectrograms of clips, scaled by a peak where the front end does (eq. A.1, A.2).

        Parameters
        ----------
        waveforms : torch.Tensor
            Clips ``[B, clip_samples]`` at `sample_rate`.
        like : torch.Tensor or None
            Clips ``[B, clip_samples]``, or one ``[clip_samples]`` for all, that are scaled to peak 1 by the same
            factor; None: each clip itself is. Where that is silent, nothing is scaled.

        Returns
        -------
        torch.Tensor
            ``[B, *I]``.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        """
        return self.inputs_of(self.amounts(self.stft(self.normalised(waveforms, like)).abs()))

    def mixed(self, sounds: torch.Tensor, states: torch.Tensor, like: torch.Tensor) -> Mixture:
        """Make inputs of sums of some of a clip's sounds; see :meth:`earmark.sound.frames.Framed.mixed`.

        The transform is linear and frames know nothing of each other: a frame is computed once for every selection of
        the sounds that reach it, of which there are few where sounds are short.
        """
        if self.compression == "db" and self.top_db is not None:
            return super().mixed(sounds, states, like)  # a cell's floor is told by the loudest of all frames
        spectra = torch.view_as_real(self.stft(self.normalised(sounds, like)))  # [d, n_bins, T, 2]
        frames = spectra.permute(3, 0, 2, 1).contiguous()  # [2, d, T, n_bins], real and imaginary parts
        heard = (frames.amax(dim=(0, 3)) > 0) | (frames.amin(dim=(0, 3)) < 0)  # [d, T]
        reached, lengths = heard.T.unique_consecutive(dim=0, return_counts=True)  # [G, d], [G]
        stretches = []
        for present, part in zip(reached, frames.split(lengths.tolist(), dim=2), strict=True):
            selections, which = distinct(states[:, present])  # [U, d'], [N]
            stretches.append(Stretch(self._summed(selections, part[:, present]), which))
        return Mixture(tuple(stretches), -1 if self.layout == "frequency-time" else -2)

    def _summed(self, selections: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Make inputs ``[U, *I]`` of sums of frames ``[2, d, T, n_bins]`` that are selected by ``[U, d]``."""
        sums = (selections.to(frames) @ frames.flatten(2)).square_().sum(dim=0).sqrt_()  # [U, T * n_bins]
        magnitudes = sums.view(-1, frames.shape[3])  # [U * T, n_bins]
        inputs = self.spread(self.inputs_of(self.amounts(magnitudes.T.unsqueeze(0))))  # as frames of one clip
        return self.gathered(inputs.unflatten(-1, (len(selections), -1))[0].movedim(-2, 0))

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Multiply inputs and contexts ``[..., *I]``, cell by cell, on the grid ``[..., 1, F, T]``."""
        return self.spread(inputs * contexts)

    def spread(self, cells: torch.Tensor) -> torch.Tensor:
        """Lay out what lies on the cells of inputs, ``[..., *I]``, on the grid ``[..., 1, F, T]``."""
        return cells if self.layout == "frequency-time" else cells.transpose(-2, -1)

    def gathered(self, maps: torch.Tensor) -> torch.Tensor:
        """Lay out maps on the grid ``[..., 1, F, T]`` as inputs ``[..., *I]``."""
        return maps if self.layout == "frequency-time" else maps.transpose(-2, -1)

    def sensitivity(self, contexts: torch.Tensor) -> torch.Tensor:
        """Take the size of gradients by inputs, ``[..., *I]``, on the grid ``[..., 1, F, T]``."""
        return self.spread(contexts.abs())

    def picture(self, inputs: torch.Tensor) -> torch.Tensor:
        """Show inputs ``[..., *I]`` as a spectrogram ``[..., F, T]``, in `unit`."""
        return self.spread(inputs)[..., 0, :, :]

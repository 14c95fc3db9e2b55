"""Front end of networks that hear the waveform itself; their relevance is shown in time and frequency.

Relevance of samples is ``x_n c_n``. Frames of ``x``, and of ``c`` divided by what the windows' squares add up to at
each sample, have an inner product that Parseval's theorem spreads over frequencies. So the cells of all frames sum to
the relevance of all samples, exactly.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch

from earmark.errors import EarmarkError
from earmark.sound.frames import Sampled

OFFSET, FLOOR = 1e-7, -4.0
"""Of the log10 magnitudes that stand for a waveform in pictures."""


@dataclass(frozen=True)
class Waveform(Sampled):
    """Waveforms ``[1, S]``, with heatmaps on a grid of frames and bins.

    Parameters
    ----------
    sample_rate : int
        Sampling rate of every waveform, in Hz.
    n_samples : int
        Samples of a clip.
    n_fft : int
        Samples of the grid's window and Fourier transform, even.
    hop : int
        Samples between two frames of the grid.
    window : {"hamming", "hann"}
        Of the grid, periodic.
    peak_scaling : bool
        Whether clips are scaled to peak 1 (eq. A.1).
    peak : {"sample", "percentile", "cell", "deviation"}
        What counts as a clip's peak, see :meth:`earmark.sound.frames.Framed.peaks`.
    """

    sample_rate: int
    n_samples: int
    n_fft: int = 256
    hop: int = 128
    window: str = "hamming"
    peak_scaling: bool = True
    peak: str = "sample"

    kind: ClassVar[str] = "waveform"
    title: ClassVar[str] = "waveform"
    unit: ClassVar[str] = "log10 magnitude"

    @property
    def shape(self) -> tuple[int, ...]:
        """Channel and samples of an input."""
        return (1, self.n_samples)

    @property
    def grid(self) -> tuple[int, ...]:
        """Channel, bins and frames of a heatmap."""
        return (1, self.spectrum_bins, self.n_frames)

    @property
    def frequencies(self) -> torch.Tensor:
        """Frequency of every bin in Hz, ``[F]``."""
        return self.bin_frequencies

    @functools.cached_property
    def overlap(self) -> torch.Tensor:
        """Sum of the squared windows of all frames at every sample, float64 ``[S]``."""
        squares = self.taper.double().square().view(1, -1, 1).expand(-1, -1, self.n_frames)  # [1, n_fft, T]
        length = (self.n_frames - 1) * self.hop + self.n_fft
        summed = torch.nn.functional.fold(squares, (1, length), (1, self.n_fft), stride=(1, self.hop)).flatten()
        return summed[self.n_fft // 2 :][: self.n_samples]

    @functools.cached_property
    def sides(self) -> torch.Tensor:
        """How many bins of the whole spectrum a bin stands for, float64 ``[n_bins, 1]``: 1 at its ends, else 2."""
        sides = torch.full((self.spectrum_bins, 1), 2.0, dtype=torch.float64)
        sides[0] = sides[-1] = 1
        return sides

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Scale clips ``[B, S]`` by a peak, where the front end does: ``[B, 1, S]``; `like` as in :meth:`normalised`.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        """
        return self.normalised(waveforms, like).unsqueeze(1)

    def sample_relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Relevance of samples, ``x_n c_n``, of inputs and contexts ``[..., 1, S]``."""
        return inputs * contexts

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Spread relevance of samples over time and frequency by the cross-spectrum of inputs and contexts.

        Parameters
        ----------
        inputs, contexts : torch.Tensor
            ``[..., 1, S]``.

        Returns
        -------
        torch.Tensor
            ``[..., 1, n_bins, T]``; sums to :meth:`sample_relevance`.
        """
        # In float64: cells of both signs sum to far less than they amount to.
        spectra = self.stft(inputs.double().flatten(0, -2))  # complex [B, n_bins, T]
        cells = (spectra * self._slopes(contexts).conj()).real / self.n_fft
        return cells.view(*inputs.shape[:-1], *cells.shape[1:]).to(inputs)

    def sensitivity(self, contexts: torch.Tensor) -> torch.Tensor:
        """Measure how much a logit changes at most where a cell of the transform changes by 1, in any phase.

        Parameters
        ----------
        contexts : torch.Tensor
            Gradient of the logit by samples, ``[..., 1, S]``.

        Returns
        -------
        torch.Tensor
            ``[..., 1, n_bins, T]``.
        """
        cells = self._slopes(contexts).abs() / self.n_fft
        return cells.view(*contexts.shape[:-1], *cells.shape[1:]).to(contexts)

    def _slopes(self, contexts: torch.Tensor) -> torch.Tensor:
        """Turn gradients by samples ``[..., S]`` into `n_fft` times those by cells, complex ``[B, n_bins, T]``."""
        weighted = contexts.double() / self.overlap.to(contexts.device)
        return self.sides.to(contexts.device) * self.stft(weighted.flatten(0, -2))

    def spread(self, cells: torch.Tensor) -> torch.Tensor:
        """Refuse relevance of samples without their contexts.

        Raises
        ------
        EarmarkError
            Always.
        """
        raise EarmarkError(
            "relevance of samples without contexts, as by the rules flat and wsquare, has no place in time and "
            "frequency: use epsilon for the layer that reads the waveform"
        )

    def replaced(self, inputs: torch.Tensor, cells: torch.Tensor, filling: torch.Tensor) -> torch.Tensor:
        """Replace cells of the transform, ``[N, 1, n_bins, T]``, of inputs ``[N, 1, S]`` by those of `filling`.

        Waveforms of which no cell is replaced stay as they are, bit by bit.
        """
        differences = (inputs - filling).squeeze(1)  # [N, S]
        return inputs - self.istft(cells.squeeze(1) * self.stft(differences)).unsqueeze(1)

    def lowest(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return silence, which stands for no sound in waveforms ``[N, 1, S]``: ``[N, 1, 1]``."""
        return inputs.new_zeros(len(inputs), 1, 1)

    def energies(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Measure the power in every cell at the waveforms' own level: ``[B, S]`` to ``[B, n_bins, T]``."""
        return self.stft(waveforms).abs().square()

    def picture(self, inputs: torch.Tensor) -> torch.Tensor:
        """Show inputs ``[..., 1, S]`` as a spectrogram ``[..., n_bins, T]``, in `unit`."""
        magnitudes = self.stft(inputs.flatten(0, -2)).abs()
        logarithms = torch.log10(magnitudes + OFFSET).clamp_min(FLOOR)
        return logarithms.view(*inputs.shape[:-2], *logarithms.shape[1:])

    def binned(self, masks: torch.Tensor) -> torch.Tensor:
        """Return masks ``[K, n_bins, n]``, which lie on the bins of the spectrum already."""
        return masks

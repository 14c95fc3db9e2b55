"""What every front end does: waveform to the network's input, and maps back to sound."""

from __future__ import annotations

from typing import Protocol

import torch


class Frontend(Protocol):
    """A representation of sound.

    Attributes
    ----------
    sample_rate : int
        Of every waveform, in Hz.
    clip_samples : int
        Samples ``S`` of a clip.
    shape : tuple of int
        Of an input, ``*I``.
    grid : tuple of int
        Of a heatmap.
    """

    @property
    def sample_rate(self) -> int: ...  # noqa: D102
    @property
    def clip_samples(self) -> int: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def grid(self) -> tuple[int, ...]: ...  # noqa: D102

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Make inputs ``[B, *I]`` of clips ``[B, S]``, scaled by the peak of `like` (default: of themselves)."""

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Spread what inputs ``[..., *I]`` and their contexts say over the grid, ``[..., *grid]``."""

    def lift(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, T]`` on the grid to the bins of the spectrum, ``[K, n_bins, T]``."""

    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform, ``[B, S]`` to complex ``[B, n_bins, T]``."""

    def istft(self, spectra: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`stft`, complex ``[B, n_bins, T]`` to ``[B, S]``."""

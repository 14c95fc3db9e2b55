"""What every front end does: waveform to the network's input, and maps back to sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from earmark.errors import EarmarkError
from earmark.sound.mixture import Mixture


class Frontend(Protocol):
    """A representation of sound.

    Attributes
    ----------
    title : str
        What its inputs are called in pictures.
    unit : str
        What the numbers of :meth:`picture` are.
    sample_rate : int
        Of every waveform, in Hz.
    clip_samples : int
        Samples ``S`` of a clip.
    hop, n_fft : int
        Samples between two frames of the spectrum, and of its window.
    shape : tuple of int
        Of an input, ``*I``.
    grid : tuple of int
        Of a heatmap, ``(1, F, T)``.
    layout : {"frequency-time", "time-frequency"}
        Of the two directions of an input.
    frequencies, times : torch.Tensor or None
        Centre frequency of every row of a heatmap in Hz, ``[F]``, and of every column in seconds, ``[T]``, ascending;
        None where nobody has said where they lie, so that nothing can be heard of them.
    """

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def sample_rate(self) -> int: ...  # noqa: D102
    @property
    def clip_samples(self) -> int: ...  # noqa: D102
    @property
    def hop(self) -> int: ...  # noqa: D102
    @property
    def n_fft(self) -> int: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def grid(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def layout(self) -> str: ...  # noqa: D102
    @property
    def frequencies(self) -> torch.Tensor | None: ...  # noqa: D102
    @property
    def times(self) -> torch.Tensor | None: ...  # noqa: D102

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Make inputs ``[B, *I]`` of clips ``[B, S]``, scaled by the peak of `like` (default: of themselves)."""

    def mixed(self, sounds: torch.Tensor, states: torch.Tensor, like: torch.Tensor) -> Mixture:
        """Make N inputs of the sums of those sounds ``[d, S]`` that states ``[N, d]`` have as 1 and not as 0.

        All are scaled by the peak of the clip `like`, ``[S]``.
        """

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Spread what inputs ``[..., *I]`` and their contexts say over the grid, ``[..., *grid]``."""

    def sample_relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor | None:
        """Say what of that each sample has, ``[..., 1, S]``; None where inputs are no samples."""

    def spread(self, cells: torch.Tensor) -> torch.Tensor:
        """Lay out what lies on the cells of inputs, ``[..., *I]``, on the grid, ``[..., *grid]``.

        Raises
        ------
        EarmarkError
            If cells of inputs have no place there.
        """

    def replaced(self, inputs: torch.Tensor, cells: torch.Tensor, filling: torch.Tensor) -> torch.Tensor:
        """Replace cells of the grid, ``[N, *grid]`` of bool, of inputs ``[N, *I]`` by those of `filling`.

        `filling` is an input as well, or what broadcasts to ``[N, *I]``.
        """

    def lowest(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what stands for no sound in inputs ``[N, *I]``, as far as these tell: ``[N, 1, ...]``."""

    def sensitivity(self, contexts: torch.Tensor) -> torch.Tensor:
        """Say how much a logit changes at most where a cell of the grid changes by 1.

        Parameters
        ----------
        contexts : torch.Tensor
            Gradient of the logit by inputs, ``[..., *I]``.

        Returns
        -------
        torch.Tensor
            ``[..., *grid]``, not negative.
        """

    def enlarged(self, cells: torch.Tensor) -> torch.Tensor:
        """Interpolate what lies on the cells of a layer, ``[B, *g]``, to the grid, ``[B, *grid]``.

        A layer's cells lie in time, ``[B, n]``, or in the two directions of an input, ``[B, m, n]``.
        """

    def reduced(self, maps: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Average what lies on the grid, ``[B, N, F, T]``, over the cells of a layer of a shape, ``[B, N, *g]``."""

    def picture(self, inputs: torch.Tensor) -> torch.Tensor:
        """Show inputs ``[..., *I]`` as a spectrogram on the grid, ``[..., F, T]``."""

    def energies(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Measure the power in every cell of the grid at the waveforms' own level: ``[B, S]`` to ``[B, F, T]``."""

    def framed(self, maps: torch.Tensor) -> torch.Tensor:
        """Lay out maps ``[K, F, T]`` on the grid over the frames of the spectrum, ``[K, F, n_frames]``.

        Raises
        ------
        EarmarkError
            If nobody has said where the grid's cells lie.
        """

    def filtered(self, stretch: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Filter sound of any length ``[L]`` by masks on rows and frames, ``[K, F, 1 + L / hop]``: ``[K, L]``."""

    def lift(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, T]`` on the grid to the cells of the spectrum, ``[K, n_bins, n_frames]``.

        Raises
        ------
        EarmarkError
            If nobody has said where the grid's cells lie.
        """

    def held(self, power: torch.Tensor, ranked: torch.Tensor) -> torch.Tensor:
        """Tell what energy is heard of the first n cells of an order, for every n, float64 ``[F T + 1]``.

        Of a spectrum's power ``[n_bins, n_frames]`` and the place of every cell in the order, int64 ``[F, T]``.

        Raises
        ------
        EarmarkError
            If nobody has said where the grid's cells lie.
        """

    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform, ``[B, S]`` to complex ``[B, n_bins, n_frames]``."""

    def istft(self, spectra: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`stft`, complex ``[B, n_bins, n_frames]`` to ``[B, S]``."""


@torch.enable_grad()
def require_gradients(frontend: Frontend) -> None:
    """Raise unless gradients pass through a front end, from inputs to clips.

    Raises
    ------
    EarmarkError
        If they do not.
    """
    clip = torch.zeros(1, frontend.clip_samples).requires_grad_()
    try:
        passes = frontend(clip).requires_grad
    except EarmarkError:  # of a module that takes clips without gradients
        passes = False
    if not passes:
        raise EarmarkError(
            "no gradient passes the front end, which masks are found by: make its module of PyTorch's operations alone"
        )


def silence(frontend: Frontend) -> torch.Tensor:
    """Make the input ``[*I]`` of silence, which is the same at any clip's level.

    Raises
    ------
    EarmarkError
        If it is no number.
    """
    made = frontend(torch.zeros(1, frontend.clip_samples))[0]
    if not torch.isfinite(made).all():
        raise EarmarkError(
            "the front end makes NaN or infinity of silence, which clips are compared with; keep logarithms away from 0"
        )
    return made

"""Front end of the user's own: a module that makes a network's inputs, and may say where their cells lie.

Where it does, relevance is heard: masks on its cells are interpolated to the bins and frames of a Fourier transform.
Where it does not, relevance is seen on the cells alone.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.plan import foreign
from earmark.sound.frames import Celled, Sampled

LEVEL = 0.1
"""Of the noise that a module is tried on."""


@dataclass(frozen=True)
class Module(Celled, Sampled):
    """Inputs that a module of the user's makes of waveforms.

    Parameters
    ----------
    module : str
        ``my_front_end.py:build`` or ``package.module:build``: a function without arguments that returns a module, or a
        function, of waveforms ``[B, S]`` that gives inputs ``[B, F, T]`` or ``[B, C, F, T]``. It says where their cells
        lie by two attributes: ``frequencies``, of every row in Hz, ``[F]``, and ``times``, of every column in seconds,
        ``[T]``, both ascending.
    sample_rate : int
        Sampling rate of every waveform, in Hz.
    n_samples : int
        Samples of a clip.
    n_fft, hop, window : int, int, str
        Of the Fourier transform that sounds are made by; the module knows nothing of it.
    peak_scaling : bool
        Whether clips are scaled to peak 1 (eq. A.1) before the module gets them.
    peak : {"sample", "percentile", "cell", "deviation"}
        What counts as a clip's peak, see :meth:`earmark.sound.frames.Framed.peaks`.
    layout : {"frequency-time", "time-frequency"}
        Of the last two axes of an input.

    Raises
    ------
    EarmarkError
        If there is no such module, or it makes no inputs that can be explained.
    """

    module: str
    sample_rate: int
    n_samples: int
    n_fft: int = 480
    hop: int = 240
    window: str = "hamming"
    peak_scaling: bool = True
    peak: str = "sample"
    layout: str = "frequency-time"

    kind: ClassVar[str] = "module"
    title: ClassVar[str] = "module"
    unit: ClassVar[str] = "as the front end gives it"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Sampled.choices,
        "layout": ("frequency-time", "time-frequency"),
    }

    def __post_init__(self) -> None:
        """Try the module, and check what it says of itself."""
        super().__post_init__()
        rate = getattr(self._own, "sample_rate", self.sample_rate)
        if rate != self.sample_rate:
            raise EarmarkError(
                f"{self.module} is for {rate:g} Hz, and frontend.sample_rate is {self.sample_rate}: set it to {rate:g}"
            )
        _, rows, columns = self.grid
        sizes = {"frequencies": rows, "times": columns}
        placed = {"frequencies": self.frequencies, "times": self.times}
        for name, centres in placed.items():
            if centres is not None and not _is_ascending(centres, sizes[name]):
                raise EarmarkError(
                    f"{self.module} must give {name} as {sizes[name]} ascending numbers, one for each of the "
                    f"{'rows' if name == 'frequencies' else 'columns'} of its inputs"
                )
        if len([name for name, centres in placed.items() if centres is not None]) == 1:
            raise EarmarkError(
                f"{self.module} must give both frequencies and times, where the cells of its inputs lie, or neither"
            )

    @functools.cached_property
    def _own(self) -> Callable[[torch.Tensor], Any]:
        """The user's module."""
        built = foreign.made(self.module, Path.cwd(), "front end")
        if isinstance(built, nn.Module):
            return copy.deepcopy(built).float().cpu().eval().requires_grad_(False)
        if not callable(built) or isinstance(built, type):
            raise EarmarkError(
                f"{self.module} must return a torch.nn.Module, or a function of waveforms, not {built!r:.80}"
            )
        return built

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Channels, if any, and the two axes of an input."""
        noise = LEVEL * torch.randn(2, self.n_samples, generator=torch.Generator().manual_seed(0))
        first, second, alone = (self._made(clips) for clips in (noise, noise, noise[:1]))
        if first.dim() not in (3, 4) or len(first) != 2 or not first.numel():
            raise EarmarkError(
                f"{self.module} must make inputs [B, F, T] or [B, C, F, T] of waveforms [B, S]; of "
                f"{list(noise.shape)} it makes {list(first.shape)}"
            )
        if not torch.isfinite(first).all():
            raise EarmarkError(f"{self.module} makes NaN or infinity of noise; keep logarithms away from 0")
        close = functools.partial(torch.allclose, rtol=1e-3, atol=1e-3 * float(first.abs().max()))
        if not close(first, second):
            raise EarmarkError(
                f"{self.module} makes another input of the same clip each time; draw no random numbers in evaluation"
            )
        if not close(first[:1], alone):
            raise EarmarkError(
                f"what {self.module} makes of a clip depends on the others in its batch; take each by itself"
            )
        return tuple(first.shape[1:])

    def _made(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Call the user's module on copies of clips ``[B, S]``, on the CPU, and hand on gradients if these have any."""
        try:
            with torch.set_grad_enabled(waveforms.requires_grad and torch.is_grad_enabled()):
                made = torch.as_tensor(self._own(waveforms.cpu().clone()))
        except Exception as error:
            raise EarmarkError(
                f"{self.module} cannot take waveforms {list(waveforms.shape)}: {foreign.first_line(error)}"
            ) from error
        return made.to(waveforms)

    @property
    def grid(self) -> tuple[int, ...]:
        """One, rows and columns of a heatmap."""
        rows, columns = self.shape[-2:] if self.layout == "frequency-time" else self.shape[:-3:-1]
        return (1, rows, columns)

    @functools.cached_property
    def frequencies(self) -> torch.Tensor | None:
        """Centre frequency of every row in Hz, ``[F]``, if the module says so."""
        return self._told("frequencies")

    @functools.cached_property
    def times(self) -> torch.Tensor | None:
        """Centre of every column in seconds, ``[T]``, if the module says so."""
        return self._told("times")

    def _told(self, name: str) -> torch.Tensor | None:
        told = getattr(self._own, name, None)
        return None if told is None else torch.as_tensor(told, dtype=torch.float32).detach().cpu()

    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Make inputs ``[B, *I]`` of clips ``[B, S]``; `like` as in :meth:`normalised`.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        EarmarkError
            If the module fails.
        """
        return self._made(self.normalised(waveforms, like))

    def relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        """Multiply inputs and contexts ``[..., *I]``, cell by cell, and sum over channels: ``[..., 1, F, T]``."""
        return self.spread(inputs * contexts)

    def spread(self, cells: torch.Tensor) -> torch.Tensor:
        """Lay out what lies on the cells of inputs, ``[..., *I]``, summed over channels, on ``[..., 1, F, T]``."""
        summed = cells.unsqueeze(-3) if len(self.shape) == 2 else cells.sum(dim=-3, keepdim=True)
        return summed if self.layout == "frequency-time" else summed.transpose(-2, -1)

    def gathered(self, maps: torch.Tensor) -> torch.Tensor:
        """Lay out maps ``[..., 1, F, T]`` on the cells of inputs, ``[..., *I]``, alike for all channels."""
        cells = maps if self.layout == "frequency-time" else maps.transpose(-2, -1)
        channels = (*cells.shape[:-3], self.shape[0], *cells.shape[-2:])
        return cells.squeeze(-3) if len(self.shape) == 2 else cells.expand(channels)

    def sensitivity(self, contexts: torch.Tensor) -> torch.Tensor:
        """Sum the sizes of gradients by inputs, ``[..., *I]``, over channels: ``[..., 1, F, T]``."""
        return self.spread(contexts.abs())

    def picture(self, inputs: torch.Tensor) -> torch.Tensor:
        """Show inputs ``[..., *I]`` as their mean over channels, ``[..., F, T]``."""
        return self.spread(inputs)[..., 0, :, :] * (self.grid[-1] * self.grid[-2] / torch.Size(self.shape).numel())

    @functools.cached_property
    def _to_bins(self) -> torch.Tensor:
        """Share of every row in every bin, ``[n_bins, F]``."""
        return shares(self._known(self.frequencies), self.bin_frequencies)

    @functools.cached_property
    def _to_frames(self) -> torch.Tensor:
        """Share of every column in every frame, ``[n_frames, T]``."""
        return shares(self._known(self.times), torch.arange(self.n_frames) * (self.hop / self.sample_rate))

    def _known(self, centres: torch.Tensor | None) -> torch.Tensor:
        if centres is None:
            raise EarmarkError(
                f"{self.module} does not say where the cells of its inputs lie, and nothing can be heard of them, or "
                "taken out of a sound: give it frequencies, of its rows in Hz, and times, of its columns in seconds"
            )
        return centres

    def energies(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Measure the power in every cell, ``[B, S]`` to ``[B, F, T]``: each bin's lies where its masks are taken from.

        Raises
        ------
        EarmarkError
            As :meth:`lift`.
        """
        return self._to_bins.to(waveforms).T @ self.stft(waveforms).abs().square() @ self._to_frames.to(waveforms)

    def framed(self, maps: torch.Tensor) -> torch.Tensor:
        """Interpolate maps ``[K, F, T]`` from columns to frames, ``[K, F, n_frames]``.

        Raises
        ------
        EarmarkError
            If the module does not say where the cells of its inputs lie.
        """
        return maps @ self._to_frames.to(maps).T

    def binned(self, masks: torch.Tensor) -> torch.Tensor:
        """Interpolate masks ``[K, F, n]`` from rows to bins, ``[K, n_bins, n]``; errors as :meth:`framed`."""
        return self._to_bins.to(masks) @ masks


def _is_ascending(centres: torch.Tensor, count: int) -> bool:
    return centres.shape == (count,) and bool(torch.isfinite(centres).all()) and bool((centres.diff() > 0).all())


def shares(centres: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Weigh what is known at centres for a linear interpolation at places; the outermost holds beyond its centre.

    Parameters
    ----------
    centres : torch.Tensor
        ``[n]``, ascending.
    places : torch.Tensor
        ``[m]``.

    Returns
    -------
    torch.Tensor
        ``[m, n]``; rows sum to 1.
    """
    if len(centres) == 1:
        return torch.ones(len(places), 1)
    above = torch.searchsorted(centres, places).clamp(1, len(centres) - 1)
    part = ((places - centres[above - 1]) / (centres[above] - centres[above - 1])).clamp(0, 1)
    weights = torch.zeros(len(places), len(centres))
    weights.scatter_(1, above.unsqueeze(1), part.unsqueeze(1))
    return weights.scatter_(1, above.unsqueeze(1) - 1, 1 - part.unsqueeze(1))

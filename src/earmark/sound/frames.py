"""Centred frames of a clip and their Fourier transform, which every front end has."""

from __future__ import annotations

import abc
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from earmark.errors import EarmarkError
from earmark.sound.mixture import Mixture, Stretch, distinct

RAISED = {"hamming": 0.54, "hann": 0.5}
"""Windows by the mean of their raised cosine."""

PERCENTILE, ABOVE = 95.0, 0.001
"""Of a clip's samples, and what is added to it, where that is its peak."""


def percentile(waveforms: torch.Tensor, share: float) -> torch.Tensor:
    """Interpolate a percentile between the samples of clips ``[..., S]`` in rising order: ``[..., 1]``."""
    rising = waveforms.sort(dim=-1).values  # PyTorch's quantile takes no more than 2^24 samples
    place = share / 100 * (waveforms.shape[-1] - 1)
    below = math.floor(place)
    return torch.lerp(rising[..., below : below + 1], rising[..., below + 1 :][..., :1], place - below)


Sources = tuple[torch.Tensor, torch.Tensor]
"""Weights, float64 ``[n, k]``, and places, int64 ``[n, k]``, of what each of n things is a sum of."""


def _sources_of(weights: torch.Tensor) -> Sources:
    """List what is not 0 in the rows of weights ``[n, m]``, as many as the fullest row has."""
    count = int((weights != 0).sum(dim=1).max())
    largest = weights.double().topk(count, dim=1)
    return largest.values, largest.indices


class Framed(abc.ABC):
    """What front ends share: frames, windows, peaks.

    Attributes
    ----------
    sample_rate : int
        Of every waveform, in Hz.
    n_fft : int
        Samples of the window and of the Fourier transform, even.
    hop : int
        Samples between two frames.
    window : {"hamming", "hann"}
        Periodic.
    peak_scaling : bool
        Whether clips are scaled to peak 1 (eq. A.1).
    peak : {"sample", "percentile", "cell", "deviation"}
        What counts as a clip's peak, see :meth:`peaks`.
    layout : {"frequency-time", "time-frequency"}
        Of the two directions of an input.
    """

    sample_rate: int
    n_fft: int
    hop: int
    window: str
    peak_scaling: bool
    peak: str = "sample"
    layout: str = "frequency-time"

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "window": tuple(RAISED),
        "peak": ("sample", "percentile", "cell", "deviation"),
    }
    """Words that an attribute may be."""

    def __post_init__(self) -> None:
        """Refuse words that mean nothing.

        Raises
        ------
        EarmarkError
            If there is one.
        """
        for name, allowed in self.choices.items():
            if getattr(self, name) not in allowed:
                raise EarmarkError(
                    f"a front end's {name} cannot be {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )

    @property
    @abc.abstractmethod
    def clip_samples(self) -> int:
        """Samples of a clip."""

    @property
    @abc.abstractmethod
    def grid(self) -> tuple[int, ...]:
        """One, rows and columns of a heatmap."""

    @functools.cached_property
    def times(self) -> torch.Tensor | None:
        """Centre of every column of a heatmap in seconds, ``[T]``: that of a frame."""
        return torch.arange(self.grid[-1]) * (self.hop / self.sample_rate)

    @property
    def clip_seconds(self) -> float:
        """Duration of a clip in seconds."""
        return self.clip_samples / self.sample_rate

    @property
    def spectrum_bins(self) -> int:
        """Bins of the linear-frequency spectrum, from 0 Hz to the Nyquist frequency."""
        return self.n_fft // 2 + 1

    @functools.cached_property
    def bin_frequencies(self) -> torch.Tensor:
        """Frequency of every bin of the spectrum in Hz, ``[n_bins]``."""
        return torch.linspace(0.0, self.sample_rate / 2, self.spectrum_bins)

    @functools.cached_property
    def taper(self) -> torch.Tensor:
        """The window (eq. 2.25 for Hamming's), ``[n_fft]``."""
        make = torch.hamming_window if self.window == "hamming" else torch.hann_window
        return make(self.n_fft, periodic=True)

    @abc.abstractmethod
    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform (eq. 2.21): ``[B, S]`` to complex ``[B, n_bins, T]``."""

    def transformed(self, waveforms: torch.Tensor, padding: str) -> torch.Tensor:
        """Transform the frames of waveforms that go on beyond their ends as `padding` says: to ``[B, n_bins, T]``."""
        return torch.stft(
            waveforms,
            self.n_fft,
            self.hop,
            window=self.taper.to(waveforms),
            center=True,
            pad_mode=padding,
            return_complex=True,
        )

    def istft(self, spectra: torch.Tensor) -> torch.Tensor:
        """Overlap-add inverse (eq. 3.17): complex ``[B, n_bins, T]`` to ``[B, clip_samples]``."""
        return self.overlapped(spectra, self.clip_samples)

    def overlapped(self, spectra: torch.Tensor, samples: int) -> torch.Tensor:
        """Overlap-add inverse of :meth:`transformed`: complex ``[B, n_bins, T]`` to ``[B, samples]``."""
        return torch.istft(
            spectra,
            self.n_fft,
            self.hop,
            window=self.taper.to(spectra.device, spectra.real.dtype),
            center=True,
            length=samples,
        )

    def framed(self, maps: torch.Tensor) -> torch.Tensor:
        """Lay out maps ``[K, F, T]`` on the grid over frames, ``[K, F, n_frames]``: a column is a frame."""
        return maps

    @abc.abstractmethod
    def binned(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks on rows and frames, ``[K, F, n]`` of any number, to bins, ``[K, n_bins, n]``."""

    def lift(self, masks: torch.Tensor) -> torch.Tensor:
        """Lift masks ``[K, F, T]`` on the grid to the cells of the spectrum, ``[K, n_bins, n_frames]``."""
        return self.binned(self.framed(masks))

    @functools.cached_property
    def _sources(self) -> tuple[Sources, Sources]:
        """Which rows every bin takes its mask from, and which columns every frame."""
        _, rows, columns = self.grid
        to_bins = self.binned(torch.eye(rows).unsqueeze(2))[..., 0].T  # [n_bins, F]
        to_frames = self.framed(torch.eye(columns).unsqueeze(1))[:, 0].T  # [n_frames, T]
        return _sources_of(to_bins), _sources_of(to_frames)

    def held(self, power: torch.Tensor, ranked: torch.Tensor) -> torch.Tensor:
        """Tell what energy is heard of the first n cells of an order, for every n.

        Lifted, a mask of 0 and 1 is at each cell of the spectrum a sum of a few weights, of those of its sources that
        are among the first. Its square is a sum over pairs of sources, each of which counts from its later member on.

        Parameters
        ----------
        power : torch.Tensor
            Of the spectrum, ``[n_bins, n_frames]``.
        ranked : torch.Tensor
            Place of every cell of the grid in the order, int64 ``[F, T]``, from 0.

        Returns
        -------
        torch.Tensor
            float64 ``[F T + 1]``, ascending from 0.
        """
        rows, columns = ((one.to(power.device) for one in sources) for sources in self._sources)
        (row_weights, row_places), (column_weights, column_places) = rows, columns
        places = ranked[row_places[:, None, :, None], column_places[None, :, None, :]].flatten(2)
        weights = (row_weights[:, None, :, None] * column_weights[None, :, None, :]).flatten(2)
        added = torch.zeros(ranked.numel() + 1, dtype=torch.float64, device=power.device)
        for first, second in itertools.combinations_with_replacement(range(places.shape[2]), 2):
            later = torch.maximum(places[..., first], places[..., second])  # [n_bins, n_frames]
            amounts = (1 if first == second else 2) * weights[..., first] * weights[..., second] * power
            added += torch.bincount(later.flatten() + 1, amounts.flatten(), minlength=len(added))
        return added.cumsum(dim=0)

    def filtered(self, stretch: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Filter a stretch of sound of any length by masks, silence beyond its ends.

        Parameters
        ----------
        stretch : torch.Tensor
            ``[L]``.
        masks : torch.Tensor
            On rows and frames, ``[K, F, n]``, the first frame at the first sample; n = 1 + L / hop, L being a multiple
            of the hop.

        Returns
        -------
        torch.Tensor
            ``[K, L]``.
        """
        spectra = self.binned(masks) * self.transformed(stretch.unsqueeze(0), "constant")
        return self.overlapped(spectra, len(stretch))

    def sample_relevance(self, inputs: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor | None:
        """Return None: inputs are no samples, unless a front end says so."""
        return None

    def enlarged(self, cells: torch.Tensor) -> torch.Tensor:
        """Interpolate what lies on the cells of a layer to the heatmaps' grid, linearly.

        Parameters
        ----------
        cells : torch.Tensor
            ``[B, n]`` in time, the same for all rows then; or ``[B, m, n]`` in the two directions of an input.

        Returns
        -------
        torch.Tensor
            ``[B, 1, F, T]``.
        """
        _, rows, columns = self.grid
        if cells.dim() == 2:
            along = torch.nn.functional.interpolate(cells.unsqueeze(1), columns, mode="linear")  # [B, 1, T]
            return along.unsqueeze(2).expand(-1, -1, rows, -1)
        upright = cells if self.layout == "frequency-time" else cells.transpose(-2, -1)
        return torch.nn.functional.interpolate(upright.unsqueeze(1), (rows, columns), mode="bilinear")

    def reduced(self, maps: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Average what lies on the heatmaps' grid over the cells of a layer.

        Parameters
        ----------
        maps : torch.Tensor
            ``[B, N, F, T]``.
        shape : sequence of int
            Of the layer: ``(n,)`` in time, where a cell takes all rows; or ``(m, n)`` in the two directions of an
            input.

        Returns
        -------
        torch.Tensor
            ``[B, N, n]`` or ``[B, N, m, n]``.
        """
        if len(shape) == 1:
            return torch.nn.functional.adaptive_avg_pool1d(maps.mean(dim=-2), shape[0])
        turned = maps if self.layout == "frequency-time" else maps.transpose(-2, -1)
        return torch.nn.functional.adaptive_avg_pool2d(turned, (shape[0], shape[1]))

    @abc.abstractmethod
    def __call__(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Make inputs ``[B, *I]`` of clips ``[B, S]``; `like` as in :meth:`normalised`."""

    def mixed(self, sounds: torch.Tensor, states: torch.Tensor, like: torch.Tensor) -> Mixture:
        """Make inputs of sums of some of a clip's sounds.

        Parameters
        ----------
        sounds : torch.Tensor
            ``[d, clip_samples]``.
        states : torch.Tensor
            ``[N, d]``, 1 for the sounds that are heard and 0 for the others.
        like : torch.Tensor
            The clip ``[clip_samples]`` whose peak scales all.

        Returns
        -------
        Mixture
            N inputs.
        """
        selections, which = distinct(states)  # [U, d], [N]
        return Mixture((Stretch(self(selections.to(sounds) @ sounds, like), which),))

    def normalised(self, waveforms: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Scale clips ``[B, clip_samples]`` to peak 1 (eq. A.1), where the front end does.

        Parameters
        ----------
        waveforms : torch.Tensor
            ``[B, clip_samples]``.
        like : torch.Tensor or None
            Clips ``[B, clip_samples]``, or one ``[clip_samples]`` for all, that are scaled to peak 1 by the same
            factor; None: each clip itself is. Where that is silent, nothing is scaled.

        Raises
        ------
        ValueError
            If the clips are not `clip_samples` long.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] != self.clip_samples:
            raise ValueError(f"expected clips [B, {self.clip_samples}], got {list(waveforms.shape)}")
        if not self.peak_scaling:
            return waveforms
        peak = self.peaks(waveforms if like is None else like)  # [B, 1] or [1]
        return waveforms / torch.where(peak > 0, peak, 1.0)

    def peaks(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Measure the peaks of clips.

        Parameters
        ----------
        waveforms : torch.Tensor
            ``[B, clip_samples]``, or one, ``[clip_samples]``.

        Returns
        -------
        torch.Tensor
            ``[B, 1]``, or ``[1]``: the largest size of a sample; the 95th percentile of samples with their signs, plus
            .001 (Becker et al. 2018); the largest magnitude of a cell of the short-time spectrum; or the standard
            deviation of samples (Kim et al. 2018, CREPE).
        """
        match self.peak:
            case "percentile":
                return percentile(waveforms, PERCENTILE).clamp_min(0) + ABOVE
            case "cell":
                return self.stft(waveforms).abs().amax(dim=(-2, -1)).unsqueeze(-1)
            case "deviation":
                return waveforms.std(dim=-1, keepdim=True)
        return waveforms.abs().amax(dim=-1, keepdim=True)


class Celled(Framed):
    """Front ends whose inputs are made of the grid's cells."""

    @abc.abstractmethod
    def gathered(self, maps: torch.Tensor) -> torch.Tensor:
        """Lay out maps on the grid, ``[..., *grid]``, as inputs, ``[..., *I]``."""

    def replaced(self, inputs: torch.Tensor, cells: torch.Tensor, filling: torch.Tensor) -> torch.Tensor:
        """Replace cells ``[N, *grid]`` of inputs ``[N, *I]`` by those of `filling`, which broadcasts to these."""
        return torch.where(self.gathered(cells), filling, inputs)

    def lowest(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the smallest cell of each of inputs ``[N, *I]``: ``[N, 1, ...]``."""
        return inputs.flatten(1).amin(dim=1).view(-1, *(1,) * (inputs.dim() - 1))


class Sampled(Framed):
    """Front ends whose clips are as long as anyone says, silence beyond their ends.

    Attributes
    ----------
    n_samples : int
        Samples of a clip.
    """

    n_samples: int

    @property
    def clip_samples(self) -> int:
        """Samples of a clip."""
        return self.n_samples

    @property
    def n_frames(self) -> int:
        """Frames of the transform: so many that the last one's centre lies at the clip's end or beyond."""
        return 1 + -(-self.n_samples // self.hop)

    def stft(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Short-time Fourier transform, zeros beyond the ends: ``[B, S]`` to complex ``[B, n_bins, T]``."""
        missing = (self.n_frames - 1) * self.hop - self.n_samples
        return self.transformed(torch.nn.functional.pad(waveforms, (0, missing)), "constant")

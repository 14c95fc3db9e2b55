"""Recordings longer than a clip: maps of half-overlapping clips joined to one, and one set of masks for the whole.

Nothing here grows with the recording but what lies on disk, and the positive cells of one map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.sound.base import Frontend
from earmark.sound.masks import KERNEL_SIZE, outline, portions

BLOCK = 2048
"""Frames that are rendered at a time: bounds memory and decides nothing."""

BLURRED = KERNEL_SIZE // 2
"""Frames beyond a block that its masks depend on."""


REACH = 4
"""Clips before and after one that may reach into it: two, and more where the last one is early."""


@dataclass(frozen=True)
class Tiling:
    """How clips cover a track: each begins half a clip after the one before, the last one ends with the track.

    Attributes
    ----------
    starts : tuple of int [n]
        First frame of every clip, ascending.
    clip_frames : int
        Frames ``N`` of a clip.
    samples : int
        Of the track.
    hop : int
        Samples between two frames.
    """

    starts: tuple[int, ...]
    clip_frames: int
    samples: int
    hop: int

    @classmethod
    def of(cls, frontend: Frontend, samples: int) -> Tiling:
        """Cover a track of so many samples, at least one; what is shorter than a clip by one clip."""
        clip_frames = frontend.stft(torch.zeros(1, frontend.clip_samples)).shape[-1]
        step = max(frontend.clip_samples // frontend.hop // 2, 1)
        last = max(math.ceil((samples - frontend.clip_samples) / frontend.hop), 0)
        return cls((*range(0, last, step), last), clip_frames, samples, frontend.hop)

    @property
    def frames(self) -> int:
        """Frames of the track, of which the first lies at its first sample."""
        return self.starts[-1] + self.clip_frames

    def middles(self, frontend: Frontend) -> NDArray[np.float64]:
        """Say in which second the middle of each clip lies, ``[n]``."""
        return (np.array(self.starts) * self.hop + frontend.clip_samples / 2) / frontend.sample_rate

    def weights(self, clip: int) -> NDArray[np.float32]:
        """Weigh a clip's frames against those of its neighbours, ``[N]``: at every frame of the track they sum to 1."""
        rising = np.arange(1, self.clip_frames + 1)
        peak = np.minimum(rising, rising[::-1]).astype(np.float64)  # [N]
        total = np.zeros(self.clip_frames)
        for start in self.starts[max(clip - REACH, 0) : clip + REACH + 1]:
            shift = start - self.starts[clip]
            low, high = max(shift, 0), min(shift + self.clip_frames, self.clip_frames)
            if low < high:
                total[low:high] += peak[low - shift : high - shift]
        return (peak / total).astype(np.float32)


def cut(track: NDArray[np.int16], start: int, samples: int) -> NDArray[np.float32]:
    """Cut a stretch out of a track, with silence beyond its ends, at the track's level."""
    stretch = np.zeros(samples, np.float32)
    low, high = max(start, 0), min(start + samples, len(track))
    if low < high:
        stretch[low - start : high - start] = track[low:high]
    return stretch


@dataclass
class Joined:
    """Maps of a track, cross-faded on its frames; they lie on disk, in a file without a name.

    Parameters
    ----------
    tiling : Tiling
        Of the clips.
    parts, rows : int
        K + 1 and F: the standard map is the first part.
    folder : Path, optional
        Where there is room; by default where the system keeps temporary files.
    """

    tiling: Tiling
    parts: int
    rows: int
    folder: Path | None = None
    _file: IO[bytes] = field(init=False, repr=False)
    _added: int = field(default=0, init=False, repr=False)
    _begin: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Open the file, and make room for the frames that more clips will change."""
        self._file = TemporaryFile(dir=self.folder)  # noqa: SIM115 - it lives as long as this
        self._pending = np.zeros((self.tiling.clip_frames, self.parts, self.rows), np.float32)

    def add(self, maps: torch.Tensor) -> None:
        """Take the maps ``[K + 1, F, N]`` of the next clip; of the last one, and all frames are there."""
        start, width = self.tiling.starts[self._added], self.tiling.clip_frames
        self._settle(start)
        weights = self.tiling.weights(self._added)[:, None, None]
        self._pending += weights * maps.permute(2, 0, 1).numpy()
        self._added += 1
        if self._added == len(self.tiling.starts):
            self._settle(start + width)
            self._file.flush()

    def _settle(self, frame: int) -> None:
        """Write what lies before a frame: no clip changes it any more."""
        done = frame - self._begin
        self._file.write(self._pending[:done].tobytes())
        self._pending = np.concatenate([self._pending[done:], np.zeros_like(self._pending[:done])])
        self._begin = frame

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Read the maps from one frame to another, ``[K + 1, F, n]``."""
        size = self.parts * self.rows
        self._file.seek(4 * start * size)
        cells = np.frombuffer(self._file.read(4 * (stop - start) * size), np.float32).copy()
        return torch.from_numpy(cells).view(stop - start, self.parts, self.rows).permute(1, 2, 0).contiguous()

    def blocks(self, beyond: int = 0) -> Iterator[tuple[int, int, int, torch.Tensor]]:
        """Read block by block, with some frames beyond it: its first and last frame, the first one read, and maps."""
        for start in range(0, self.tiling.frames, BLOCK):
            stop = min(start + BLOCK, self.tiling.frames)
            first = max(start - beyond, 0)
            yield start, stop, first, self.read(first, min(stop + beyond, self.tiling.frames))


@dataclass(frozen=True)
class Scale:
    """What the masks of a track have in common (section 7 of the thesis, applied once).

    Attributes
    ----------
    threshold : float
        Relevance of a cell below which it is not rendered.
    peak : float
        Largest of the blurred cells.
    bypassed : bool
        Whether the parts lack some of the standard map.
    """

    threshold: float
    peak: float
    bypassed: bool


def scale_of(joined: Joined, percentile: float, rounding: float) -> Scale:
    """Measure what the masks of a track have in common.

    Parameters
    ----------
    joined : Joined
        The maps.
    percentile : float
        Of the standard map's positive cells, which `threshold` is.
    rounding : float
        Part of the standard map's largest cell that its parts may lack of it and still sum to it.
    """
    positive, lacking, largest = [np.empty(0, np.float32)], 0.0, 0.0
    for *_, maps in joined.blocks():
        standard = maps[0]
        positive.append(standard[standard > 0].numpy())
        lacking = max(lacking, float((standard - maps[1:].sum(dim=0)).abs().max()))
        largest = max(largest, float(standard.abs().max()))
    cells = np.concatenate(positive)
    positive.clear()
    threshold = float(np.percentile(cells, percentile, overwrite_input=True)) if len(cells) else math.inf
    outlines = (
        outline(maps[0], threshold)[:, start - first : stop - first]
        for start, stop, first, maps in joined.blocks(BLURRED)
    )
    peak = max(float(cells.max()) for cells in outlines)
    return Scale(threshold, peak, lacking > rounding * largest)


def rendered(frontend: Frontend, track: NDArray[np.int16], joined: Joined, scale: Scale) -> Iterator[torch.Tensor]:
    """Render the explanation of a track, block by block.

    Parameters
    ----------
    frontend : Frontend
        Of the model.
    track : array of int16 [n]
        Its samples.
    joined, scale
        The maps, and what their masks have in common.

    Yields
    ------
    torch.Tensor
        ``[1 + K, m]``, or ``[2 + K, m]``: the next samples of the standard explanation, of its parts, and of what
        passes them by, where something does; at the level of `track`. The parts, and what passes, sum to the first.
    """
    hop = frontend.hop
    margin = math.ceil(frontend.n_fft / hop)
    for start, stop, first, maps in joined.blocks(margin + BLURRED):
        # A frame is right where all that it covers was cut out, and its mask where all around it was read.
        low, high = max(start - margin, 0), min(stop + margin, joined.tiling.frames)
        masks = _masks(maps, scale)[..., low - first : high - first]  # [K', F, high - low]
        stretch = torch.from_numpy(cut(track, low * hop, (high - 1 - low) * hop))
        end = min(stop * hop, joined.tiling.samples)
        if start * hop < end:
            yield frontend.filtered(stretch, masks)[:, (start - low) * hop : end - low * hop]


def _masks(maps: torch.Tensor, scale: Scale) -> torch.Tensor:
    """Make the masks of maps ``[1 + K, F, n]``, on one scale: of the whole, of its parts and of what passes by."""
    standard, parts = maps[0], maps[1:]
    if scale.peak <= 0:
        return torch.zeros(len(maps) + scale.bypassed, *standard.shape)
    around = (standard - parts.sum(dim=0)).unsqueeze(0)
    shares = portions(torch.cat([parts, around]) if scale.bypassed else parts)
    return outline(standard, scale.threshold) / scale.peak * torch.cat([torch.ones(1, *standard.shape), shares])

"""Decoded recordings, one after the other in one file, and the networks' inputs of the clips in it."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch

from earmark.data.dataset import FULL_SCALE
from earmark.data.decode import Decoded
from earmark.data.recordings import Recording, described
from earmark.progress import Progress
from earmark.sound.base import Frontend

BATCH = 64
"""Clips whose inputs are computed at once; fixed, because the last digits may depend on it."""

Item = TypeVar("Item")

Result = TypeVar("Result")


def store(
    found: Sequence[Recording],
    read: Callable[[Recording], Decoded],
    frontend: Frontend,
    limit: int | None,
    file: BinaryIO,
    workers: int,
    label: str,
) -> list[Recording]:
    """Decode recordings, and write those that are used to a ``.npy`` file of 16-bit samples, none shorter than a clip.

    Parameters
    ----------
    found : sequence of Recording
        As they were listed.
    read : callable
        Decodes one; called in `workers` threads.
    frontend : Frontend
        Whose clips will be cut out of them.
    limit : int or None
        Most samples of a recording that are kept.
    file : binary file
        Empty, and seekable.
    workers : int
        Threads; they decide nothing.
    label : str
        For the progress.

    Returns
    -------
    list of Recording
        The same, with what their files hold and where it lies now.
    """
    progress = Progress(label, len(found))
    recordings: list[Recording] = []
    offset = 0
    _write_header(file, 0)
    contents = _in_order(read, found, workers)
    for one, content in zip(found, contents, strict=True):
        samples = content.samples[:limit]
        recording = described(one, content, samples, frontend, offset)
        file.write(samples.data)
        file.write(bytes((recording.stored - len(samples)) * samples.itemsize))
        offset += recording.stored
        recordings.append(recording)
        progress(len(recordings))
    file.seek(0)
    _write_header(file, offset)
    return recordings


def _in_order(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Map over threads, results in the items' order; only a few wait to be fetched."""
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(items)
        waiting = collections.deque(pool.submit(work, item) for item in itertools.islice(rest, 4 * workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in itertools.islice(rest, 1))


def _write_header(file: BinaryIO, samples: int) -> None:
    """Write the header of a 1-D array; NumPy pads it, so that its size does not depend on the number of samples."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})


def inputs_of(path: Path, offsets: Sequence[int], frontend: Frontend, label: str) -> torch.Tensor:
    """Compute the inputs of clips.

    Parameters
    ----------
    path : Path
        What :func:`store` wrote.
    offsets : sequence of int [N]
        First samples of the clips.
    frontend : Frontend
        What makes inputs of them.
    label : str
        For the progress.

    Returns
    -------
    torch.Tensor
        float32 ``[N, *I]``.
    """
    samples = np.load(path, mmap_mode="r")
    inputs = torch.empty(len(offsets), *frontend.shape)
    progress = Progress(label, len(offsets))
    for start in range(0, len(offsets), BATCH):
        batch = np.stack([samples[first : first + frontend.clip_samples] for first in offsets[start : start + BATCH]])
        inputs[start : start + len(batch)] = frontend(torch.from_numpy(batch).float() / FULL_SCALE)
        progress(start + len(batch))
    return inputs

"""Stage ``ingest``: decode recordings once, divide them into folds and clips, compute the networks' inputs."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch

from earmark.data.dataset import FULL_SCALE
from earmark.data.decode import Decoded
from earmark.data.recordings import (
    Listing,
    Recording,
    count_aloud,
    described,
    evaluation_clips,
    generated,
    in_folder,
    read,
    with_folds,
    with_replicas,
)
from earmark.job import Job
from earmark.plan import config, folder, foreign
from earmark.plan.generated import is_generated
from earmark.plan.methods import adopts
from earmark.progress import Progress
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_settings
from earmark.sound.module import Module
from earmark.sound.spectrogram import Spectrogram
from earmark.store import artifacts
from earmark.store.layout import Layout, slug, slugs

BATCH = 64
"""Clips whose inputs are computed at once; fixed, because the last digits may depend on it."""

Item = TypeVar("Item")

Result = TypeVar("Result")


def run(job: Job, listing: Listing | None = None) -> None:
    """Write manifest, classes, decoded audio, evaluation clips and their inputs.

    Parameters
    ----------
    job : Job
        Of its configuration: ``source``, ``root``, ``labels``, ``group``, ``groups``, ``folds``,
        ``clips_per_recording``, ``model.network``, ``model.classes``, sections ``expected`` and ``frontend``, ``seed``
        and ``torch_threads``.
    listing : sequence of (str, int or None), optional
        Recordings below ``root`` as :func:`earmark.plan.folder.listing` returns them; by default what the folder holds
        now.

    Raises
    ------
    EarmarkError
        If the folder is no folder of classes, the group pattern names no group for a
        recording, a class has too few groups of usable recordings, or groups cannot be divided into folds. Nothing is
        written then.
    """
    settings = config.fill({"frontend": job.config["frontend"]})["frontend"]
    frontend = from_settings(settings)
    workers = job.config["torch_threads"]
    if is_generated(job.config):
        (found, limit), root = generated(job.layout), job.layout.generated
    else:
        found, limit = in_folder(job.config, listing), None
        root = folder.home_of(job.config)

    def decoded(one: Recording) -> Decoded:
        return read(one, root, frontend.sample_rate, job.config["expected"], job.layout.root)

    with artifacts.replacing(job.layout.clips) as temporary:
        with temporary.open("wb") as file:
            recordings = _store(found, decoded, frontend, limit, file, workers, f"ingest {job.dataset}: decode")
        count_aloud(recordings)
        if job.config["source"] == "folder":
            recordings = with_replicas(recordings, temporary, frontend.sample_rate, workers)
        recordings = with_folds(recordings, job.config, job.config["seed"])
    if adopts(job.config):
        called = folder.called(folder.names_of(job.config))
    else:
        called = slugs({one.cls for one in recordings if one.labelled})
    clips = evaluation_clips(recordings, called, frontend.clip_samples, job.config["clips_per_recording"])
    _write_manifest(job.layout, recordings, called, job.made)
    artifacts.write_csv(job.layout.clip_index, list(clips[0]), [list(clip.values()) for clip in clips], job.made)
    inputs = {}
    if isinstance(frontend, Spectrogram):  # waveforms are in the clips
        offsets = [clip["offset"] for clip in clips]
        inputs["logmel"] = _inputs(job.layout.clips, offsets, frontend, f"ingest {job.dataset}: {frontend.title}s")
    about = {"clip_samples": frontend.clip_samples, "frontend": settings}
    if isinstance(frontend, Module):
        about["code"] = foreign.contents(frontend.module, "frontend.module")
    artifacts.write_tensors(job.layout.logmel, inputs, job.made, **about)


def _store(
    found: Sequence[Recording],
    read: Callable[[Recording], Decoded],
    frontend: Frontend,
    limit: int | None,
    file: BinaryIO,
    workers: int,
    label: str,
) -> list[Recording]:
    """Decode recordings, up to `limit` samples of each, and write them to a ``.npy`` file one after the other."""
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


def _write_manifest(
    layout: Layout, recordings: Sequence[Recording], called: Mapping[str, str], made: Mapping[str, Any]
) -> None:
    """Write what is known of every recording and class; `called` are the slugs of the classes."""
    classes = {cls: called.get(cls) or slug(cls) for cls in {one.cls for one in recordings}}
    columns = ("path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason")
    rows = [
        (
            one.path,
            classes[one.cls],
            one.group,
            one.fold,
            one.seconds,
            one.sample_rate,
            one.sha256,
            one.status,
            one.reason,
        )
        for one in recordings
    ]
    artifacts.write_csv(layout.manifest, columns, rows, made)
    counts = collections.Counter(one.cls for one in recordings if one.labelled)
    listed = [(short, name, counts[name]) for name, short in called.items()]
    artifacts.write_csv(layout.classes, ("slug", "name", "recordings"), listed, made)


def _inputs(path: Path, offsets: Sequence[int], frontend: Frontend, label: str) -> torch.Tensor:
    """Compute the inputs of clips: float32 ``[N, *I]``."""
    samples = np.load(path, mmap_mode="r")
    inputs = torch.empty(len(offsets), *frontend.shape)
    progress = Progress(label, len(offsets))
    for start in range(0, len(offsets), BATCH):
        batch = np.stack([samples[first : first + frontend.clip_samples] for first in offsets[start : start + BATCH]])
        inputs[start : start + len(batch)] = frontend(torch.from_numpy(batch).float() / FULL_SCALE)
        progress(start + len(batch))
    return inputs

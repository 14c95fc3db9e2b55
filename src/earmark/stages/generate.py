"""Stage ``generate``: make the recordings of a data set that has none, with their stems and their truth.

What is made says `source`: a module of that name. Each recording is made by itself, in any process; hence nothing
depends on how many processes there are, or on how many recordings.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from earmark.job import Job
from earmark.plan.generated import KINDS
from earmark.sources.base import Item, Source
from earmark.store import artifacts

Made = tuple[str, dict[str, Any]]
"""Checksum of a recording, and its drawn parameters."""


def run(job: Job) -> None:
    """Write the recordings of a generated data set, their stems and their truth.

    Parameters
    ----------
    job : Job
        Of its configuration: ``source``, the section of that name, ``frontend`` and ``seed``.

    Raises
    ------
    EarmarkError
        If the front end does not suit the recordings. Nothing is written then.
    """
    source: Source = importlib.import_module(f"earmark.{KINDS[job.config['source']].module}").Recordings(job.config)
    items = list(source.items())
    shape = (max(len(sounds) for sounds in source.objects.values()), len(items) * source.samples)
    progress = job.progress(len(items))
    with artifacts.replacing(job.layout.stems) as stems, artifacts.replacing_directory(job.layout.generated) as folder:
        for cls in source.objects:
            (folder / cls).mkdir()
        artifacts.allocate_array(stems, "<i2", shape)  # every recording fills its own place
        write = functools.partial(_write, source, folder, stems)
        written = []
        for one in _mapped(write, list(enumerate(items)), job.processes):
            written.append(one)
            progress(len(written))
    truth = [{"path": item.path, **parameters} for item, (_, parameters) in zip(items, written, strict=True)]
    described = {"sample_rate": source.sample_rate, "objects": source.objects, "clips": truth}
    artifacts.write_text(
        job.layout.truth, json.dumps({**described, "provenance": job.made}, separators=(",", ":")) + "\n"
    )
    rows = [
        (item.path, item.cls, item.kind, item.group, source.samples, sha256)
        for item, (sha256, _) in zip(items, written, strict=True)
    ]
    artifacts.write_csv(
        job.layout.generated_index, ("path", "class", "set", "group", "samples", "sha256"), rows, job.made
    )


def _mapped(
    write: Callable[[tuple[int, Item]], Made], items: Sequence[tuple[int, Item]], processes: int
) -> Iterator[Made]:
    """Map in this process, or over several; results in order."""
    if processes == 1:
        yield from map(write, items)
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, items, chunksize=max(1, len(items) // (100 * processes)))


def _write(source: Source, folder: Path, stems: Path, numbered: tuple[int, Item]) -> Made:
    """Make a recording, and put it and its stems where they belong."""
    number, item = numbered
    rendered = source.render(item)
    content = _wav(rendered.mixture, source.sample_rate)
    (folder / item.path).write_bytes(content)
    place = np.lib.format.open_memmap(stems, "r+")  # [O, N * n]
    own = slice(number * source.samples, (number + 1) * source.samples)
    place[: len(rendered.stems), own] = _int16(rendered.stems[:, : source.samples])
    return hashlib.sha256(content).hexdigest(), rendered.parameters


def _int16(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples).astype("<i2")


def _wav(samples: np.ndarray, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, _int16(samples), sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()

"""Stems of recordings, and sources that another program separated, put where the recordings' samples lie.

They are resampled and mixed to mono as the recordings were, at the recordings' level, and must sum to them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from earmark.data import dataset
from earmark.data.decode import Decoded, decode, decode_part
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan import folder, stems
from earmark.plan.stems import Kind
from earmark.store import artifacts
from earmark.store.layout import composed

log = logging.getLogger(__name__)

BLOCK = 2**16
"""Samples that are compared at a time."""

NAMED = 3
"""Folders that belong to no recording which the log names."""


def put(job: Job, kind: Kind, path: Path, loudest: float) -> list[str]:
    """Write the stems, or separated sources, of all recordings of a data set to one array.

    Parameters
    ----------
    job : Job
        Of its configuration: ``root``, ``expected`` and the kind's key.
    kind : Kind
        Which folder.
    path : Path
        Where the array goes: float32 ``[O, N]`` for the N samples of the decoded audio, on their scale of 16 bits; 0
        where a recording lacks an object.
    loudest : float
        What may remain of a recording without its parts, at most, in dB of its energy.

    Returns
    -------
    list of str
        Names of the O objects, in order.

    Raises
    ------
    EarmarkError
        If a recording has no part, or a part cannot be read, is longer or shorter than its recording or does not sum
        to it with the others. Nothing is written then.
    """
    source = dataset.of(job)
    recordings, rate = source.recordings, source.frontend.sample_rate
    found = stems.listed(job.config, kind)
    own = {path: found.get(_place(path), {}) for path in recordings["path"]}
    _check_complete(own, kind, job.config[kind.key])
    _warn_of_others(set(found) - set(map(_place, source.manifest["path"])), kind, job.config[kind.key])
    names = sorted({name for objects in own.values() for name in objects})
    root, home = folder.home_of(job.config), folder.path_of(job.config[kind.key])
    samples = np.load(source.layout.clips, mmap_mode="r")  # [N]
    progress = job.progress(len(recordings))
    with artifacts.replacing(path) as temporary:
        artifacts.allocate_array(temporary, "<f4", (len(names), len(samples)))
        array = np.lib.format.open_memmap(temporary, "r+")
        for done, row in enumerate(recordings.itertuples(index=False), start=1):
            place = slice(row.recording_offset, row.recording_offset + row.recording_samples)
            recording = decode(root / row.path, rate, job.layout.root)
            for name, file in own[row.path].items():
                part = array[names.index(name), place]  # [n]
                _check_length(decode_part(home / file, rate, part), recording, home / file, row.path)
                part *= recording.gain
            remains = _remains(samples[place], array[:, place])
            if remains > loudest:
                raise EarmarkError(
                    f"The {kind.title} of '{row.path}' do not sum to it: without them {remains:+.1f} dB of it remain, "
                    f"{loudest:+g} dB at most are allowed; they may be at another level or of another recording."
                )
            progress(done)
        array.flush()
    return names


def _remains(whole: np.ndarray, parts: np.ndarray) -> float:
    """Return the energy of a recording ``[n]`` without its parts ``[O, n]`` over its own, in dB."""
    energies = np.zeros(2)
    for first in range(0, len(whole), BLOCK):
        block = slice(first, first + BLOCK)
        own = whole[block].astype(np.float64)
        energies += [np.square(own - parts[:, block].sum(axis=0)).sum(), np.square(own).sum()]
    return 10 * math.log10(max(energies[0], 1e-18) / energies[1])


def _place(path: str) -> str:
    """Name the sub-folder of a recording."""
    return composed(folder.without_ending(path))


def _check_complete(own: Mapping[str, Mapping[str, str]], kind: Kind, home: str) -> None:
    """Raise if a recording has no part."""
    without = [path for path, objects in own.items() if not objects]
    if without:
        raise EarmarkError(
            f"{len(without)} of {len(own)} recordings have no {kind.title}, such as '{without[0]}': put them into "
            f"'{home}/{folder.without_ending(without[0])}', a file for each."
        )


def _warn_of_others(others: Collection[str], kind: Kind, home: str) -> None:
    """Name folders that belong to no recording."""
    if others:
        named = ", ".join([*sorted(others)[:NAMED], *(["..."] if len(others) > NAMED else [])])
        log.warning("%d folders of %s in %s belong to no recording: %s", len(others), kind.title, home, named)


def _check_length(part: Decoded, recording: Decoded, file: Path, path: str) -> None:
    """Raise unless a part could be read and lasts as long as its recording, but for the rounding of a sample each."""
    if part.reason:
        raise EarmarkError(f"'{file}', of the recording '{path}', cannot be used: {part.reason}.")
    assert part.seconds is not None and part.sample_rate and recording.seconds is not None and recording.sample_rate
    longer = part.seconds - recording.seconds
    if abs(longer) > 1 / part.sample_rate + 1 / recording.sample_rate:
        than = "longer" if longer > 0 else "shorter"
        raise EarmarkError(
            f"'{file}' is {abs(longer):.3f} s {than} than the recording '{path}', of {recording.seconds:.3f} s: they "
            "must begin and end together."
        )

"""Read recordings: decode them once, divide them into folds and clips, compute their log-mels."""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earmark import artifacts, fingerprint, folder, folds
from earmark.config import has_stems
from earmark.data import FULL_SCALE, split_folds
from earmark.decoding import NOTHING, Decoded, decode
from earmark.errors import EarmarkError
from earmark.frontend import Frontend
from earmark.layout import Layout, composed, slug, slugs
from earmark.progress import Progress

log = logging.getLogger(__name__)

BATCH = 64
"""Clips whose log-mels are computed at once; fixed, because the last digits may depend on it."""

NAMED = 5
"""Excluded or damaged recordings that the log names one by one; the manifest has them all."""

Listing = Sequence[tuple[str, int | None]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Recording:
    """What is known of one recording, a row of the manifest.

    Attributes
    ----------
    path : str
        Relative to the folder of recordings.
    cls : str
        Name of the class.
    group : str
        What must not be split.
    kind : str
        ``main`` or the held-out set it belongs to.
    seconds, sample_rate : float, int or None
        As in the file; None where it cannot be read.
    sha256 : str
        Of the file.
    status, reason : str
        ok, padded, held-out or excluded, and why.
    damaged : bool
        Whether it is used although its header and its content do not fit; `reason` says how.
    sound : bytes
        Digest of the decoded samples.
    samples : int
        At the front end's rate, without padding.
    offset, stored : int
        First sample in the decoded audio, and how many lie there.
    fold : int or None
        None where excluded.
    """

    path: str
    cls: str
    group: str
    kind: str = "main"
    seconds: float | None = None
    sample_rate: int | None = None
    sha256: str = ""
    status: str = "ok"
    reason: str = ""
    damaged: bool = False
    sound: bytes = b""
    samples: int = 0
    offset: int = 0
    stored: int = 0
    fold: int | None = None

    @property
    def usable(self) -> bool:
        """Whether its samples are stored."""
        return self.status != "excluded"

    @property
    def labelled(self) -> bool:
        """Whether it takes part in the splits."""
        return self.usable and self.kind == "main"


def run(results: Path, dataset: str, config: dict[str, Any], listing: Listing | None = None) -> None:
    """Write manifest, classes, decoded audio, evaluation clips and their log-mels.

    Parameters
    ----------
    results : Path
        The results folder.
    dataset : str
        Name of the data set.
    config : dict
        ``source``, ``root``, ``group``, ``groups``, ``folds``, ``clips_per_recording``, sections ``expected`` and
        ``frontend``, ``seed`` and ``torch_threads``.
    listing : sequence of (str, int or None), optional
        Recordings below ``root`` as :func:`earmark.folder.listing` returns them; by default
        what the folder holds now.

    Raises
    ------
    EarmarkError
        If the folder is no folder of classes, the group pattern names no group for a
        recording, a class has too few groups of usable recordings, or groups cannot be divided into folds. Nothing is
        written then.
    """
    layout, frontend = Layout(results, dataset), Frontend.from_config({"frontend": config["frontend"]})
    made = artifacts.provenance(config)
    workers = config["torch_threads"]
    if has_stems(config):
        (found, limit), root = _generated(layout), layout.generated
    else:
        found, limit = _in_folder(config, listing), None
        root = folder.home(config["root"], config["expected"]["classes"])

    def read(one: Recording) -> Decoded:
        return _read(one, root, frontend.sample_rate, config["expected"], layout.root)

    with artifacts.replacing(layout.clips) as temporary:
        with temporary.open("wb") as file:
            recordings = _store(found, read, frontend, limit, file, workers, f"ingest {dataset}: decode")
        _count_aloud(recordings)
        if config["source"] == "folder":
            recordings = _with_replicas(recordings, temporary, frontend.sample_rate, workers)
        recordings = _with_folds(recordings, config["expected"]["classes"], config["folds"], config["seed"])
    called = slugs({one.cls for one in recordings if one.labelled})
    clips = _clips(recordings, called, frontend.clip_samples, config["clips_per_recording"])
    _write_manifest(layout, recordings, called, made)
    artifacts.write_csv(layout.clip_index, list(clips[0]), [list(clip.values()) for clip in clips], made)
    spectrograms = _logmel(layout.clips, [clip["offset"] for clip in clips], frontend, f"ingest {dataset}: log-mels")
    artifacts.write_tensors(layout.logmel, {"logmel": spectrograms}, made, clip_samples=frontend.clip_samples)


def clip_starts(samples: int, clip_samples: int, wanted: int) -> list[int]:
    """Place evaluation clips in a recording.

    Parameters
    ----------
    samples : int
        Of the recording, at least `clip_samples`.
    clip_samples : int
        Of a clip.
    wanted : int
        Number of clips of a longer recording.

    Returns
    -------
    list of int
        First samples: evenly spaced from the recording's start to its end, the middle for a
        single clip; fewer than `wanted` where two would coincide.
    """
    room = samples - clip_samples
    starts = [room // 2] if wanted == 1 else [round(room * number / (wanted - 1)) for number in range(wanted)]
    return sorted(set(starts))


def _read(one: Recording, root: Path, sample_rate: int, expected: Mapping[str, Any], room: Path) -> Decoded:
    """Decode a recording, unless it is already known to be left out; without samples if it is not as `expected`."""
    if not one.usable:
        return Decoded(NOTHING, None, None, "", one.reason)
    content = decode(root / one.path, sample_rate, room)
    if content.reason or content.seconds is None:
        return content
    start, length = content.pause
    reason = ""
    if content.seconds < expected["seconds"]:
        reason = f"too short: {content.seconds:.3f} s, at least {expected['seconds']:g} s are expected"
    elif expected["zeros"] is not None and length > expected["zeros"]:
        reason = f"silent in part: {length:.3f} s of zeros from {start:.3f} s on"
    return dataclasses.replace(content, samples=NOTHING, reason=reason) if reason else content


def _generated(layout: Layout) -> tuple[list[Recording], int]:
    """List generated recordings, and say how many samples of each the stems cover."""
    if not layout.generated_index.exists():
        raise EarmarkError(
            f"The recordings of '{layout.dataset}' have not been generated: '{layout.generated_index}' is missing."
        )
    with layout.generated_index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [Recording(row["path"], row["class"], row["group"], row["set"]) for row in rows]
    return found, int(rows[0]["samples"])


def _in_folder(config: Mapping[str, Any], listing: Listing | None) -> list[Recording]:
    expected = config["expected"]
    paths = [path for path, _ in (folder.listing(config["root"], expected["classes"]) if listing is None else listing)]
    reasons = folder.departures(paths, expected)
    place = {cls: number for number, cls in enumerate(dict.fromkeys(map(folder.class_of, paths)))}
    everything = sorted({*paths, *reasons}, key=lambda path: (place[folder.class_of(path)], path))
    unknown = {path: path for path in paths if not folder.can_be_decoded(path)}
    named = folder.groups_of([path for path in everything if path not in unknown], config)
    groups = unknown | named
    if config["groups"] is not None:
        alone = sum(groups[path] == path for path in paths)
        if alone:
            log.warning("%d of %d recordings are not in %s: each is its own group", alone, len(paths), config["groups"])
    found = [Recording(path, folder.class_of(path), groups[path]) for path in everything]
    return [
        dataclasses.replace(one, status="excluded", reason=reasons[one.path]) if one.path in reasons else one
        for one in found
    ]


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
        recording = _described(one, content, samples, frontend, offset)
        file.write(samples.data)
        file.write(bytes((recording.stored - len(samples)) * samples.itemsize))
        offset += recording.stored
        recordings.append(recording)
        progress(len(recordings))
    file.seek(0)
    _write_header(file, offset)
    return recordings


def _described(
    recording: Recording, content: Decoded, samples: np.ndarray, frontend: Frontend, offset: int
) -> Recording:
    """Complete a recording by what its file holds."""
    missing = max(frontend.clip_samples - len(samples), 0)
    status, reason, stored = "ok", content.remark, len(samples) + missing
    if content.reason:
        status, reason, stored = "excluded", content.reason, 0
    elif recording.kind != "main":
        status, reason = "held-out", recording.kind
    elif missing:
        padding = f"{missing / frontend.sample_rate:.3f} s of silence at the end"
        status, reason = "padded", "; ".join(filter(None, (content.remark, padding)))
    return dataclasses.replace(
        recording,
        seconds=content.seconds,
        sample_rate=content.sample_rate,
        sha256=content.sha256,
        status=status,
        reason=reason,
        damaged=bool(content.remark) and not content.reason,
        sound=hashlib.sha256(samples.data).digest(),
        samples=len(samples),
        offset=offset,
        stored=stored,
    )


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


def _count_aloud(recordings: Sequence[Recording]) -> None:
    excluded = [one for one in recordings if not one.usable]
    if excluded:
        log.warning("%d of %d recordings excluded: %s", len(excluded), len(recordings), _named(excluded))
    damaged = [one for one in recordings if one.damaged]
    if damaged:
        told = "%d of %d recordings are damaged, and used as far as they go: %s"
        log.warning(told, len(damaged), len(recordings), _named(damaged))
    padded = sum(one.status == "padded" for one in recordings)
    if padded:
        log.warning("%d of %d recordings are shorter than a clip and padded with silence", padded, len(recordings))


def _named(recordings: Sequence[Recording]) -> str:
    """Name some recordings with their reasons."""
    named = [f"{one.path} ({one.reason})" for one in recordings[:NAMED]]
    more = [f"{len(recordings) - NAMED} more, see the manifest"] if len(recordings) > NAMED else []
    return "; ".join(named + more)


def _with_replicas(recordings: Sequence[Recording], clips: Path, rate: int, workers: int) -> list[Recording]:
    """Mark recordings that are an earlier one once more; all groups that have one in common become one."""
    originals: dict[bytes, int] = {}
    copies: list[tuple[int, int, str]] = []  # place of the original, place of the copy, what it is
    for place, one in enumerate(recordings):
        if one.labelled and originals.setdefault(one.sound, place) != place:
            copies.append((originals[one.sound], place, "same sound as"))
    samples, places = np.load(clips, mmap_mode="r"), list(originals.values())
    distinct = [samples[one.offset : one.offset + one.samples] for one in (recordings[place] for place in places)]
    for match in fingerprint.matches(distinct, rate, workers):
        told = f"agrees to {match.agreement:.2f} from {match.seconds:.2f} s on with"
        copies.append((places[match.first], places[match.second], told))
    reasons: dict[int, str] = {}
    for original, copy, told in copies:
        reasons.setdefault(copy, f"{told} {recordings[original].path}")
    if copies:
        log.warning("%d of %d recordings are copies of another, see the manifest", len(reasons), len(recordings))
    group = _joined([one.group for one in recordings], [(original, copy) for original, copy, _ in copies])
    return [
        dataclasses.replace(one, group=group[place], reason="; ".join(filter(None, (one.reason, reasons.get(place)))))
        for place, one in enumerate(recordings)
    ]


def _joined(groups: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Name the groups anew after those of `pairs` of places have been joined: each by the one that comes first."""
    names = list(dict.fromkeys(groups))
    number = {name: place for place, name in enumerate(names)}
    ends = np.array([[number[groups[place]] for place in pair] for pair in pairs], np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    return [names[first[component[number[name]]]] for name in groups]


def _with_folds(
    recordings: Sequence[Recording], expected: Sequence[str], asked: int | None, seed: int
) -> list[Recording]:
    """Divide the labelled recordings into folds; a held-out set gets those of its part of `main`."""
    labelled = [one for one in recordings if one.labelled]
    for cls in map(composed, expected) if expected else dict.fromkeys(one.cls for one in recordings):
        if not any(one.cls == cls for one in labelled):
            raise EarmarkError(f"The class '{cls}' has no usable recording: all that it has are excluded.")
    most = folder.fold_count(((one.cls, one.group) for one in labelled), asked)
    fewest = folder.FEWEST_FOLDS if asked is None else asked
    assigned = folds.assign([one.cls for one in labelled], [one.group for one in labelled], most, seed, fewest)
    validation, test = map(itertools.cycle, split_folds("main", int(assigned.max()) + 1))
    source = {"main": iter(assigned), "all-validation": validation, "all-test": test}
    return [dataclasses.replace(one, fold=int(next(source[one.kind]))) if one.usable else one for one in recordings]


def _clips(
    recordings: Sequence[Recording], called: Mapping[str, str], clip_samples: int, wanted: int
) -> list[dict[str, Any]]:
    """List the evaluation clips, a row of ``clips.csv`` each; `called` are the slugs of the classes."""
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(recordings):
        for start in clip_starts(one.stored, clip_samples, wanted) if one.usable else ():
            rows.append(
                {
                    "clip": len(rows),
                    "path": one.path,
                    "class": called[one.cls],
                    "group": one.group,
                    "fold": one.fold,
                    "set": one.kind,
                    "offset": one.offset + start,
                    "samples": min(one.samples, clip_samples),
                    "recording_offset": one.offset,
                    "recording_samples": one.stored,
                    "recording": number,
                }
            )
    return rows


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


def _logmel(path: Path, offsets: Sequence[int], frontend: Frontend, label: str) -> torch.Tensor:
    """Compute the log-mels of clips: float32 ``[N, 1, F, T]``."""
    samples = np.load(path, mmap_mode="r")
    spectrograms = torch.empty(len(offsets), 1, frontend.n_mels, frontend.n_frames)
    progress = Progress(label, len(offsets))
    for start in range(0, len(offsets), BATCH):
        batch = np.stack([samples[first : first + frontend.clip_samples] for first in offsets[start : start + BATCH]])
        spectrograms[start : start + len(batch)] = frontend.logmel(torch.from_numpy(batch).float() / FULL_SCALE)
        progress(start + len(batch))
    return spectrograms

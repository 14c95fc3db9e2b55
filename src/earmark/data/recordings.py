"""Find recordings, tell replicas, and divide what can be used into groups, folds and clips."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earmark.data import fingerprint, folds
from earmark.data.dataset import split_folds
from earmark.data.decode import NOTHING, Decoded, decode
from earmark.errors import EarmarkError
from earmark.plan import folder
from earmark.plan.generated import is_generated
from earmark.plan.methods import adopts
from earmark.sound.base import Frontend
from earmark.store import artifacts
from earmark.store.layout import Layout, composed

log = logging.getLogger(__name__)

NAMED = 5
"""Excluded or damaged recordings that the log names one by one; the manifest has them all."""

Listing = Sequence[tuple[str, int | None]]


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


def read(one: Recording, root: Path, sample_rate: int, expected: Mapping[str, Any], room: Path) -> Decoded:
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


def generated(layout: Layout) -> tuple[list[Recording], int]:
    """List generated recordings, and say how many samples of each the stems cover."""
    if not layout.generated_index.exists():
        raise EarmarkError(
            f"The recordings of '{layout.dataset}' have not been generated: '{layout.generated_index}' is missing."
        )
    rows = artifacts.read_rows(layout.generated_index)
    found = [Recording(row["path"], row["class"], row["group"], row["set"]) for row in rows]
    return found, int(rows[0]["samples"])


def in_folder(config: Mapping[str, Any], listing: Listing | None) -> list[Recording]:
    """List the recordings of a folder, or those of a `listing` of it, with what is known before they are read."""
    paths = [path for path, _ in (folder.listed(config) if listing is None else listing)]
    reasons = folder.departures(paths, config)
    classes = folder.labels_of([*paths, *reasons], config)
    place = {cls: number for number, cls in enumerate(dict.fromkeys(classes.values()))}
    everything = sorted(classes, key=lambda path: (place[classes[path]], path))
    unknown = {path: path for path in paths if folder.says_nothing(path, config)}
    named = folder.groups_of([path for path in everything if path not in unknown], config)
    groups = unknown | named
    reasons = folder.without_fold(named, config) | reasons
    if config["groups"] is not None:
        asked = [path for path in paths if path in named]
        alone = sum(named[path] == path for path in asked)
        if alone:
            log.warning("%d of %d recordings are not in %s: each is its own group", alone, len(asked), config["groups"])
    found = [Recording(path, classes[path], groups[path]) for path in everything]
    return [
        dataclasses.replace(one, status="excluded", reason=reasons[one.path]) if one.path in reasons else one
        for one in found
    ]


def described(
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


def count_aloud(recordings: Sequence[Recording]) -> None:
    """Log how many recordings are excluded, damaged or padded, and name some."""
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


def with_replicas(recordings: Sequence[Recording], clips: Path, rate: int, workers: int) -> list[Recording]:
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


def with_folds(recordings: Sequence[Recording], block: Mapping[str, Any], seed: int) -> list[Recording]:
    """Divide the labelled recordings into folds; a held-out set gets those of its part of `main`."""
    labelled = [one for one in recordings if one.labelled]
    for cls in _needed(recordings, block):
        if not any(one.cls == cls for one in labelled):
            raise EarmarkError(f"The class '{cls}' has no usable recording: all that it has are excluded.")
    if not labelled:
        raise EarmarkError("There is no usable recording: all are excluded.")
    given = folder.given_folds(block)
    assigned = _divided(labelled, block, seed) if given is None else _placed(labelled, given, block["folds"])
    validation, test = map(itertools.cycle, split_folds("main", int(assigned.max()) + 1))
    source: dict[str, Iterator[int]] = {"main": iter(assigned.tolist()), "all-validation": validation, "all-test": test}
    return [dataclasses.replace(one, fold=int(next(source[one.kind]))) if one.usable else one for one in recordings]


def _needed(recordings: Sequence[Recording], block: Mapping[str, Any]) -> list[str]:
    """Name the classes that must have a usable recording; of an adopted model's those that have any."""
    present = list(dict.fromkeys(one.cls for one in recordings))
    if is_generated(block):
        return present
    if block["expected"]["classes"]:
        return list(map(composed, block["expected"]["classes"]))
    names = folder.names_of(block)
    return [cls for cls in present if cls in names] if adopts(block) else names


def _divided(labelled: Sequence[Recording], block: Mapping[str, Any], seed: int) -> np.ndarray:
    """Divide recordings into as many folds as are asked for, or can be: int64 ``[N]``."""
    asked = block["folds"]
    most = folder.fold_count(((one.cls, one.group) for one in labelled), asked, adopts(block))
    if most == 1:
        log.warning("fewer than three groups in a class: what is fitted and what is explained are the same clips, all")
        return np.zeros(len(labelled), np.int64)
    fewest = folder.FEWEST_FOLDS if asked is None else asked
    return folds.assign([one.cls for one in labelled], [one.group for one in labelled], most, seed, fewest)


def _placed(labelled: Sequence[Recording], given: Mapping[str, int], path: str) -> np.ndarray:
    """Put recordings into the folds that a file gives their groups: int64 ``[N]``."""
    lost = next((one for one in labelled if one.group not in given), None)
    if lost is not None:  # recordings of a folder are left out before
        raise EarmarkError(
            f"The file of folds '{path}' lacks the group '{lost.group}', and generated recordings cannot be left out: "
            "add it."
        )
    absent = [group for group in given if group not in {one.group for one in labelled}]
    if absent:
        told = "%d of the %d groups in %s have no recording, or are another group's by copies: %s"
        log.warning(told, len(absent), len(given), path, ", ".join(absent[:NAMED]))
    folder.check_folds(((one.cls, one.group) for one in labelled), given, path)
    return np.array([given[one.group] for one in labelled], np.int64)


def evaluation_clips(
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
                    "class": called.get(one.cls, ""),
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

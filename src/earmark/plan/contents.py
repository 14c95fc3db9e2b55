"""Digests of files' contents, remembered: planning looks at every recording and should read it only once.

Used while the workflow is being parsed, hence without NumPy or torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READERS = 4
"""Files that are read side by side: reading waits for disks, and digests leave the interpreter to others."""

SETTLED = 2 * 10**9
"""Nanoseconds after which a file's times tell another edit from the last one; clocks of file systems are coarse."""


def digests(paths: Sequence[Path], memory: Path | None = None) -> list[str | None]:
    """Digest files.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    memory : Path, optional
        A file that keeps these digests from call to call, for as long as a file's place on its disk, its size and
        both its times stay what they were. Where it cannot be written, nothing is kept.

    Returns
    -------
    list of str or None
        SHA-256 of each, None of those that cannot be read.
    """
    known = _remembered(memory)
    keys = [_key(path) for path in paths]
    unknown = {key: path for key, path in zip(keys, paths, strict=True) if key is not None and key not in known}
    with ThreadPoolExecutor(READERS) as pool:
        fresh = dict(zip(unknown, pool.map(_digest, unknown.values()), strict=True))
    found = {key: known.get(key) or fresh[key] for key in keys if key is not None}
    settled = {key: digest for key, digest in found.items() if digest and (key in known or _is_settled(key))}
    if memory is not None and settled != known:
        _remember(memory, settled)
    return [None if key is None else found[key] for key in keys]


def _key(path: Path) -> str | None:
    """Name a file's present state: device, number, size in bytes, times of its content and of its entry in ns."""
    try:
        state = path.stat()
    except OSError:
        return None
    return f"{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"


def _is_settled(key: str) -> bool:
    return time.time_ns() - max(map(int, key.split(":")[-2:])) > SETTLED


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _remembered(memory: Path | None) -> dict[str, str]:
    """Read what was kept; nothing where there is none, or no such file."""
    if memory is None:
        return {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(memory.read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return kept
    return {}


def _remember(memory: Path, known: Mapping[str, str]) -> None:
    """Keep digests, all or none; another process may do the same."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=memory.parent, prefix=memory.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(known, file)
            os.replace(name, memory)
        except OSError:
            os.unlink(name)

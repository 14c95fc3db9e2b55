"""What this machine offers to jobs that run side by side."""

from __future__ import annotations

from pathlib import Path

import psutil

MEGABYTE = 10**6


def memory(system: Path = Path("/")) -> int:
    """Return the memory that the jobs of this machine, or of this container, can share, in MB.

    Parameters
    ----------
    system : Path
        The root of the file system that the limits of control groups are read from.

    Returns
    -------
    int
        The machine's memory, or the least limit of the control groups that this process is in; Linux only has these.
    """
    return min([psutil.virtual_memory().total, *_limits(system)]) // MEGABYTE


def _limits(system: Path) -> list[int]:
    """List the limits of memory, in bytes, of this process's control groups and of those around them.

    Both versions of control groups: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html.
    """
    found = []
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, name = system / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = system / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / group.lstrip("/")
        texts = [_read(one / name).strip() for one in (folder, *folder.parents) if one.is_relative_to(base)]
        found += [int(text) for text in texts if text.isdecimal()]
    return found


def _read(path: Path) -> str:
    """Return a file's text, empty where it cannot be read: as a rule there is no such control group."""
    try:
        return path.read_text()
    except OSError:
        return ""

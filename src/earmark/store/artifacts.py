"""Write results whole or not at all, each with its provenance.

Every file is written in a hidden folder of its writer's own beside the target and renamed when complete, so that a
killed job leaves no half-written result and two jobs that race for one path cannot mix. The writer holds a lock in
that folder; whoever writes the same target next removes the folders of writers that were killed. Provenance holds no
times: equal inputs give equal bytes.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import functools
import glob
import hashlib
import importlib.metadata
import io
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.errors import EarmarkError

if TYPE_CHECKING:
    import pandas as pd
    import torch

METADATA_KEY = "earmark"

PACKAGES = ("earmark", "torch", "zennit", "numpy", "scipy", "librosa", "soundfile")

LOCK = ".lock"
"""File in a writer's folder, locked while the writer lives."""

ELSEWHERE_SECONDS = 24 * 3600
"""Age from which a folder that a writer on another machine left unlocked is a leftover. Some shared file systems keep
locks to the machine that holds them, and a writer may then be alive there; none needs a day for one file."""

UNWRITABLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota of disk space is used up",
    errno.EFBIG: "files of this size are not allowed here (see `ulimit -f`)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "you have no permission to write there",
    errno.EPERM: "you have no permission to write there",
}
"""What keeps a result from being written, and is the user's to mend."""


@functools.cache
def _commit() -> str:
    """Return the git commit of the source tree, with ``-dirty`` when the package was edited."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def provenance(config: Mapping[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Describe how a result came about.

    Parameters
    ----------
    config : mapping
        The part of the configuration that the stage used, seed included.
    device : str
        Where the arithmetic ran.

    Returns
    -------
    dict
        ``config``, ``commit``, ``versions`` and ``device``; JSON-serialisable, free of times.
    """
    return {"config": dict(config), "commit": _commit(), "versions": _versions(), "device": device}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which becomes `path` when the block ends well.

    Raises
    ------
    EarmarkError
        If the disk is full, or `path` cannot be written for another reason of :data:`UNWRITABLE`.
    """
    path = Path(path)
    with _workplace(path) as folder:
        yield folder / path.name
        os.replace(folder / path.name, path)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield a new folder to fill, which becomes `path` when the block ends well; errors as :func:`replacing`."""
    path = Path(path)
    with _workplace(path) as folder:
        (folder / path.name).mkdir()
        yield folder / path.name
        for number in itertools.count():  # as often as another writer is faster
            with suppress(FileNotFoundError):
                os.rename(path, folder / f"{path.name}-{number}")
            try:
                os.rename(folder / path.name, path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path` that is locked as long as the block runs, and removed at its end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        folder, lock = _locked_folder(path)
        try:
            yield folder
        finally:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise EarmarkError(f"'{path}' cannot be written: {UNWRITABLE[error.errno]}.") from error


def check_writable(results: Path, dataset: str) -> None:
    """Raise unless this user may write to the folder of results and that of the data set, where they are there.

    Raises
    ------
    EarmarkError
        Before jobs are planned whose results could not be written.
    """
    for folder in (results, results / dataset):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise EarmarkError(f"'{folder}' cannot be written: it is read-only, or you have no permission.")


def _locked_folder(path: Path) -> tuple[Path, int]:
    """Make a folder for a writer of `path` and lock it: the folder, and the descriptor that holds the lock."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_prefix(path)}{platform.node()}-"))
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another writer took the folder, still empty, for a leftover
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another writer did so before there was a lock, and is removing it
            os.close(lock)
            continue
        except OSError:  # a file system without locks: there, all leftovers pass for folders in use
            return folder, lock
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)  # it is removed already


def _remove_leftovers(path: Path) -> None:
    """Remove the folders of writers of `path` that are gone: those whose lock nobody holds."""
    for folder in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
        with suppress(OSError):  # it is in use, of somebody else, or already being removed
            here = folder.name.startswith(f"{_prefix(path)}{platform.node()}-")
            if here or time.time() - folder.stat().st_mtime > ELSEWHERE_SECONDS:
                _remove_leftover(folder)


def _remove_leftover(folder: Path) -> None:
    """Remove a writer's folder unless its lock is held; raise OSError then."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        folder.rmdir()  # killed before there was a lock; a writer that was about to lock it makes another folder
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _prefix(path: Path) -> str:
    return f".{path.name}-"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Write a JSON object with its provenance under the key ``provenance``."""
    write_text(path, json.dumps({**content, "provenance": made}, indent=1, sort_keys=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], made: Mapping[str, Any]) -> None:
    """Write a CSV file, and its provenance beside it as ``<name>.csv.json``.

    Floating-point values are written so that they read back to the same number.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(Path(f"{path}.json"), json.dumps({"provenance": made}, indent=1) + "\n")
    write_text(path, buffer.getvalue())


def write_contents(path: Path, folders: Iterable[Path], made: Mapping[str, Any]) -> None:
    """Write a CSV file that lists what folders beside it hold, with the SHA-256 of each file.

    It stands for them where contents are compared: folders have dates alone. Provenance is no content.
    """
    files = sorted(file for folder in folders for file in Path(folder).rglob("*") if file.is_file())
    rows = [
        (file.relative_to(path.parent).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest())
        for file in files
        if not file.name.startswith(".") and not file.name.endswith(".csv.json")
    ]
    write_csv(path, ("file", "sha256"), rows, made)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file that :func:`write_csv` wrote, row by row, all as text; its columns bear different names."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_csv(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Read a CSV file that :func:`write_csv` wrote as a table.

    Parameters
    ----------
    path : Path
        The file.
    types : mapping of str to {int, float}, optional
        Columns of numbers; an empty cell is NaN where they are floats. The others stay text: a class may be called
        ``nan`` and a group ``007``.

    Returns
    -------
    pandas.DataFrame
        In the order of the file.
    """
    import pandas as pd  # here, because planning reads no table

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column, kind in (types or {}).items():
        texts = frame[column].replace("", "nan") if kind is float else frame[column]
        frame[column] = texts.astype("int64" if kind is int else float)
    return frame


def allocate_array(path: Path, dtype: str, shape: Sequence[int]) -> None:
    """Create a ``.npy`` file of zeros to be filled in place, on disk space that is its own from now on.

    A file with holes would be refused its space only when it is written to through memory, which kills the process.
    """
    import numpy as np

    np.lib.format.open_memmap(path, "w+", dtype, tuple(shape)).flush()
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], made: Mapping[str, Any], **metadata: Any) -> None:
    """Write named tensors to a safetensors file.

    Parameters
    ----------
    path : Path
        The file.
    tensors : mapping of str to torch.Tensor
        What to store.
    made : mapping
        Provenance.
    **metadata
        Further JSON-serialisable metadata.

    Notes
    -----
    Provenance and metadata are one JSON object under the file's metadata key ``earmark``: several keys would be
    written in an order of chance, and equal results would differ in their bytes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(stored, temporary, metadata={METADATA_KEY: json.dumps({"provenance": made, **metadata})})
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
        shutil.copymode(temporary.parent / LOCK, temporary)  # safetensors lets nobody else read it


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a safetensors file written by :func:`write_tensors`.

    Returns
    -------
    tensors : dict of str to torch.Tensor
        On the CPU.
    metadata : dict
        ``provenance`` and whatever else was stored.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:  # once: another job may replace the file meanwhile
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return tensors, json.loads(file.metadata()[METADATA_KEY])


def read_metadata(path: Path) -> dict[str, Any]:
    """Read ``provenance`` and whatever else :func:`write_tensors` stored beside the tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:  # no tensor is read: whoever has no need of torch is spared it
        return json.loads(file.metadata()[METADATA_KEY])

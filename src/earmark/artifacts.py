"""Write results whole or not at all, each with its provenance.

Every file is written under a temporary name of its own in the target's folder and renamed
when complete, so that a killed job leaves no half-written result and two jobs that race for
one path cannot mix. Provenance holds no times: equal inputs give equal bytes.
"""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

METADATA_KEY = "earmark"
PACKAGES = ("earmark", "torch", "zennit", "numpy", "scipy", "librosa", "soundfile")


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
    """Yield a temporary path beside `path` that takes its place when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its place when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a NumPy array to a ``.npy`` file, whole or not at all."""
    import numpy as np

    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


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
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={METADATA_KEY: json.dumps({"provenance": made, **metadata})},
        )


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

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return tensors, read_metadata(path)


def read_metadata(path: Path) -> dict[str, Any]:
    """Read ``provenance`` and whatever else :func:`write_tensors` stored beside the tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[METADATA_KEY])

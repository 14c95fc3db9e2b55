"""The code of a network of the user's: which files it runs, told without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from earmark.errors import EarmarkError


def file_of(network: str) -> Path | None:
    """Return the file that ``my_net.py:build`` names; None where a module of an installed package is named."""
    place = network.rpartition(":")[0]
    return Path(place).expanduser() if place.endswith(".py") else None


def sources(network: str) -> list[str]:
    """List the files that a network's code runs: its own, and what that imports from its folder, directly or in turn.

    Parameters
    ----------
    network : str
        ``my_net.py:build`` or ``package.module:build``; of an installed package no file is listed.

    Raises
    ------
    EarmarkError
        If the file does not exist, or is no Python.
    """
    first = file_of(network)
    if first is None:
        return []
    if not first.is_file():
        raise EarmarkError(f"config: model.network: the file '{first}' does not exist")
    found: list[Path] = []
    waiting = [first]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            waiting += _imported(path, first.parent)
    return [str(path) for path in sorted(found)]


def _imported(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that a file imports, packages from the top: Python runs them so."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise EarmarkError(f"config: model.network: '{path}' is no Python: line {error.lineno}: {error.msg}") from error
    package = path.parent.relative_to(folder).parts
    for node in ast.walk(tree):
        for name in _names(node, package):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                place = folder.joinpath(*parts[:depth])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def _names(node: ast.AST, package: Sequence[str]) -> list[str]:
    """List the modules that a statement imports, if it does, from the folder's top; `package` is where it stands."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = package[: len(package) + 1 - node.level] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    # What is imported from a module may be one too.
    return [module, *(f"{module}.{alias.name}" for alias in node.names)] if module else []

"""Code of the user's: which files a function of theirs runs, told without running it; and what it makes.

Such functions, of networks and of front ends, are the only code of theirs that runs.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from earmark.errors import EarmarkError
from earmark.plan.contents import digests


def file_of(function: str) -> Path | None:
    """Return the file that ``my_net.py:build`` names; None where a module of an installed package is named."""
    place = function.rpartition(":")[0]
    return Path(place).expanduser() if place.endswith(".py") else None


def sources(function: str, key: str) -> list[str]:
    """List the files that a function's code runs: its own, and what that imports from its folder, directly or in turn.

    Parameters
    ----------
    function : str
        ``my_net.py:build`` or ``package.module:build``; of an installed package no file is listed.
    key : str
        Of the configuration, which names it.

    Raises
    ------
    EarmarkError
        If the file does not exist, or is no Python.
    """
    first = file_of(function)
    if first is None:
        return []
    if not first.is_file():
        raise EarmarkError(f"config: {key}: the file '{first}' does not exist")
    found: list[Path] = []
    waiting = [first]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            waiting += _imported(path, first.parent, key)
    return [str(path) for path in sorted(found)]


def contents(function: str, key: str) -> dict[str, str | None]:
    """Digest the files of :func:`sources` by SHA-256, so that what other code made never passes for the same."""
    paths = sources(function, key)
    return dict(zip(paths, digests([Path(path) for path in paths]), strict=True))


def _imported(path: Path, folder: Path, key: str) -> Iterator[Path]:
    """Yield the files in a folder that a file imports, packages from the top: Python runs them so."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise EarmarkError(f"config: {key}: '{path}' is no Python: line {error.lineno}: {error.msg}") from error
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


def made(function: str, folder: Path, what: str) -> Any:
    """Call a function of the user's.

    Parameters
    ----------
    function : str
        ``my_net.py:build``, the file relative to `folder` or to the home folder ``~``, or ``package.module:build`` of
        an installed package: a function without arguments.
    folder : Path
        Where the configuration stands.
    what : str
        What it makes, for sentences: ``network``.

    Raises
    ------
    EarmarkError
        If there is no such file, module or function, or it cannot be called so.
    """
    source, _, name = function.rpartition(":")
    if not source or not name:
        raise EarmarkError(
            f"the {what} {function!r} must name a function, as in my_net.py:build or package.module:build"
        )
    path = folder / Path(source).expanduser() if source.endswith(".py") else None
    with _importing(path):
        module = _installed(source) if path is None else _file(path, what)
        build = getattr(module, name, None)
        if not callable(build):
            raise EarmarkError(f"{source} has no function {name}; write one that returns your {what}")
        wanted = _wanted(build)
        if wanted:
            raise EarmarkError(
                f"{function} needs the arguments {', '.join(wanted)}; write a function without arguments that calls it"
            )
        try:
            return build()
        except Exception as error:
            raise EarmarkError(f"{function} fails: {first_line(error)}") from error


def _wanted(build: Any) -> list[str]:
    """List the arguments without which a function cannot be called."""
    kinds = inspect.Parameter
    return [
        name
        for name, given in inspect.signature(build).parameters.items()
        if given.default is kinds.empty and given.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]


@contextmanager
def _importing(path: Path | None) -> Iterator[None]:
    """Let a file import what lies beside it."""
    before = list(sys.path)
    if path is not None:
        sys.path.insert(0, str(path.parent.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before


def _file(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        raise EarmarkError(f"there is no file '{path}' to read the {what} from; name it relative to the configuration")
    name = f"{what.replace(' ', '_')}_of_{path.stem}"  # a file may be called as a package is
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise EarmarkError(f"'{path}' cannot be imported: {first_line(error)}") from error
    return module


def _installed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise EarmarkError(
            f"the module {name} cannot be imported: {first_line(error)}; install it, or name a file: my_net.py:build"
        ) from error


def first_line(error: Exception) -> str:
    """Say what went wrong in code of the user's: the error's kind and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"

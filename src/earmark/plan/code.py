"""Which files of the package a stage runs: as inputs of its rule, an edit of one makes its results stale.

Imports are read, not run, so that the plan loads neither NumPy nor torch.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = __name__.split(".")[0]
ROOT = Path(__file__).parents[1]
"""Folder of the package."""

WITHOUT_EFFECT = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        *("errors", "progress", "models.gpu"),
        *("plan.architectures", "plan.code", "plan.config", "plan.contents", "plan.datasets", "plan.generated"),
        *("plan.methods", "plan.sentences", "plan.stages", "plan.tracks"),
    )
)
"""What these decide is in the rules' params and paths, or on the terminal: an edit of them changes no result."""


IMPORT = re.compile(
    r"(?:^|[:;])[ \t]*((?:from[ \t]+[\w.]+[ \t]*(?:import\b|\\$)|import[ \t])(?:[^\n(]*\([^)]*\)|[^\n]*))", re.MULTILINE
)
"""What looks like an import statement, in functions too. Parsing whole files would take a third of a plan's time."""

FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+[^\n]*\n|\n)*", re.MULTILINE)
"""What is not run."""


class Unreadable(Exception):
    """An import that cannot be followed; the message names file and line."""


@functools.cache
def files(*modules: str) -> tuple[Path, ...]:
    """List the files whose edit can change what modules compute.

    Parameters
    ----------
    *modules : str
        Dotted names below the package: ``stages.fit``.

    Returns
    -------
    tuple of Path
        Of these modules, of all that they import directly or in turn, inside functions too, and of the packages that
        hold them; without `WITHOUT_EFFECT` and what only these import. Sorted.

    Raises
    ------
    Unreadable
        If one of them imports in a way that cannot be followed: relatively, all names of a module, or a module of
        the package that is not there.
    """
    found: set[str] = set()
    waiting = {prefix for module in modules for prefix in _prefixes(f"{PACKAGE}.{module}")}
    while waiting:
        found |= waiting
        waiting = {name for module in waiting - WITHOUT_EFFECT for name in imported(module)} - found
    return tuple(sorted(file_of(module) for module in found - WITHOUT_EFFECT))


@functools.cache
def imported(module: str) -> frozenset[str]:
    """List the modules of the package that a module imports, with the packages that hold them.

    Raises
    ------
    Unreadable
        As :func:`files`.
    """
    path = file_of(module)
    text = FOR_TYPES.sub(lambda block: "\n" * block[0].count("\n"), path.read_text(encoding="utf-8"))
    return frozenset(name for statement in statements(text) for name in _imports(statement, path))


def statements(text: str) -> Iterator[ast.AST]:
    """Yield the import statements in a module's text; others, and some twice, where it is not as plain as it seems."""
    try:
        for found in IMPORT.finditer(text):
            for statement in ast.parse(found[1]).body:
                yield ast.increment_lineno(statement, text.count("\n", 0, found.start(1)))
    except SyntaxError:  # words of a sentence, or a statement that goes on in the next line
        yield from ast.walk(ast.parse(text))


def _imports(statement: ast.AST, path: Path) -> Iterator[str]:
    """Yield what a statement imports."""
    if isinstance(statement, ast.ImportFrom):
        yield from _from(statement, path)
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.split(".")[0] == PACKAGE:
                yield from _prefixes(_known(alias.name, f"{path}:{statement.lineno}"))


def _from(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    """Yield the modules behind ``from module import name``: the module, and the name where it is one itself."""
    place = f"{path}:{node.lineno}"
    if node.level:
        raise Unreadable(f"{place}: a relative import, which is not followed; write the whole name")
    if (node.module or "").split(".")[0] != PACKAGE:
        return
    for alias in node.names:
        if alias.name == "*":
            raise Unreadable(f"{place}: imports all names of {node.module}; name those that are used")
        deeper = f"{node.module}.{alias.name}"
        yield from _prefixes(deeper if _exists(deeper) else _known(node.module or "", place))


def _known(module: str, place: str) -> str:
    if not _exists(module):
        raise Unreadable(f"{place}: there is no module {module}")
    return module


def _prefixes(module: str) -> set[str]:
    """Name a module and the packages that importing it runs: ``a.b.c`` runs ``a`` and ``a.b``."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def _exists(module: str) -> bool:
    below = ROOT.joinpath(*module.split(".")[1:])
    return below.with_suffix(".py").is_file() or (below / "__init__.py").is_file()


def file_of(module: str) -> Path:
    """Return the file of a module or a package."""
    below = ROOT.joinpath(*module.split(".")[1:])
    return below / "__init__.py" if below.is_dir() else below.with_suffix(".py")

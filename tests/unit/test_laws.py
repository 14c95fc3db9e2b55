"""The laws of the house: what may import what, and where things stand."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.plan import code
from earmark.plan.methods import base_of, methods
from earmark.plan.stages import STAGES
from earmark.plan.targets import TABLES
from earmark.store.layout import STANDARD

PACKAGE = code.ROOT
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

ROOMS = """
    errors seeds progress statistics sources store job plan sound data figures models lrp metrics explainers tables
    drawings page stages cli __main__
""".split()
"""From the ground up: a room uses only rooms that stand before it."""

SHARED = {"__init__", "labels", "markdown", "study", "summary", "written"}
"""Files in `tables/` that are no table's own."""


def name_of(path: Path) -> str:
    parts = [code.PACKAGE, *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts != ("__init__.py",)], ids=str)
def test_a_room_uses_only_rooms_below_it(path):
    module = name_of(path)
    used = {room_of(other) for other in code.imported(module) if "." in other}
    allowed = ROOMS[: ROOMS.index(room_of(module)) + 1]
    assert used <= set(allowed)


def test_imports_are_found_in_the_text_as_python_finds_them():
    """The plan does not parse all of it."""

    def run(statements):
        for node in statements:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.ImportFrom | ast.Import):
                yield ast.unparse(node)
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from run(getattr(node, block, ()))

    for path in MODULES:
        text = (PACKAGE / path).read_text()
        found = code.statements(code.FOR_TYPES.sub("", text))
        imports = {ast.unparse(node) for node in found if isinstance(node, ast.ImportFrom | ast.Import)}
        assert imports == set(run(ast.parse(text).body)), path


@pytest.mark.parametrize(
    "text",
    [
        "from earmark.errors import EarmarkError",
        "from earmark.errors import (\n    EarmarkError,  # for (some) reason\n)",
        "from earmark.errors \\\n    import EarmarkError",
        "try: import earmark.errors\nexcept ImportError: raise",
        "x = 1; import earmark.errors",
        "class A:\n    def f():\n\timport sys, earmark.errors as e",
        '"""Says:\n\nimport what you like, from here to there.\n"""\nfrom earmark import errors',
    ],
)
def test_imports_are_found_however_they_are_written(tmp_path, monkeypatch, text):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "errors.py").touch()
    (tmp_path / "odd.py").write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code.imported.cache_clear()
    assert code.imported("earmark.odd") == {"earmark", "earmark.errors"}
    code.imported.cache_clear()


def test_a_job_knows_where_files_lie_and_nothing_that_is_read_from_them():
    used = {room_of(other) for other in code.imported(f"{code.PACKAGE}.job") if "." in other}
    assert used - {"errors", "seeds", "progress"} == {"store"}


def test_no_module_imports_itself_in_the_end():
    done: set[str] = set()

    def follow(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for other in code.imported(module):
                if not module.startswith(f"{other}."):  # the package that holds it
                    follow(other, (*above, module))
            done.add(module)

    for path in MODULES:
        follow(name_of(path), ())


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_stage(stage):
    others = {f"{code.PACKAGE}.stages.{name}" for name in STAGES}
    assert not code.imported(f"{code.PACKAGE}.stages.{stage}") & others


def test_a_stage_and_its_module_share_their_name():
    assert {path.stem for path in (PACKAGE / "stages").glob("[a-z]*.py")} == set(STAGES)


def test_a_table_and_its_module_share_their_name():
    assert {path.stem for path in (PACKAGE / "tables").glob("*.py")} == {Path(name).stem for name in TABLES} | SHARED


def test_every_table_is_made():
    from earmark.stages.compare import TABLES as MADE

    assert {table.__name__.split(".")[-1] for table in MADE} == {Path(name).stem for name in TABLES}
    reported = {table.__name__.split(".")[-1] for table in MADE if hasattr(table, "report")}
    assert reported == {Path(name).stem for name in TABLES if name.endswith(".md")}


def test_colours_concern_pictures_only_and_intervals_only_tables():
    """An edit of how figures look, or of how intervals are made, costs no explanation."""
    tables = {"compare", "draw", "export", "report"}  # `export` says what a panel of listeners can find
    for module, stages in (("figures.style", {"picture", "draw"}), ("statistics", tables)):
        path = code.file_of(f"{code.PACKAGE}.{module}")
        assert {stage for stage in STAGES if path in code.files(f"stages.{stage}")} == stages


WORDS = {"standard", "cells", "energy", "noise", "occlusion", "random", "silence"}
"""Methods whose names are words for other things as well: columns, checks, rules, stimuli, sounds of a clip."""


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] != "explainers"], ids=str)
def test_no_method_is_named_outside_its_family(path):
    names = {method.name for method in methods()} - WORDS
    texts = {node.value for node in ast.walk(ast.parse((PACKAGE / path).read_text())) if isinstance(node, ast.Constant)}
    assert not names & {base_of(text) for text in texts if isinstance(text, str)}


def test_no_rule_names_a_method():
    names = {method.name for method in methods()} - WORDS
    rules = "".join(path.read_text() for path in (PACKAGE.parents[1] / "workflow/rules").glob("*.smk"))
    assert not names & {base_of(text) for text in re.findall(r'"([a-z0-9~-]+)"', rules)}


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_a_package_is_a_docstring(path):
    (docstring,) = ast.parse((PACKAGE / path).read_text()).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value.value, str)


def test_what_is_read_at_parse_time_loads_neither_numpy_nor_torch():
    modules = [name_of(path) for path in MODULES if path.parts[0] == "plan"]
    script = f"import sys, {', '.join(modules)}; print(sorted({{'numpy', 'torch', 'pandas'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def loaded():
    """Return the files of the package that each stage loads, in a process of its own forked after what is not ours."""
    script = f"""
import gc, os, sys, matplotlib.figure, pandas, safetensors.torch, scipy.io.wavfile, scipy.signal, soundfile, soxr
import sklearn.model_selection, torch, torchaudio, zennit
gc.freeze()
for stage in {list(STAGES)}:
    if os.fork():
        os.wait()
        continue
    __import__(f"earmark.stages.{{stage}}")
    own = [module.__file__ for name, module in list(sys.modules.items()) if name.split(".")[0] == "earmark"]
    print(stage, *own, sep="\\t", flush=True)
    os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {stage: {Path(file) for file in files} for stage, *files in lines}


@pytest.mark.parametrize("stage", STAGES)
def test_the_declared_files_are_those_that_a_stage_loads(stage, loaded):
    assert loaded[stage] - without_effect() <= set(code.files(f"stages.{stage}"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_builds_explainers_beside_its_own_says_so(stage):
    """What goes through the explainers' door is imported by name, which no reader of imports follows."""
    tree = ast.parse((PACKAGE / "stages" / f"{stage}.py").read_text())
    doors = {f"explainers.{door}" for door in ("build", "across", "family")}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in doors]
    beside = {"STANDARD"} if STANDARD in STAGES[stage].beside else set()
    assert {ast.unparse(call.args[0]) for call in calls} - {"job.method"} == beside
    assert STAGES[stage].explains or not calls


def without_effect() -> set[Path]:
    """List what decides nothing but parameters, and what that imports."""
    found, waiting = set(), set(code.WITHOUT_EFFECT)
    while waiting:
        found |= waiting
        waiting = {name for module in waiting for name in code.imported(module)} - found
    return {code.file_of(module) for module in found}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("from . import errors", "a relative import"),
        ("from earmark.errors import *", "imports all names"),
        ("import earmark.nothing", "there is no module earmark.nothing"),
        ("from earmark.nothing import this", "there is no module earmark.nothing"),
    ],
)
def test_an_import_that_cannot_be_followed_is_refused(tmp_path, monkeypatch, line, sentence):
    (tmp_path / "errors.py").write_text("")
    (tmp_path / "odd.py").write_text(f"def late():\n    {line}\n")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code.imported.cache_clear()
    with pytest.raises(code.Unreadable, match=f"odd.py:2: .*{sentence}"):
        code.imported("earmark.odd")
    code.imported.cache_clear()

"""What `make` does before Snakemake starts: which Python it takes, what it says of GPUs. Programs are stand-ins."""

import os
import shutil
import subprocess

import pytest

from tests.workflow.conftest import ROOT

PYTHON = """#!/bin/sh
# Python {version} as far as `make` can tell: knows its small programs by sight, and makes environments of itself.
case "$*" in
    *version_info*print* | *print*version_info*) echo {version} ;;
    *sys.argv*) shift 2; for one; do [ "$one" = {version} ] && exit 0; done; exit 1 ;;
    "-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"
        printf '#!/bin/sh\\necho by {version}: pip "$@"\\n' > "$folder/bin/pip"; chmod +x "$folder/bin/pip" ;;
esac
"""
SHIM = """#!/bin/sh
echo "pyenv: $0: command not found" >&2
exit 127
"""
SNAKEMAKE = """#!/bin/sh
echo "called: $*"
"""
LISTS_ONE = """#!/bin/sh
echo "GPU 0: NVIDIA GeForce GTX 780 (UUID: GPU-0)"
"""


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def make(tmp_path):
    """Return a function that calls `make` in a folder where programs can be put before the machine's own."""
    folder = tmp_path / "project"
    for name in ("Makefile", "pyproject.toml", "envs/requirements.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("python3.11", "python3.12", "python3.13", "nvidia-smi"):
        put(tmp_path / "bin" / name, SHIM)

    def call(*arguments, path=()):
        inherited = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
        places = [*path, tmp_path / "bin", "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/bin"]
        own = {**inherited, "PATH": ":".join(map(str, places))}
        done = subprocess.run(["make", *arguments], cwd=folder, env=own, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    call.folder, call.bin = folder, tmp_path / "bin"
    return call


def install(make, version="3.12"):
    """Put an installed environment into the project's folder."""
    put(make.folder / ".venv/bin/python", PYTHON.format(version=version))
    put(make.folder / ".venv/bin/snakemake", SNAKEMAKE)
    (make.folder / ".venv/.installed").touch()


def test_the_newest_python_that_runs_is_taken(make):
    for name in ("first", "second"):
        put(make.bin.with_name(name) / "python3.12", PYTHON.format(version="3.12"))
    put(make.bin.with_name("second") / "python3.11", PYTHON.format(version="3.11"))
    path = [make.bin, make.bin.with_name("second"), make.bin.with_name("first")]
    status, output, errors = make(".venv/.installed", path=path)
    assert status == 0, errors
    assert "by 3.12: pip install --quiet -r envs/requirements.lock" in output
    assert errors == ""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_python_can_be_named(make, version):
    mine = put(make.bin.with_name("my programs") / "python", PYTHON.format(version=version))
    status, output, errors = make(".venv/.installed", f"PYTHON={mine}")
    assert status == 0, errors
    assert f"by {version}: pip install" in output


def test_a_python_that_does_not_serve_is_named_in_one_sentence(make):
    old = put(make.bin.with_name("old") / "python3.10", PYTHON.format(version="3.10"))
    status, _, errors = make(".venv/.installed", f"PYTHON={old}")
    assert status != 0
    assert errors.splitlines()[0] == (
        f"Earmark needs Python 3.13, 3.12 or 3.11 with its module venv, and '{old}' is not one; "
        "install one, or name yours: make PYTHON=/path/to/python3.13"
    )
    assert not (make.folder / ".venv").exists()


def test_an_environment_keeps_its_python(make):
    install(make, "3.11")
    put(make.folder / ".venv/bin/pip", "#!/bin/sh\necho kept: pip $@\n")
    put(make.bin.with_name("new") / "python3.13", PYTHON.format(version="3.13"))
    (make.folder / ".venv/.installed").unlink()
    status, output, errors = make(".venv/.installed", path=[make.bin.with_name("new")])
    assert status == 0, errors
    assert "kept: pip install" in output


def test_the_second_python_is_another_one(make):
    install(make, "3.13")
    for version in ("3.12", "3.13"):
        put(make.bin.with_name("more") / f"python{version}", PYTHON.format(version=version))
    status, output, errors = make(".venv-second/.installed", path=[make.bin.with_name("more")])
    assert status == 0, errors
    assert "by 3.12: pip install" in output


def test_without_a_second_python_its_tests_fail(make):
    install(make, "3.13")
    for name in ("python3.11", "python3.12"):
        put(make.bin / name, SHIM)
    status, _, errors = make("test-second", "SECOND=")
    assert status != 0
    assert "make test-second SECOND=/path/to/python3.13" in errors


@pytest.mark.parametrize(
    ("smi", "gpus", "call", "asked"),
    [
        (SHIM, 'echo "asked in vain" >&2; exit 1', (), "gpu=0"),  # PyTorch is not asked, which takes seconds
        (LISTS_ONE, "echo 1", (), "gpu=1"),
        (LISTS_ONE, "kill -SEGV $$", (), "gpu=0"),  # a driver that takes PyTorch with it
        (LISTS_ONE, "echo 0; echo 'earmark: no GPU to compute on: it is too old.' >&2", (), "gpu=0"),
        (LISTS_ONE, 'echo "asked in vain" >&2; exit 1', ("GPU=0",), "gpu=0"),
    ],
)
def test_a_gpu_is_used_where_pytorch_can_use_it(make, smi, gpus, call, asked):
    install(make)
    put(make.bin / "nvidia-smi", smi)
    put(make.folder / ".venv/bin/earmark", f'#!/bin/sh\n[ "$*" = --gpus ] || exit 2\n{gpus}\n')
    status, output, errors = make("run", *call)
    assert status == 0, errors
    assert output == f"called: --resources {asked} --cores all\n"
    if "SEGV" in gpus:
        return  # the shell tells of it in words of its own
    assert errors == ("earmark: no GPU to compute on: it is too old.\n" if "old" in gpus else "")


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ("mine.yaml", 0),
        ("results/mine.yaml", 0),
        ("results/mine.yml -n", 0),
        ("results/synthetic/main/metrics.json", 2),
        ("mine.yaml results/synthetic/main/metrics.json", 2),
        ("results/mine.yaml results/synthetic/main/metrics.json -n", 2),
    ],
)
def test_a_result_that_configfile_swallows_is_told(make, files, status):
    install(make)
    ended, _, errors = make("run", f"ARGS=--configfile {files}")
    assert ended == status
    assert ("name what you want, results/..., before it" in errors) == (status != 0)


def test_what_the_call_says_comes_last(make):
    """Of an option that is given twice, Snakemake takes the last."""
    install(make)
    _, output, _ = make("run", "ARGS=results/synthetic/manifest.csv --cores 1 --resources gpu=0 mem_mb=8000")
    expected = "--resources gpu=0 --cores all results/synthetic/manifest.csv --cores 1 --resources gpu=0 mem_mb=8000"
    assert output == f"called: {expected}\n"

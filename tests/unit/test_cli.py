"""The command line: stages, coordinates, and mistakes in one line."""

import dataclasses
import importlib
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from earmark import cli
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models import gpu
from earmark.plan.stages import STAGES


@pytest.fixture
def stage(monkeypatch):
    """Put a recorder in the place of the stage `fit`."""
    calls = []
    module = types.ModuleType("earmark.stages.fit")
    module.run = calls.append
    monkeypatch.setitem(sys.modules, "earmark.stages.fit", module)
    return module, calls


FIT = "fit --dataset synthetic --split main --layer conv3 --method drsa --k 4".split()


def test_a_stage_gets_its_coordinates(stage):
    assert cli.main([*FIT, "--gpu", "0", "--results", "out", "--config", '{"fit": {}}']) == 0
    coordinates = {"split": "main", "layer": "conv3", "method": "drsa", "k": 4, "gpu": 0, "starts": []}
    (job,) = stage[1]
    assert vars(job) == vars(Job("fit", Path("out"), "synthetic", {"fit": {}}, **coordinates))


def test_the_cpu_is_the_default(stage):
    assert cli.main([*FIT, "--config", "{}"]) == 0
    assert stage[1][0].gpu == 0


def test_threads_are_fixed(stage, monkeypatch):
    import torch

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    before = torch.get_num_threads()
    try:
        assert cli.main([*FIT, "--config", '{"torch_threads": 3}']) == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_notebook_does_not_decide_how_figures_are_drawn(tmp_path):
    command = [
        sys.executable,
        "-m",
        "earmark",
        "compare",
        "--dataset",
        "synthetic",
        "--split",
        "main",
        "--config",
        "{}",
    ]
    notebook = {**os.environ, "MPLBACKEND": "module://no_such_notebook.backend"}
    done = subprocess.run(command, cwd=tmp_path, env=notebook, capture_output=True, text=True)
    assert "backend" not in done.stderr


@pytest.mark.parametrize(("why", "count"), [(None, "1"), ("there is none", "0")])
def test_gpus_are_counted(monkeypatch, capsys, why, count):
    monkeypatch.setattr(gpu, "fault", lambda: why)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--gpus"])
    printed = capsys.readouterr()
    assert ended.value.code == 0
    assert printed.out == f"{count}\n"
    assert printed.err == ("" if why is None else "earmark: no GPU to compute on: there is none.\n")


def test_a_mistake_is_one_line(stage, capsys):
    def fail(job):
        raise EarmarkError("there is no such thing")

    stage[0].run = fail
    assert cli.main([*FIT, "--config", "{}"]) == 1
    assert capsys.readouterr().err == "earmark: there is no such thing\n"


@pytest.mark.parametrize(("text", "sentence"), [("{", "is not JSON"), ("[]", "must be a JSON object")])
def test_a_configuration_that_is_none(stage, capsys, text, sentence):
    assert cli.main([*FIT, "--config", text]) == 1
    assert capsys.readouterr().err.startswith(f"earmark: --config {sentence}")


def test_a_missing_coordinate_is_named(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "--dataset", "synthetic", "--config", "{}"])
    assert caught.value.code == 2
    assert "--split" in capsys.readouterr().err


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_a_module_that_takes_a_job(name):
    run = importlib.import_module(f"earmark.stages.{name}").run
    assert inspect.signature(run).parameters["job"].annotation == "Job"
    assert set(STAGES[name].coordinates) <= {field.name for field in dataclasses.fields(Job)}


def test_the_package_is_a_command():
    shown = subprocess.run([sys.executable, "-m", "earmark", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("earmark ")


def test_a_sentence_finds_the_terminal_when_the_log_is_on_a_full_disk():
    call = f'"{sys.executable}" -m earmark sonify --dataset x --split main --layer l --method m --k 1 --config "["'
    shell = f"EARMARK_PROGRESS_FD=3 {call} 3>&1 > /dev/full 2>&1"
    done = subprocess.run(shell, shell=True, executable="/bin/bash", capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout.startswith("earmark: --config is not JSON")


NETS = """
from torch import nn

def chain():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def wave():
    return nn.Sequential(nn.Conv1d(1, 4, 9, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))

def probable():
    return nn.Sequential(chain(), nn.Sigmoid())

def normed():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Stand in a folder with a user's networks."""
    (tmp_path / "my_net.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["my_net.py:chain"], "4x62x62"),
        (["my_net.py:chain", "--input", "1x9x12"], "4x7x10"),
        (["my_net.py:wave"], "4x3998"),
    ],
)
def test_a_network_is_looked_at(nets, capsys, arguments, shape):
    assert cli.main(["inspect", *arguments]) == 0
    printed = capsys.readouterr()
    assert shape in printed.out and "rule: epsilon" in printed.out and "100.0 %" in printed.out
    assert printed.err == ""


def test_a_network_is_looked_at_with_its_weights(nets, capsys):
    import torch

    from earmark.models.external import load_network

    network = load_network("my_net.py:chain", nets).half()
    torch.save({"state_dict": network.state_dict()}, nets / "net.pt")
    assert cli.main(["inspect", "my_net.py:chain", "--weights", "net.pt"]) == 0
    assert cli.main(["inspect", "my_net.py:wave", "--weights", "net.pt"]) == 1
    assert (
        "earmark: the weights in 'net.pt' do not fit the network: of another shape: 0.weight" in capsys.readouterr().err
    )


def test_a_sigmoid_at_the_end_is_taken_off(nets, capsys):
    assert cli.main(["inspect", "my_net.py:probable"]) == 1
    assert "write outputs: probabilities" in capsys.readouterr().err
    assert cli.main(["inspect", "my_net.py:probable", "--outputs", "probabilities"]) == 0
    assert "absorbed" in capsys.readouterr().out


def test_what_lrp_cannot_explain_is_a_sentence_below_the_table(nets, capsys):
    assert cli.main(["inspect", "my_net.py:normed"]) == 1
    printed = capsys.readouterr()
    assert "GroupNorm" in printed.out and "lrp:" not in printed.out
    sentence = "earmark: no LRP rule covers what this network does: a group normalisation in '1' (GroupNorm); "
    assert printed.err.startswith(sentence) and printed.err.count("\n") == 1


@pytest.mark.parametrize("shape", ["128", "1x", "1x0x4", "axb"])
def test_a_shape_that_is_none(nets, capsys, shape):
    if shape == "128":  # one axis is a shape, if none for this network
        assert cli.main(["inspect", "my_net.py:chain", "--input", shape]) == 1
        assert "cannot take inputs of 128" in capsys.readouterr().err
    else:
        with pytest.raises(SystemExit):
            cli.main(["inspect", "my_net.py:chain", "--input", shape])
        assert f"--input: invalid _shape value: '{shape}'" in capsys.readouterr().err


def test_help_does_not_load_torch(nets):
    script = "import sys; from earmark import cli\ntry: cli.main(['inspect', '--help'])\nexcept SystemExit: pass\n"
    script += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "my_net.py:build" in done.stdout and done.stdout.endswith("False\n")

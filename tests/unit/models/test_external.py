"""A user's network: found, given its weights, checked; one sentence for each mistake."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from earmark.errors import EarmarkError
from earmark.models.external import adopted, adopted_on_noise, load_network, load_weights

INPUTS = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))

FILE = """
import torch
from beside import CHANNELS

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, CHANNELS, 3)
        self.head = torch.nn.Linear(CHANNELS, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean(dim=(2, 3)))

def build(): return Mine()
def optional(channels=2): return Mine()
def wanting(channels, depth): return Mine()
def failing(): raise ValueError("no such\\nthing")
def other(): return "a network"
def unmade(): return Mine
def answer(x): return x.mean(dim=(2, 3)).repeat(1, 2).numpy()
def function(): return answer
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_net.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("CHANNELS = 4\n")
    return tmp_path


def test_a_function_makes_the_network(folder: Path) -> None:
    for name in ("build", "optional"):
        assert load_network(f"my_net.py:{name}", folder).conv.out_channels == 4
    assert isinstance(load_network("torch.nn:Identity", folder), nn.Identity)


def test_a_file_in_the_home_folder(folder: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert load_network("~/my_net.py:build", tmp_path_factory.mktemp("elsewhere")).conv.out_channels == 4


def test_a_file_may_be_called_as_a_package_is(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("from torch import nn\n\ndef build():\n    return nn.Identity()\n")
    assert isinstance(load_network("torch.py:build", tmp_path), nn.Identity)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("my_net.py", "must name a function, as in my_net.py:build"),
        ("my_net.py:", "must name a function"),
        ("your_net.py:build", r"there is no file '.*your_net.py' to read the network from"),
        ("my_net.py:make", "my_net.py has no function make"),
        ("my_net.py:number", "my_net.py has no function number"),
        ("my_net.py:wanting", "needs the arguments channels, depth; write a function without arguments"),
        ("my_net.py:failing", "my_net.py:failing fails: ValueError: no such$"),
        ("my_net.py:other", "must return a torch.nn.Module, or a function of inputs, not a str"),
        ("my_net.py:unmade", "or a function of inputs, not the class Mine itself"),
        ("no_such_package.nets:build", "no_such_package.nets cannot be imported: ModuleNotFoundError"),
        ("broken.py:build", "'.*broken.py' cannot be imported: ModuleNotFoundError: No module named 'timm_of_old'"),
    ],
)
def test_what_makes_no_network(folder: Path, network: str, sentence: str) -> None:
    (folder / "broken.py").write_text("import timm_of_old\n")
    with pytest.raises(EarmarkError, match=sentence):
        load_network(network, folder)


def small(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


@pytest.mark.parametrize(
    "saved",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda state: {"model": state, "epoch": 3},
        lambda state: {f"module.{key}": weight for key, weight in state.items()},
        lambda state: {"state_dict": {f"model.net.{key}": weight for key, weight in state.items()}},
        lambda state: {key: weight for key, weight in state.items() if "num_batches_tracked" not in key},
        lambda state: {key: weight.half() if weight.is_floating_point() else weight for key, weight in state.items()},
    ],
)
def test_weights_are_found_in_what_was_saved(tmp_path: Path, saved) -> None:
    expected = small(1).state_dict()
    torch.save(saved(expected), tmp_path / "net.pt")
    network = small(0)
    load_weights(network, tmp_path / "net.pt")
    for key, weight in network.state_dict().items():
        torch.testing.assert_close(weight, expected[key], rtol=1e-3, atol=1e-3)


def test_weights_of_safetensors(tmp_path: Path) -> None:
    save_file(small(1).state_dict(), tmp_path / "net.safetensors")
    network = small(0)
    load_weights(network, tmp_path / "net.safetensors")
    assert all(
        torch.equal(*pair) for pair in zip(network.state_dict().values(), small(1).state_dict().values(), strict=True)
    )


def test_a_prefix_that_is_the_networks_own_stays(tmp_path: Path) -> None:
    network = nn.ModuleDict({"model": small(0)})
    torch.save(nn.ModuleDict({"model": small(1)}).state_dict(), tmp_path / "net.pt")
    load_weights(network, tmp_path / "net.pt")
    assert torch.equal(network["model"][0].weight, small(1)[0].weight)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = small().state_dict()
    state["0.weight"] = torch.zeros(4, 1, 5, 5)
    state["9.weight"] = state.pop("4.weight")
    for key in [key for key in state if key.startswith("1.")]:
        del state[key]
    torch.save(state, tmp_path / "net.pt")
    sentence = (
        r"do not fit the network: missing: 1.weight, 1.bias, 1.running_mean and 2 more; unknown: 9.weight; "
        r"of another shape: 0.weight is 4x1x5x5 instead of 4x1x3x3$"
    )
    with pytest.raises(EarmarkError, match=sentence):
        load_weights(small(), tmp_path / "net.pt")


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    network = small()
    torch.save(network, tmp_path / "module.pt")
    torch.jit.trace(network.eval(), INPUTS).save(tmp_path / "script.pt")
    torch.save({"ema": network.state_dict(), "model": network.state_dict()}, tmp_path / "two.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save([1.0], tmp_path / "list.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("weights\n")
    sentences = {
        "missing.pt": "there is no file '.*missing.pt' to read weights from",
        "module.pt": r"holds a pickled module.*torch.load\('module.pt', 'cpu', weights_only=False\)",
        "script.pt": r"is a TorchScript archive.*torch.jit.load\('script.pt', map_location='cpu'\).state_dict\(\)",
        "two.pt": r"must hold one state dict, and holds several, ema, model: save network.state_dict\(\)",
        "none.pt": "must hold one state dict, and holds none",
        "list.pt": "must hold one state dict, and holds none",
        "text.pt": "is neither a safetensors file nor a state dict that torch.save wrote",
        "text.safetensors": "is no safetensors file",
    }
    for name, sentence in sentences.items():
        with pytest.raises(EarmarkError, match=sentence):
            load_weights(network, tmp_path / name)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_the_lines_that_convert_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = small(1).eval()
    torch.save(expected, tmp_path / "module.pt")
    torch.jit.trace(expected, INPUTS).save(tmp_path / "script.pt")
    for name in ("module.pt", "script.pt"):
        with pytest.raises(EarmarkError) as caught:
            load_weights(small(), tmp_path / name)
        lines = str(caught.value)
        exec(lines[lines.index("import torch") :], {})
        network = small(0).eval()
        load_weights(network, tmp_path / "weights.pt")
        torch.testing.assert_close(network(INPUTS), expected(INPUTS))


def test_a_network_is_copied_and_left_alone() -> None:
    network = small().train()
    state = copy.deepcopy(network.state_dict())
    found = adopted(network, INPUTS, 2)
    assert found.remarks == () and not found.network.training and network.training
    assert all(torch.equal(state[key], weight) for key, weight in network.state_dict().items())
    torch.testing.assert_close(found.network(INPUTS), copy.deepcopy(network).eval()(INPUTS))


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_other_precision_is_computed_in_float32_and_said(kind: torch.dtype) -> None:
    found = adopted(small().to(kind), INPUTS)
    name = str(kind).removeprefix("torch.")
    assert found.remarks == (f"the network was in {name} and is computed in float32 on the CPU",)
    torch.testing.assert_close(found.network(INPUTS), small().eval()(INPUTS), rtol=2e-3, atol=2e-3)


class Does(nn.Module):
    """A network that answers with what a function makes of its input and its logits."""

    def __init__(self, does) -> None:
        super().__init__()
        self.does, self.inner = does, small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.does(self, x)


def trains(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    network.inner.train()
    return network.inner(x)


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        (lambda net, x: net.inner(x) * torch.nan, "answers NaN or infinity"),
        (lambda net, x: net.inner(x) / 0, "answers NaN or infinity"),
        (lambda net, x: net.inner(functional.dropout(x)), "answers the same input differently each time"),
        (lambda net, x: net.inner(x) + torch.randn(1), "answers the same input differently each time"),
        (lambda net, x: net.inner(x) - net.inner(x).mean(dim=0), "depends on what else is in the batch"),
        (trains, "forward puts modules into training mode"),
        (lambda net, x: (net.inner(x), x), "must answer with one tensor of logits .*, not a tuple"),
        (lambda net, x: net.inner(x)[:, 0], r"must answer inputs \[3, 1, 8, 8\] with logits \[3, classes\], not \[3\]"),
        (
            lambda net, x: net.inner(x[..., :4]),
            r"cannot take inputs of 1x8x8 \(a batch is \[3, 1, 8, 8\]\): RuntimeError",
        ),
        (lambda net, x: net.inner(x).sigmoid(), "lies between 0 and 1.*; write outputs: probabilities"),
        (lambda net, x: net.inner(x).softmax(dim=1), "lies between 0 and 1"),
    ],
)
def test_answers_that_cannot_be_explained(does, sentence: str) -> None:
    with pytest.raises(EarmarkError, match=sentence):
        adopted(Does(does), INPUTS)


def test_the_number_of_classes_is_that_of_the_logits() -> None:
    with pytest.raises(EarmarkError, match="answers 2 numbers and 3 classes are named; list the classes in the order"):
        adopted(small(), INPUTS, 3)


def test_a_network_that_writes_over_its_input_gets_a_copy() -> None:
    inputs = INPUTS.clone()
    found = adopted(Does(lambda net, x: net.inner(x.mul_(2))), inputs)
    assert found.remarks == ("the network writes over its input, and gets a copy of it each time",)
    assert torch.equal(inputs, INPUTS)


def test_logits_between_0_and_1_by_chance_are_logits() -> None:
    network = small()
    nn.init.zeros_(network[4].weight)
    nn.init.constant_(network[4].bias, 0.5)
    assert adopted(network, INPUTS).remarks == ()


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Softmax(dim=1), nn.LogSoftmax(dim=1)])
def test_what_makes_probabilities_is_taken_off(last: nn.Module) -> None:
    network = nn.Sequential(*small(), last)
    found = adopted(network, INPUTS, 2, "probabilities")
    torch.testing.assert_close(found.network(INPUTS), small().eval()(INPUTS))
    assert network[-1] is last


@pytest.mark.parametrize(
    "network",
    [small(), Does(lambda net, x: net.inner(x).sigmoid()), nn.Sequential(*small(), nn.Sigmoid(), nn.Linear(2, 2))],
)
def test_probabilities_that_no_last_module_makes(network: nn.Module) -> None:
    with pytest.raises(EarmarkError, match="needs a network whose last module, called once, is a Sigmoid"):
        adopted(network, INPUTS, 2, "probabilities")


def test_a_network_that_leaves_pytorch_can_be_adopted() -> None:
    found = adopted(Does(lambda net, x: torch.from_numpy(net.inner(x).numpy())), INPUTS, 2)
    with torch.no_grad():
        assert found.network(INPUTS).shape == (3, 2)


def test_a_network_that_cannot_be_copied() -> None:
    network = small()
    network.kept = network[0].weight * 2
    with pytest.raises(
        EarmarkError, match="the network cannot be copied: RuntimeError: Only Tensors created explicitly"
    ):
        adopted(network, INPUTS)


def test_noise_of_the_first_shape_that_fits() -> None:
    found, inputs = adopted_on_noise(small(), [(1, 64), (1, 8, 8), (1, 9, 9)])
    assert inputs.shape == (4, 1, 8, 8) and found.network(inputs).shape == (4, 2)
    with pytest.raises(
        EarmarkError, match=r"inputs of 1x64 .* inputs of 1x9x9 .*; name the shape of an input, as in --input"
    ):
        adopted_on_noise(small(), [(1, 64), (1, 9, 9)])

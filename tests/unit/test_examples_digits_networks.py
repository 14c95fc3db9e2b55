"""The example networks for digits have the shapes they say, and their training learns."""

import sys

import numpy as np
import pytest
import soundfile
import torch
from examples.digits_networks import networks, train
from safetensors.torch import load_file

from earmark.errors import EarmarkError

RATE = 8000
SECONDS = 0.25


def tones(folder, digits=10, takes=5):
    """Write digits that are tones, each of its own frequency."""
    rng = np.random.default_rng(0)
    time = np.arange(int(SECONDS * RATE)) / RATE
    for digit in range(digits):
        (folder / f"d{digit}").mkdir(parents=True)
        for take in range(takes):
            sound = np.sin(2 * np.pi * (300 + 300 * digit) * time + rng.uniform(0, 6)) * rng.uniform(0.1, 0.5)
            soundfile.write(folder / f"d{digit}/{take}.wav", sound, RATE)
    return folder


@pytest.mark.parametrize("build", [networks.build_resnet, networks.build_transformer])
def test_a_network_tells_ten_classes_clip_by_clip(build):
    torch.manual_seed(0)
    network = build().eval()
    inputs = torch.randn(3, 1, 64, 64)
    kept = inputs.clone()
    with torch.no_grad():
        logits = network(inputs)
        alone = torch.cat([network(row) for row in inputs.split(1)])
    assert logits.shape == (3, 10)
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(inputs, kept, rtol=0, atol=0)


def test_a_residual_block_adds_what_passes_by():
    torch.manual_seed(0)
    block = networks.Residual(2, 4).eval()
    x = torch.randn(1, 2, 8, 8)
    torch.nn.init.zeros_(block.conv2.weight)
    with torch.no_grad():
        expected = block.norm_shortcut(block.shortcut(x)).relu()
        torch.testing.assert_close(block(x), expected)
    assert expected.shape == (1, 4, 4, 4) and expected.any()


def test_the_transformer_hears_where_a_patch_is():
    torch.manual_seed(0)
    network = networks.build_transformer().eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        moved = network(x.roll(networks.Transformer.PATCH, dims=-1))
        assert not torch.allclose(network(x), moved, atol=1e-4)
        network.places.zero_()
        torch.testing.assert_close(network(x), network(x.roll(networks.Transformer.PATCH, dims=-1)))


@pytest.mark.parametrize("length", [3, 10, 17])
def test_a_sound_is_placed_whole_or_cut_from_first_to_last(length):
    sound = torch.arange(1.0, length + 1)
    first, last = train.placed(sound, 10, 0.0), train.placed(sound, 10, 1.0)
    assert first.shape == last.shape == (10,)
    assert first[0] == 1 and last[-1] == length
    if length <= 10:
        assert train.placed(sound, 10, 0.5).sum() == sound.sum()


def test_training_learns_what_can_be_learnt_and_writes_it(tmp_path, monkeypatch, capsys):
    root, out = tones(tmp_path / "tones"), tmp_path / "out"
    arguments = ("transformer", "--recordings", root, "--out", out, "--epochs", 20)
    monkeypatch.setattr(train, "BATCH", 4)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    train.main()
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert len(losses) == 20 and losses[-1] < losses[0] / 4
    network = networks.build_transformer().eval()
    network.load_state_dict(load_file(out / "transformer.safetensors"))
    frontend = train.LogMel.from_config({})
    sounds, targets = train.loaded(root, frontend.sample_rate)
    assert train.accuracy(network, frontend, sounds, targets) > 0.9


def test_recordings_that_are_no_digits_are_said(tmp_path):
    with pytest.raises(EarmarkError, match="has 9 sub-folders"):
        train.loaded(tones(tmp_path / "nine", digits=9, takes=1), RATE)
    root = tones(tmp_path / "ten", takes=1)
    (root / "d3/0.wav").write_text("no sound")
    with pytest.raises(EarmarkError, match=r"0\.wav cannot be decoded.*: take it out"):
        train.loaded(root, RATE)
    (root / "d3/0.wav").unlink()
    with pytest.raises(EarmarkError, match=r"d3 holds no \.wav files"):
        train.loaded(root, RATE)

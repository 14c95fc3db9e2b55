"""The example around musicnn's network: its checkpoint is read, and its sounds are made, as they should be."""

import csv
import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from examples.musicnn import convert, network, score, sounds
from safetensors.torch import load_file

from earmark.errors import EarmarkError
from earmark.metrics.objects import object_cells
from earmark.sound.logmel import LogMel

TAGS = [f"tag {number}" for number in range(50)]
CONFIGURATION = f"import nothing_that_is_there\nSR = 16000\nMTT_LABELS = {TAGS!r}\nMSD_LABELS = ['rock']\n"

SHAPES = {
    **{f"{number}CNN/kernel": (3, 3, 128 if number > 1 else 1, 128) for number in range(1, 6)},
    **{f"{number}CNN/bias": (128,) for number in range(1, 6)},
    **{
        f"batch_normalization{scope}/{part}": (128 if scope else 1,)
        for scope in ("", "_1", "_2", "_3", "_4", "_5")
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    },
    "dense/kernel": (256, 50),
    "dense/bias": (50,),
}


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def nested(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""  # proto3 leaves zeros out


def entry(shape: tuple[int, ...], offset: int, size: int, dtype: int = 1) -> bytes:
    dimensions = b"".join(nested(2, number(1, length)) for length in shape)
    checksum = varint(6 << 3 | 5) + struct.pack("<I", 123456789)
    return number(1, dtype) + nested(2, dimensions) + number(4, offset) + number(5, size) + checksum


def block(pairs: list[tuple[bytes, bytes]], interval: int) -> bytes:
    """Write a block: every so many keys in full, the others without what they share with the one before."""
    content, restarts, before = b"", [], b""
    for place, (key, value) in enumerate(pairs):
        if place % interval == 0:
            restarts.append(len(content))
            shared = 0
        else:
            shared = next(length for length in range(len(key), -1, -1) if before.startswith(key[:length]))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(pairs: list[tuple[bytes, bytes]], per_block: int = 7, compression: bytes = b"\0") -> bytes:
    """Write a LevelDB table: blocks, their index, and the footer."""
    content = b""

    def add(data: bytes) -> bytes:
        nonlocal content
        handle = varint(len(content)) + varint(len(data))
        content += data + compression + b"sums"
        return handle

    index = [
        (part[-1][0], add(block(part, interval=3)))
        for part in (pairs[start : start + per_block] for start in range(0, len(pairs), per_block))
    ]
    filters = add(block([], interval=1))
    footer = filters + add(block(index, interval=1))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def bundle(tensors: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Write a checkpoint: its index, with a header under the empty name, and its data."""
    pairs, data = [(b"", number(1, 1) + nested(3, number(1, 1)))], b""
    for name, tensor in sorted(tensors.items()):
        pairs.append((name.encode(), entry(tensor.shape, len(data), tensor.nbytes)))
        data += tensor.tobytes() + b"Adam"  # what is between two tensors is not theirs
    return table(pairs), data


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for name, shape in SHAPES.items():
        scale = np.prod(shape[:-1]) ** -0.5 if name.endswith("kernel") else 1.0
        values = rng.normal(0.0, scale, shape).astype("<f4")
        made[name] = np.abs(values) + 0.5 if name.endswith("variance") else values
    return made


def wheel_of(folder: Path, files: dict[str, str | bytes]) -> Path:
    path = folder / "musicnn-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"musicnn/{name}", content)
    return path


def package(weights: dict[str, np.ndarray]) -> dict[str, str | bytes]:
    index, data = bundle(weights)
    return {
        "configuration.py": CONFIGURATION,
        "MTT_vgg/.index": index,
        "MTT_vgg/.data-00000-of-00001": data,
    }


def by_hand(weights: dict[str, np.ndarray], inputs: torch.Tensor) -> torch.Tensor:
    """Compute the logits of inputs [B, 187, 96] the way TensorFlow lays them out, channels last."""
    tensors = {name: torch.from_numpy(tensor) for name, tensor in weights.items()}

    def norm(x: torch.Tensor, scope: str) -> torch.Tensor:
        gamma, beta, mean, variance = (
            tensors[f"{scope}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / torch.sqrt(variance + 0.001) * gamma + beta

    x = norm(inputs.unsqueeze(-1), "batch_normalization")  # [B, T, F, C]
    pools = [(4, 1, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (4, 4, 4)]
    for layer, (rows, columns, stride) in enumerate(pools, start=1):
        windows = torch.nn.functional.pad(x, (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)
        x = torch.einsum("btfcij,ijco->btfo", windows, tensors[f"{layer}CNN/kernel"]) + tensors[f"{layer}CNN/bias"]
        x = norm(x.clamp_min(0), f"batch_normalization_{layer}")
        x = x.unfold(1, rows, stride).unfold(2, columns, stride).amax(dim=(-2, -1))
    return x.flatten(1) @ tensors["dense/kernel"] + tensors["dense/bias"]


def test_the_reader_of_tables_finds_every_value_across_blocks_and_shared_prefixes():
    pairs = [(f"key{number // 4}/{number:03d}".encode(), bytes([number] * number)) for number in range(200)]
    assert convert.entries(table(pairs)) == {key.decode(): value for key, value in pairs}


def test_the_reader_of_messages_tells_numbers_from_what_is_nested():
    content = number(1, 1) + nested(2, nested(2, number(1, 300))) + number(4, 2**40) + entry((), 0, 0)[-5:]
    assert convert.message(content) == {1: [1], 2: [nested(2, number(1, 300))], 4: [2**40], 6: [123456789]}


def test_a_tensor_is_what_its_entry_says():
    data = np.arange(10, dtype="<f4").tobytes()
    np.testing.assert_array_equal(convert.tensor(entry((2, 3), 8, 24), data), [[2, 3, 4], [5, 6, 7]])
    assert convert.tensor(entry((), 0, 4), data).shape == ()


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: convert.entries(b"no table"), "damaged"),
        (lambda: convert.entries(table([(b"key", b"value")], compression=b"\1")), "compressed"),
        (lambda: convert.message(varint(1 << 3 | 1) + bytes(8)), "damaged"),
        (lambda: convert.tensor(entry((1,), 0, 4, dtype=3), bytes(4)), "float32"),
        (lambda: convert.tensor(entry((2,), 4, 8), bytes(8)), "end too early"),
        (lambda: convert.state_dict(table([(b"1CNN/bias", b"")]), b""), "holds no batch_normalization/gamma"),
        (lambda: convert.tags("MTT = ['guitar']"), "names no MTT_LABELS"),
    ],
)
def test_what_is_no_checkpoint_of_musicnn_is_said_in_a_sentence(made, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        made()


def test_the_network_has_the_published_shapes():
    net = network.build().eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == 605_748
    shapes, x = {}, torch.zeros(1, 1, 187, 96)
    with torch.no_grad():
        for name, module in net.named_children():
            x = module(x)
            shapes[name] = tuple(x.shape[1:])
    pools = [(128, 92, 48), (128, 46, 24), (128, 23, 12), (128, 11, 6), (128, 2, 1)]
    assert [shapes[f"pool{layer}"] for layer in range(1, 6)] == pools
    assert shapes["sigmoid"] == (50,)


def test_the_first_pooling_leaves_out_every_other_mel_band():
    """Its kernel is 1 band wide and its stride 2: no gradient arrives at the odd bands behind the first convolution."""
    net = network.build().eval()
    norm1 = torch.randn(1, 128, 187, 96, generator=torch.Generator().manual_seed(0), requires_grad=True)
    net.pool1(norm1).sum().backward()
    assert norm1.grad[..., 0::2].any() and not norm1.grad[..., 1::2].any()


def test_a_converted_checkpoint_computes_what_the_original_does(tmp_path, weights):
    wheel = wheel_of(tmp_path, package(weights))
    convert.convert(wheel, tmp_path / "out")
    net = network.build().eval()
    net.load_state_dict(load_file(tmp_path / "out/mtt_vgg.safetensors"))
    inputs = torch.rand(2, 187, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, expected = net[:-1](inputs.unsqueeze(1)), by_hand(weights, inputs)
        probabilities = net(inputs.unsqueeze(1))
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(probabilities, expected.sigmoid())
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == TAGS


def test_an_installed_package_is_read_and_not_imported(tmp_path, weights, monkeypatch):
    for name, content in package(weights).items():
        path = tmp_path / "site/musicnn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "site/musicnn/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    convert.convert(None, tmp_path / "installed")
    convert.convert(wheel_of(tmp_path, package(weights)), tmp_path / "wheel")
    for name in ("mtt_vgg.safetensors", "classes.txt"):
        assert (tmp_path / "installed" / name).read_bytes() == (tmp_path / "wheel" / name).read_bytes()


def run(monkeypatch, module, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    module.main()


def test_what_is_missing_is_said_with_the_line_that_brings_it(tmp_path, monkeypatch):
    out = ("--out", tmp_path / "out")
    monkeypatch.setattr(convert, "PACKAGE", "musicnn_that_nobody_has")
    with pytest.raises(SystemExit, match=r"not installed: pip install --no-deps musicnn==0\.1\.0"):
        run(monkeypatch, convert, *out)
    monkeypatch.undo()
    no_wheel = tmp_path / "notes.whl"
    no_wheel.write_text("notes")
    empty = wheel_of(tmp_path, {"configuration.py": CONFIGURATION})
    for wheel, sentence in (
        (tmp_path / "none.whl", "is no wheel"),
        (no_wheel, "is no wheel"),
        (empty, re.escape("musicnn/MTT_vgg/.index is missing")),
    ):
        with pytest.raises(SystemExit, match=sentence):
            run(monkeypatch, convert, "--wheel", wheel, *out)
    assert not (tmp_path / "out").exists()


def noise(name: str, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(len(name))
    return rng.normal(0.0, 0.1, int(seconds * sounds.RATE))


def test_a_mixture_is_the_sum_of_its_stems_at_the_level_that_was_drawn():
    guitars = {name: noise(name, 5.0) for name in sounds.GUITARS}
    drums = {name: noise(name, 1.7) for name in sounds.DRUMS}
    for seed in range(20):
        mixture = sounds.mixed(guitars, drums, np.random.default_rng(seed))
        again = sounds.mixed(guitars, drums, np.random.default_rng(seed))
        np.testing.assert_array_equal(mixture.guitar, again.guitar)
        assert mixture.guitar.shape == mixture.drums.shape == (sounds.SAMPLES,)
        assert np.abs(mixture.guitar + mixture.drums).max() == pytest.approx(sounds.PEAK)
        above = sounds.level(mixture.guitar) - sounds.level(mixture.drums)
        assert above == pytest.approx(mixture.drawn["level"], abs=1e-3)
        assert sounds.LEVELS[0] <= above <= sounds.LEVELS[1]


def test_a_guitar_is_silent_until_it_is_struck_and_rings_on():
    sound = np.arange(1.0, 30001.0)
    played = sounds.struck(sound, 1000, 20000)
    assert not played[:1000].any()
    np.testing.assert_array_equal(played[1000:21000], sound[:20000])
    np.testing.assert_array_equal(played[21000:31000], sound[20000:] + sound[:10000])


def test_clips_and_mixtures_are_written_with_their_stems(tmp_path, monkeypatch):
    source = tmp_path / "samples"
    source.mkdir()
    with pytest.raises(SystemExit, match="sudo apt-get install sonic-pi-samples"):
        run(monkeypatch, sounds, tmp_path / "out", "--samples", source)
    for name in (*sounds.GUITARS, *sounds.DRUMS, "bd_boom"):
        stereo = np.stack([noise(name, 0.7), noise(name + "!", 0.7)], axis=1)
        soundfile.write(source / f"{name}.flac", stereo, 22050)
    run(monkeypatch, sounds, tmp_path / "out", "--samples", source, "--mixtures", 3)
    clip, rate = soundfile.read(tmp_path / "out/clips/bd_boom.flac")
    original, _ = soundfile.read(source / "bd_boom.flac")
    assert rate == 22050 and clip.shape[1] == 2 and len(clip) >= 3 * rate
    np.testing.assert_array_equal(clip, np.tile(original, (len(clip) // len(original), 1)))
    with (tmp_path / "out/mixtures.csv").open() as file:
        names = [row["mixture"] for row in csv.DictReader(file)]
    assert names == ["000.wav", "001.wav", "002.wav"]
    for name in names:
        mixture, guitar, drums = (
            soundfile.read(tmp_path / "out" / part / name, dtype="float32")[0]
            for part in ("mixtures", "stems/guitar", "stems/drums")
        )
        np.testing.assert_allclose(mixture, guitar + drums, atol=1e-6)
        assert np.abs(mixture).max() == pytest.approx(sounds.PEAK, abs=1e-6)


FRONTEND = LogMel(sample_rate=8000, n_fft=128, hop=64, n_mels=12, n_frames=10)


class Source:
    """What is asked of a data set: its front end."""

    frontend = FRONTEND


class Noise:
    """What is read of an explanation by noise: its maps."""

    def __init__(self, known: score.Truth) -> None:
        self.heatmaps = torch.rand(len(known.cells), 1, *FRONTEND.grid)


@pytest.fixture
def known() -> score.Truth:
    """Six clips of a low tone, which plays the guitar, and a high one; the level of both differs from clip to clip."""
    times = torch.arange(FRONTEND.clip_samples) / FRONTEND.sample_rate
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * times) for hertz in (500.0, 2500.0)])
    levels = 0.1 + torch.rand(6, 2, 1, generator=torch.Generator().manual_seed(0))
    stems = levels * tones  # [6, 2, S]
    mixtures = stems.sum(dim=1)
    return score.Truth(Source(), mixtures, stems, object_cells(FRONTEND, mixtures, stems))


def test_a_concept_is_chosen_on_the_other_clips():
    scores = torch.tensor([[1.0, 0.6], [0.5, 0.6], [0.5, 0.6]])
    assert score.best(scores).tolist() == [1, 0, 0]  # the clip in which the first is best does not choose it itself
    unknown = torch.tensor([[torch.nan, 0.2], [torch.nan, 0.2], [0.6, 0.2]])
    assert score.best(unknown).tolist() == [0, 0, 0]  # a concept that cannot be measured is as good as chance


def test_the_concept_that_is_the_guitar_is_found_and_heard(known):
    cells = known.cells.float()  # [n, O, F, T]
    noise = torch.rand(cells[:, :1].shape, generator=torch.Generator().manual_seed(1))
    found = score.scored(
        torch.cat([noise, cells[:, 1:], cells[:, :1]], dim=1), known, lambda row: known.stems[row, [1, 1, 0]]
    )
    assert found.auc.tolist() == [1] * 6 and found.share.tolist() == pytest.approx([1] * 6)
    assert (found.heard > 60).all()
    apart = score.scored(cells, known, None).told
    assert apart.estimate == pytest.approx(1) and apart.low == pytest.approx(1)
    assert found.told.low < found.told.estimate < 1


def test_what_does_not_know_the_guitar_is_at_chance(known):
    noise = torch.rand(known.cells[:, :1].shape, generator=torch.Generator().manual_seed(1))
    found = score.scored(noise, known, None)
    assert float(found.auc.mean()) == pytest.approx(0.5, abs=0.1)
    assert float(found.share.mean()) == pytest.approx(float(known.cells[:, 0].float().mean()), abs=0.05)
    assert found.told is None and np.isnan(found.heard).all()


def test_the_guitars_cells_bring_its_sound_nearer_than_the_mixture_is(known):
    rows = dict(score.controls(known, noise=Noise(known)))
    mixture, own = rows["energy: the mixture"], rows["the guitar's cells"]
    assert (own.heard > mixture.heard + 10).all()
    assert own.over(mixture).heard.tolist() == pytest.approx((own.heard - mixture.heard).tolist())


def test_a_stem_is_cut_where_its_clip_lies(tmp_path):
    sound = np.linspace(-0.5, 0.5, 1000)
    soundfile.write(tmp_path / "000.wav", sound, 8000, subtype="FLOAT")
    assert score.stem(tmp_path, "000.wav", 200, 50, 8000).tolist() == pytest.approx(sound[200:250].tolist())
    for name, start, rate, sentence in [
        ("001.wav", 0, 8000, "001.wav is missing: make the mixtures"),
        ("000.wav", 960, 8000, "is no stem of the clip"),
        ("000.wav", 0, 16000, "is no stem of the clip"),
    ]:
        with pytest.raises(EarmarkError, match=sentence):
            score.stem(tmp_path, name, start, 50, rate)


def test_without_concepts_the_command_that_makes_them_is_named(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=re.escape("--config run=[musicnn-mixtures]")):
        run(monkeypatch, score, "--results", tmp_path)

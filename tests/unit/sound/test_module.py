"""Front ends of the user's own: tried, heard through, refused with a sentence."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers.base import Batch
from earmark.explainers.sounds import explanation_sounds
from earmark.lrp import attributor
from earmark.lrp.rules import from_config as rules_of
from earmark.metrics.flipping import patch_flipping
from earmark.models.base import Network
from earmark.plan import foreign
from earmark.plan.config import fill
from earmark.sound.kinds import from_settings
from earmark.sound.logmel import LogMel
from earmark.sound.masks import apply_masks
from earmark.sound.module import shares
from tests.unit.sound.test_masks import holds_what_is_heard, si_sdr

RATE, SAMPLES = 8000, 4000

FILE = """
import numpy as np
import torch

class Spectrogram(torch.nn.Module):
    sample_rate = 8000

    def __init__(self, hop=100, placed=True):
        super().__init__()
        self.hop = hop
        if placed:
            self.frequencies = torch.linspace(0, 4000, 65)
            self.times = (torch.arange(1 + (4000 - 128) // hop) * hop + 64) / 8000

    def forward(self, waveforms):
        window = torch.hann_window(128)
        return torch.log1p(torch.stft(waveforms, 128, self.hop, window=window, center=False, return_complex=True).abs())

class Deltas(Spectrogram):
    def forward(self, waveforms):
        cells = super().forward(waveforms)
        return torch.stack([cells, cells.diff(dim=-1, prepend=cells[..., :1])], dim=1)

class Changed(Spectrogram):
    def __init__(self, **given):
        super().__init__()
        for name, value in given.items():
            setattr(self, name, value)

def build(): return Spectrogram()
def unplaced(): return Spectrogram(placed=False)
def deltas(): return Deltas()
def timed(): return lambda waveforms: super(Deltas, Deltas()).forward(waveforms).transpose(-2, -1)
def in_numpy():
    def rms(waveforms): return np.sqrt((waveforms.numpy().reshape(-1, 1, 40, 100) ** 2).mean(axis=3) + 1e-9)
    return rms
def other_rate(): return Changed(sample_rate=16000)
def half(): return Changed(times=None)
def short(): return Changed(frequencies=torch.arange(64))
def falling(): return Changed(frequencies=torch.arange(65, 0, -1))
def flat(): return lambda waveforms: waveforms.mean(dim=1, keepdim=True)
def infinite(): return lambda waveforms: torch.log(0 * waveforms.view(-1, 40, 100))
def noisy(): return lambda waveforms: waveforms.view(-1, 40, 100) + torch.rand(1)
def pooled(): return lambda waveforms: (waveforms - waveforms.mean(dim=0)).view(-1, 40, 100)
def failing(): return lambda waveforms: waveforms.view(3, 7)
def number(): return 3
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a front end of a function in a file of the user's."""
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def make(name: str, **settings):
        about = {"kind": "module", "module": f"mine.py:{name}", "sample_rate": RATE, "n_samples": SAMPLES}
        return from_settings(about | {"n_fft": 256, "hop": 128} | settings)

    return make


def clips(count: int) -> torch.Tensor:
    return 0.3 * torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "shape", "grid"),
    [
        ("build", (65, 39), (1, 65, 39)),
        ("deltas", (2, 65, 39), (1, 65, 39)),
        ("in_numpy", (1, 40), (1, 1, 40)),
    ],
)
def test_inputs_are_the_module_s_and_heatmaps_lie_on_its_rows_and_columns(made, name, shape, grid) -> None:
    frontend = made(name)
    inputs = frontend(clips(2)).double()
    assert frontend(clips(2)).dtype == torch.float32
    assert (tuple(inputs.shape[1:]), frontend.shape, frontend.grid) == (shape, shape, grid)
    contexts = torch.randn(3, *inputs.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    relevance = frontend.relevance(inputs, contexts)
    assert relevance.shape == (3, 2, *grid)
    torch.testing.assert_close(relevance.sum(dim=(2, 3, 4)), (inputs * contexts).flatten(2).sum(dim=2))
    assert frontend.picture(inputs).shape == (2, *grid[1:])
    assert frontend.gathered(relevance[0]).shape == inputs.shape


def test_the_layout_is_undone(made) -> None:
    plain, turned = made("build", peak_scaling=False), made("timed", layout="time-frequency", peak_scaling=False)
    assert turned.shape == (39, 65) and turned.grid == (1, 65, 39)
    waves = clips(2)
    torch.testing.assert_close(turned.picture(turned(waves)), plain.picture(plain(waves)))
    maps = torch.randn(2, 1, 65, 39)
    torch.testing.assert_close(turned.spread(turned.gathered(maps)), maps)


def test_clips_are_scaled_before_the_module_gets_them(made) -> None:
    frontend, waves = made("build"), clips(2)
    torch.testing.assert_close(frontend(waves), frontend(0.1 * waves))
    torch.testing.assert_close(
        frontend(0.5 * waves[:1], like=waves[0]),
        frontend(waves[:1] * 0.5 / waves[0].abs().max(), like=torch.ones(SAMPLES)),
    )


@pytest.mark.parametrize("settings", [{}, {"n_fft": 480, "hop": 240, "window": "hamming"}, {"n_fft": 128, "hop": 50}])
def test_an_all_ones_mask_returns_the_clip(made, settings) -> None:
    frontend, wave = made("build", **settings), clips(1)[0]
    sound = apply_masks(frontend, wave, torch.ones(1, *frontend.grid[1:]))
    assert si_sdr(sound[0], wave) > 60


def test_a_mask_is_heard_where_its_cells_lie(made) -> None:
    frontend = made("build")
    seconds = torch.arange(SAMPLES) / RATE
    low, high = (torch.sin(2 * math.pi * hertz * seconds) for hertz in (500, 3000))
    rows = torch.zeros(1, *frontend.grid[1:])
    rows[:, frontend.frequencies < 1500] = 1
    assert si_sdr(apply_masks(frontend, low + high, rows)[0], low) > 25
    columns = torch.zeros(1, *frontend.grid[1:])
    columns[..., frontend.times < 0.25] = 1
    sound = apply_masks(frontend, low, columns)[0]
    assert sound[seconds > 0.3].abs().max() < 1e-3 and sound[seconds < 0.2].abs().max() > 0.9


def test_energies_are_those_of_the_clip(made) -> None:
    frontend, waves = made("build"), clips(2)
    whole = frontend.stft(waves).abs().square().sum(dim=(1, 2))
    torch.testing.assert_close(frontend.energies(waves).sum(dim=(1, 2)), whole)


def test_the_energy_of_the_first_of_its_cells_is_known(made) -> None:
    assert holds_what_is_heard(made("build"))  # each cell of the spectrum lies between two rows and two columns


def test_shares_are_numpy_s_interpolation() -> None:
    rng = np.random.default_rng(0)
    centres, places = np.sort(rng.random(7)), rng.random(50) * 1.4 - 0.2
    values = rng.random(7)
    weights = shares(torch.from_numpy(centres).float(), torch.from_numpy(places).float())
    np.testing.assert_allclose(weights.numpy() @ values, np.interp(places, centres, values), atol=1e-5)
    assert shares(torch.ones(1), torch.zeros(3)).tolist() == [[1], [1], [1]]


def test_a_module_that_says_nothing_of_its_cells_is_seen_and_not_heard(made) -> None:
    frontend, wave = made("unplaced"), clips(1)[0]
    assert frontend.frequencies is None and frontend.times is None
    maps = torch.rand(2, *frontend.grid)
    sounds = explanation_sounds(frontend, wave, maps.sum(dim=0), maps, {"percentile": 90, "inverse": "additive"})
    assert list(sounds) == ["input"]
    with pytest.raises(EarmarkError, match=r"mine.py:unplaced does not say where the cells of its inputs lie"):
        frontend.lift(maps[:, 0])


@pytest.mark.parametrize("name", ["build", "deltas"])
def test_networks_behind_it_are_explained_and_scored(made, name) -> None:
    frontend = made(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = nn.Conv1d(65, 4, 3, bias=False) if name == "build" else nn.Conv2d(2, 4, 3, bias=False)
        pool = nn.AdaptiveAvgPool1d(1) if name == "build" else nn.AdaptiveAvgPool2d(1)
        network = nn.Sequential(start, nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    model, waves, targets = Network.around(network, frontend), clips(3), torch.tensor([0, 1, 0])
    inputs = frontend(waves)
    rules = rules_of({"lrp": {"rules": [{"layers": "*", "rule": "epsilon"}]}})
    maps = attributor.heatmaps(model, inputs, targets, rules)
    assert maps.shape == (3, *frontend.grid)
    logits = model.logits(inputs).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(maps.sum(dim=(1, 2, 3)), logits, rtol=1e-3, atol=1e-5)
    flipped = patch_flipping(model, inputs, targets, maps.unsqueeze(1), 16)
    torch.testing.assert_close(flipped.curve[1][:, 0], logits)
    torch.testing.assert_close(flipped.curve[1][:, -1], torch.zeros(3))  # nothing is left, and no bias speaks
    occlude = explainers.build("occlusion", model, "input", {"explainers": {"perturb": {"patch": 16}}}, None, 0)
    parts = occlude(Batch(np.arange(3), waves, inputs, targets, torch.empty(3, 0, 0)))
    assert parts.maps is not None and parts.maps.shape == (3, 1, *frontend.grid)


@pytest.mark.parametrize("name", ["build", "deltas"])
def test_gradients_behind_it_lie_on_its_cells(made, name) -> None:
    frontend = made(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = nn.Conv1d(65, 4, 3) if name == "build" else nn.Conv2d(2, 4, 3)
        network = nn.Sequential(start, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).eval()
        waves, targets = clips(3), torch.tensor([0, 1, 0])
        inputs = frontend(waves)
        network(inputs)
    model, settings = Network.around(network, frontend), fill({})
    batch = Batch(np.arange(3), waves, inputs, targets, torch.empty(3, 0, 0))
    found = {
        method: explainers.build(method, model, layer, settings, None, 0)(batch).maps
        for method, layer in (("integrated-gradients", "input"), ("saliency", "input"), ("gradcam", "0"))
    }
    assert {tuple(maps.shape) for maps in found.values()} == {(3, 1, *frontend.grid)}
    change = (model.logits(inputs) - model.logits(frontend(torch.zeros_like(waves)))).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found["integrated-gradients"].flatten(1).sum(dim=1), change, rtol=0.01, atol=0)


def test_log_mels_by_a_module_have_the_sounds_of_the_front_end(tmp_path, monkeypatch) -> None:
    (tmp_path / "mel.py").write_text(
        "import torch\n"
        "from earmark.sound.logmel import LogMel\n"
        "class Mel(torch.nn.Module):\n"
        "    front = LogMel(8000, 256, 128, n_mels=32, n_frames=33)\n"
        "    frequencies, times = front.frequencies, front.times\n"
        "    def forward(self, waveforms): return self.front(waveforms)\n"
    )
    monkeypatch.chdir(tmp_path)
    plain = LogMel(8000, 256, 128, n_mels=32, n_frames=33)
    about = {"module": "mel.py:Mel", "sample_rate": 8000, "n_samples": 4096, "n_fft": 256, "hop": 128}
    own = from_settings({"kind": "module", **about})
    wave = 0.3 * torch.randn(4096, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own(wave[None]), plain(wave[None]))
    masks = torch.rand(3, 32, 33).cumsum(dim=2) / 33  # smooth in time
    ours, theirs = (apply_masks(front, wave, masks) for front in (own, plain))
    assert min(si_sdr(mine, yours) for mine, yours in zip(ours, theirs, strict=True)) > 15


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("other_rate", "is for 16000 Hz, and frontend.sample_rate is 8000: set it to 16000"),
        ("half", "must give both frequencies and times"),
        ("short", "must give frequencies as 65 ascending numbers, one for each of the rows"),
        ("falling", "must give frequencies as 65 ascending numbers"),
        (
            "flat",
            r"must make inputs \[B, F, T\] or \[B, C, F, T\] of waveforms \[B, S\]; of \[2, 4000\] it makes \[2, 1\]",
        ),
        ("infinite", "makes NaN or infinity of noise"),
        ("noisy", "makes another input of the same clip each time"),
        ("pooled", "depends on the others in its batch"),
        ("failing", "mine.py:failing cannot take waveforms \\[2, 4000\\]: RuntimeError"),
        ("number", "must return a torch.nn.Module, or a function of waveforms, not 3"),
        ("missing", "mine.py has no function missing; write one that returns your front end"),
    ],
)
def test_what_is_no_front_end(made, name, sentence) -> None:
    with pytest.raises(EarmarkError, match=sentence):
        made(name)


def test_another_content_of_its_files_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import beside\n")
    (tmp_path / "beside.py").write_text("")
    first = foreign.contents(f"{path}:build", "frontend.module")
    assert set(first) == {str(path), str(tmp_path / "beside.py")}
    (tmp_path / "beside.py").write_text("A = 1\n")
    again = foreign.contents(f"{path}:build", "frontend.module")
    assert [name for name in first if first[name] != again[name]] == [str(tmp_path / "beside.py")]

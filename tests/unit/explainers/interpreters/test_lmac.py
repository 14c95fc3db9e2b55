"""Masks that keep the answer: what they cost, what they find, and that training leaves the network alone."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.explainers.base import Batch
from earmark.explainers.interpreters import learning, lmac, maskloss
from earmark.explainers.interpreters.learning import LOSS
from earmark.explainers.interpreters.maskloss import BOUNDED, Weights
from earmark.job import Job
from earmark.metrics.masking import scores
from earmark.models import base as models
from earmark.models.base import Network
from earmark.models.checkpoint import Course
from earmark.plan.config import fill
from earmark.sound.base import Frontend
from earmark.sound.kinds import from_settings
from earmark.sound.logmel import LogMel
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.stages import learn, predict
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.conftest import FRONTEND, Trained, copied

SETTINGS = fill({})["explainers"]["lmac"] | {"channels": 4, "direct_steps": 5}
WEIGHTS = Weights.of(SETTINGS)


def noise(count: int, frontend: Frontend = FRONTEND) -> Tensor:
    return torch.randn(count, frontend.clip_samples, generator=torch.Generator().manual_seed(3)) / 5


def batch_of(model: Network, clips: Tensor, stems: Tensor | None = None) -> Batch:
    inputs = model.frontend(clips)
    targets = model.logits(inputs).argmax(dim=1)
    return Batch(np.arange(len(clips)), clips, inputs, targets, clips[:, None, :0] if stems is None else stems)


def masker(model: Network, batch: Batch, guide: lmac.Guide | None = None, **settings) -> lmac.Masker:
    model.network.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lmac.Masker(model, SETTINGS | settings, 1, lambda: batch, guide, batch.clips[:2].tolist())


@pytest.fixture
def model(trained: Trained) -> Network:
    return trained.model.with_network(copy.deepcopy(trained.network).float().requires_grad_(False))


def masks_like(clips: Tensor, frontend: Frontend = FRONTEND) -> Tensor:
    return torch.rand(frontend.stft(clips).shape, generator=torch.Generator().manual_seed(4))


def test_what_passes_and_what_is_held_back_are_the_clip() -> None:
    clips = noise(3)
    masks = masks_like(clips)
    both = maskloss.passed(FRONTEND, clips, masks) + maskloss.passed(FRONTEND, clips, 1 - masks)
    assert torch.allclose(both, clips, atol=1e-5)


def test_all_of_a_clip_keeps_the_answer_and_nothing_of_it_is_silence(model: Network) -> None:
    clips = noise(6)
    batch = batch_of(model, clips)
    ones = torch.ones(FRONTEND.stft(clips).shape)
    told = scores(model, clips, batch.targets, maskloss.passed(FRONTEND, clips, ones))
    assert told["fid_in"].tolist() == [1] * 6 and told["ai"].tolist() == [0] * 6
    assert told["ad"].max() < 1e-3
    silent = model.logits(FRONTEND(torch.zeros(1, FRONTEND.clip_samples))).double()[0]
    heard = maskloss.heard(model, clips, batch.targets, torch.zeros_like(ones))
    for target, odds in zip(batch.targets.tolist(), heard.inside.tolist(), strict=True):
        assert odds == pytest.approx(float(silent[target] - silent[1 - target]), abs=1e-4)


@pytest.mark.parametrize("out", ["ce", BOUNDED])
def test_the_loss_is_that_of_the_paper(model: Network, out: str) -> None:
    clips = noise(4)
    batch, masks = batch_of(model, clips), masks_like(clips)
    weights = Weights.of(SETTINGS | {"variation": 0.5, "out": out})
    found = maskloss.terms(weights, maskloss.heard(model, clips, batch.targets, masks), masks)
    spectra, rows = FRONTEND.stft(clips), torch.arange(4)
    sounds = FRONTEND.istft(masks * spectra)
    p_in, p_out = (
        model.logits(FRONTEND(part, like=clips)).double().softmax(dim=1)[rows, batch.targets].numpy()
        for part in (sounds, clips - sounds)
    )
    m = masks.double().numpy()
    variation = np.abs(np.diff(m, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(m, axis=2)).mean(axis=(1, 2))
    held_back = -np.log(1 - p_out) if out == BOUNDED else np.log(p_out)
    wanted = -4 * np.log(p_in) + 0.2 * held_back + 6.4 * m.mean(axis=(1, 2)) + 0.5 * variation
    np.testing.assert_allclose(found[LOSS].numpy(), wanted, rtol=1e-4)


def test_the_loss_does_not_depend_on_how_many_clips_are_taken(model: Network) -> None:
    clips = noise(3)
    batch = batch_of(model, clips)
    interpreter = masker(model, batch)
    twice = dataclasses.replace(
        batch, **{name: getattr(batch, name).repeat_interleave(2, dim=0) for name in ("waveforms", "inputs", "targets")}
    )
    once, doubled = interpreter.losses(batch), interpreter.losses(twice)
    for name, values in once.items():
        assert torch.allclose(doubled[name], values.repeat_interleave(2), atol=1e-5), name
    assert torch.allclose(doubled[LOSS].mean(), once[LOSS].mean(), atol=1e-6)


def test_the_loss_of_a_sure_network_still_says_what_to_hold_back_if_it_is_bounded() -> None:
    odds = torch.tensor([12.0, -12.0], dtype=torch.float64)
    slopes = {}
    for bounded in (False, True):
        outside = odds.clone().requires_grad_()
        heard = maskloss.Heard(torch.empty(0), torch.empty(0), odds, outside)
        found = maskloss.terms(dataclasses.replace(WEIGHTS, bounded=bounded), heard, torch.zeros(2, 1, 1))
        (slopes[bounded],) = torch.autograd.grad(found["out"].sum(), outside)
    assert slopes[True].tolist() == pytest.approx([1, 0], abs=1e-4)
    assert slopes[False].tolist() == pytest.approx([0, 1], abs=1e-4)


def test_training_changes_the_decoder_alone(model: Network) -> None:
    network = model.network.train()
    batch = batch_of(model, noise(4))
    interpreter = masker(model, batch)
    before = copy.deepcopy(network.state_dict())
    interpreter.losses(batch)[LOSS].mean().backward()
    assert all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in interpreter.network.parameters())


class Band(nn.Module):
    """Answers the first class if rows of the spectrogram are loud."""

    def __init__(self, rows: slice) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.rows = rows

    def forward(self, inputs: Tensor) -> Tensor:
        looked_at = self.conv(inputs).relu()  # by the decoder
        loud = 12 * inputs[:, 0, self.rows].mean(dim=(1, 2)) / 5 - 6
        return torch.stack([loud, 0 * looked_at.mean(dim=(1, 2, 3))], dim=1)


def test_of_a_network_that_hears_one_band_the_mask_is_that_band() -> None:
    frontend = LogMel(16000, 480, 240, n_mels=32, n_frames=32, compression="none")
    rows = slice(18, 23)
    clips = noise(48, frontend)
    torch.manual_seed(0)
    level = frontend(clips)[:, 0, rows].mean() / 5
    model = Network.around(Band(rows), dataclasses.replace(frontend, std=float(level)), ("loud", "not"))
    batch = batch_of(model, clips)
    assert batch.targets.tolist() == [0] * 48
    interpreter = masker(model, batch, channels=8)
    optimizer = torch.optim.Adam(interpreter.network.parameters(), lr=0.03)
    for step in range(100):
        part = learning.taken(batch, torch.arange(16) + 16 * (step % 3), torch.device("cpu"))
        optimizer.zero_grad()
        interpreter.losses(part)[LOSS].mean().backward()
        optimizer.step()
    with torch.no_grad():
        masks, _ = lmac.masked(interpreter.network, interpreter._hidden, model.frontend, batch)
    kept = masks > 0.5
    wanted = frontend.lift(nn.functional.one_hot(torch.arange(18, 23), 32).sum(dim=0).float()[None, :, None])[0] >= 0.5
    wanted = wanted.expand(kept.shape)
    assert float((kept & wanted).sum() / (kept | wanted).sum()) > 0.8


def test_a_mask_found_by_itself_descends_the_loss_and_knows_no_other_clip(model: Network) -> None:
    clips = noise(3)
    batch = batch_of(model, clips)

    def cost_of(some: Batch) -> Callable[[Tensor], Tensor]:
        def cost(masks: Tensor) -> Tensor:
            return maskloss.terms(WEIGHTS, maskloss.heard(model, some.waveforms, some.targets, masks), masks)[LOSS]

        return cost

    start = torch.full(FRONTEND.stft(clips).shape, 0.5)
    few, more = (maskloss.direct(cost_of(batch), start, steps, 0.1) for steps in (2, 40))
    costs = [cost_of(batch)(masks) for masks in (start, few, more)]
    assert (costs[0] > costs[1]).all() and (costs[1] > costs[2]).all()
    alone = maskloss.direct(cost_of(batch.first(1)), start[:1], 2, 0.1)
    assert torch.allclose(alone[0], few[0], atol=1e-3)


def test_trivial_masks_let_as_much_pass_as_the_learned_one(model: Network) -> None:
    amounts = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([3, 20])
    loud = maskloss.loudest(amounts, counts)
    assert loud.sum(dim=(1, 2)).tolist() == [3, 20]
    assert amounts[0][loud[0] > 0].min() > amounts[0][loud[0] == 0].max()
    drawn = maskloss.drawn(amounts, counts, [7, 8], 1)
    assert drawn.sum(dim=(1, 2)).tolist() == [3, 20]
    assert torch.equal(drawn[1:], maskloss.drawn(amounts[1:], counts[1:], [8], 1))


def test_it_is_compared_with_what_learned_nothing_and_some_clips_with_a_search(model: Network) -> None:
    batch = batch_of(model, noise(5))
    interpreter = masker(model, batch)
    found = interpreter.compared(batch)
    assert list(found) == ["one", "zero", "energy", "random", "class-mean", "mask-direct"]
    assert torch.isfinite(torch.stack([found[name] for name in list(found)[:-1]])).all()
    assert torch.isfinite(found["mask-direct"]).tolist() == [True, True, False, False, False]
    for name, share in (("one", 1.0), ("zero", 0.0)):
        masks = torch.full_like(masks_like(batch.waveforms), share)
        heard = maskloss.heard(model, batch.waveforms, batch.targets, masks)
        assert torch.allclose(found[name], maskloss.terms(WEIGHTS, heard, masks)[LOSS], atol=1e-5)


def test_clips_whose_mask_is_near_the_used_objects_are_drawn_to_these_in_the_place_of_small_masks(
    model: Network, monkeypatch
) -> None:
    clips = noise(4)
    quiet = 0.1 * noise(8)[4:]
    stems = torch.stack([clips - quiet, quiet], dim=1)
    batch = batch_of(model, clips, stems)
    monkeypatch.setattr(lmac, "drops", lambda *asked: torch.tensor([1.0, 0.0]))  # the first is used, the other not
    masks = masks_like(clips)
    wanted, whole = (maskloss.logarithms(FRONTEND, sounds, clips) for sounds in (stems[:, 0], clips))
    cosines = maskloss.likeness(wanted, masks * whole)
    third = float(cosines.sort().values[1])
    guide = lmac.Guide(model, SETTINGS | {"guide_from": third})
    assert guide.used(batch).tolist() == [[True, False]] * 4
    near, cost = guide(batch, masks)
    assert int(near.sum()) == 3 and bool(near[cosines.argsort()[1]])  # the one at the threshold is drawn
    above = lmac.Guide(model, SETTINGS | {"guide_from": math.nextafter(third + 1e-6, 2)})
    assert int(above(batch, masks)[0].sum()) == 2
    cells = (wanted >= 0.35 * wanted.amax(dim=(1, 2), keepdim=True)).double()
    m = masks.double().clamp(lmac.CERTAIN, 1 - lmac.CERTAIN)
    entropy = -(cells * m.log() + (1 - cells) * (1 - m).log()).mean(dim=(1, 2))
    assert torch.allclose(cost.double(), 4 * entropy, atol=1e-5)

    interpreter = masker(model, batch, guide)
    plain, _ = masker(model, batch)._told(batch, masks)
    guided, _ = interpreter._told(batch, masks)
    change = torch.where(near, cost - 6.4 * masks.mean(dim=(1, 2)), 0.0)
    assert torch.allclose(guided[LOSS] - plain[LOSS], change.double(), atol=1e-5)


def test_a_clip_of_which_no_object_is_used_is_not_drawn(model: Network, monkeypatch) -> None:
    clips = noise(2)
    batch = batch_of(model, clips, clips[:, None])
    monkeypatch.setattr(lmac, "drops", lambda *asked: torch.zeros(1))
    near, cost = lmac.Guide(model, SETTINGS)(batch, masks_like(clips))
    assert not near.any() and torch.isfinite(cost).all()


def test_the_share_of_a_sound_is_told_cell_by_cell() -> None:
    clips = noise(2)
    clips[1] = 0
    found = maskloss.shares(FRONTEND, clips, clips / 2)
    assert torch.allclose(found[0], torch.tensor(0.25), atol=1e-5)
    assert not found[1].any()
    assert maskloss.shares(FRONTEND, clips, 2 * clips).max() == 1


MINE = """
import torch

class Mine(torch.nn.Module):
    frequencies = torch.linspace(0, 8000, 33)
    times = torch.arange(30) * 0.01

    def forward(self, waveforms):
        window = torch.hann_window(64)
        return torch.stft(waveforms, 64, 160, window=window, center=False, return_complex=True).abs()[..., :30]

def build(): return Mine()
def of_numbers(): return lambda waveforms: torch.from_numpy(Mine()(waveforms).numpy() + 1)
"""


class Pair(nn.Module):
    """Two convolutions of as many directions as an input has."""

    def __init__(self, directions: int) -> None:
        super().__init__()
        made = {1: nn.Conv1d, 2: nn.Conv2d}[directions]
        self.first, self.second, self.directions = made(1, 4, 5, stride=3), made(4, 6, 3), directions

    def forward(self, inputs: Tensor) -> Tensor:
        cells = inputs if inputs.dim() == self.directions + 2 else inputs.unsqueeze(1)
        found = self.second(self.first(cells).relu()).relu().flatten(2).mean(dim=2)
        return torch.stack([found[:, :3].sum(dim=1), found[:, 3:].sum(dim=1)], dim=1)


@pytest.fixture
def ends(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FRONTENDS = {
    "waveform": lambda: Waveform(8000, 2000, n_fft=64, hop=32),
    "decibels": lambda: Stft(8000, 64, 32, n_frames=40, compression="db", top_db=80.0, n_bins=30),
    "time first": lambda: LogMel(8000, 128, 64, n_mels=16, n_frames=30, layout="time-frequency"),
    "of one's own": lambda: from_settings(
        {"kind": "module", "module": "mine.py:build", "sample_rate": 16000, "n_samples": 5000, "n_fft": 64, "hop": 32}
    ),
}


@pytest.mark.parametrize("kind", FRONTENDS)
def test_any_front_end_is_learned_through(ends: Path, kind: str) -> None:
    frontend = FRONTENDS[kind]()
    clips = noise(3, frontend)
    clips[:, : frontend.clip_samples // 2] = 0  # of which a logarithm has no slope
    torch.manual_seed(0)
    model = Network.around(Pair(1 if kind == "waveform" else 2), frontend, ("a", "b"))
    interpreter = masker(model, batch_of(model, clips))
    interpreter.losses(batch_of(model, clips))[LOSS].mean().backward()
    slopes = [weight.grad for weight in interpreter.network.parameters()]
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert all(slope.abs().sum() > 0 for slope in slopes)


def test_a_front_end_that_hands_on_no_gradient_is_refused_with_a_sentence(ends: Path) -> None:
    settings = {"kind": "module", "module": "mine.py:of_numbers", "sample_rate": 16000, "n_samples": 5000}
    frontend = from_settings(settings)
    model = Network.around(Pair(2), frontend, ("a", "b"))
    with pytest.raises(EarmarkError, match="no gradient passes the front end"):
        lmac.build("mask-direct", model, "input", {"explainers": {"lmac": SETTINGS}}, None, 0)


def job_of(layout: Layout, method: str) -> Job:
    tiny = {"epochs": 2, "batch_size": 16, "clips": 32, "channels": 4, "direct_clips": 4, "direct_steps": 2}
    settings = fill({"explainers": {"lmac": tiny}})
    return Job("learn", layout.results, layout.dataset, settings | {"seed": 0}, split="main", method=method)


@pytest.fixture
def with_stems(noisy: Layout, tmp_path: Path) -> Layout:
    layout = copied(noisy, tmp_path)
    clips = np.load(layout.clips)
    np.save(layout.stems, np.stack([clips // 2, clips - clips // 2]))
    predict.run(Job("predict", layout.results, layout.dataset, {"seed": 0}, split="main"))
    return layout


def test_a_training_that_was_killed_ends_with_the_same_bytes_and_one_goes_on_from_it(
    with_stems: Layout, monkeypatch
) -> None:
    names = ("model.safetensors", "history.csv", "validation.csv")
    whole = {}
    for method in ("lmac", "lmac-ft"):
        folder = with_stems.trained("main", method)
        learn.run(job_of(with_stems, method))
        whole[method] = [(folder / name).read_bytes() for name in names]
        for name in (*names, "cost.csv"):
            (folder / name).unlink()
        ended = Course.ended

        def die(self, row, best, ended=ended) -> None:
            ended(self, row, best)
            raise KeyboardInterrupt

        monkeypatch.setattr(Course, "ended", die)
        with pytest.raises(KeyboardInterrupt):
            learn.run(job_of(with_stems, method))
        monkeypatch.undo()
        learn.run(job_of(with_stems, method))
        assert [(folder / name).read_bytes() for name in names] == whole[method]
    history = artifacts.read_csv(with_stems.trained("main", "lmac-ft") / "history.csv").astype(float)
    assert {"validation_guided", "validation_energy", "validation_fid_in", "validation_ff"} <= set(history)
    rows = artifacts.read_csv(with_stems.trained("main", "lmac") / "validation.csv")
    assert (rows["what"] == "mask-direct").sum() == 4
    assert (rows["what"] == "interpreter").sum() == (rows["what"] == "one").sum() == 16


def test_fine_tuning_begins_with_what_it_starts_from(with_stems: Layout) -> None:
    learn.run(job_of(with_stems, "lmac"))
    material = learning.material(job_of(with_stems, "lmac-ft"))
    started = lmac.interpreter("lmac-ft", material).network.state_dict()
    learned, _ = artifacts.read_tensors(with_stems.trained("main", "lmac") / "model.safetensors")
    assert all(torch.equal(started[name], tensor) for name, tensor in learned.items())


def test_the_networks_layers_can_be_named(with_stems: Layout) -> None:
    model = models.load(with_stems.model("main"))
    assert masker(model, batch_of(model, noise(1)), layers=["conv1"]).about["layers"] == ["conv1"]
    assert masker(model, batch_of(model, noise(1))).about["layers"] == ["conv1", "conv2", "conv3"]

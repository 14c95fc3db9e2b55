"""Masks in time and frequency that are learned: what they may look at, what they lose, what is heard."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from earmark.explainers.base import Batch
from earmark.explainers.interpreters import lmactd
from earmark.explainers.interpreters.lmactd import amount, losses, loudest
from earmark.explainers.interpreters.maskloss import shares
from earmark.job import Job
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.sound.logmel import LogMel
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.stages import learn
from earmark.store import artifacts
from tests.unit.conftest import copied

SMALL = {"chunk": 8, "heads": 2, "head_width": 4, "feedforward": 8}

SETTINGS = fill({"explainers": {"lmactd": SMALL}})["explainers"]["lmactd"]

RATE, SAMPLES = 4000, 1005
"""An odd length, no whole number of frames."""

FRONTENDS = {
    "samples": Waveform(RATE, SAMPLES, n_fft=64, hop=32),
    "mel bands": LogMel(RATE, 64, 32, n_mels=16, n_frames=31),
    "bins, time first": Stft(RATE, 64, 32, n_frames=31, layout="time-frequency", compression="db", spectrum="power"),
}


def network_of(frontend) -> nn.Sequential:
    """Make a small network for inputs of a front end, with two convolutions."""
    two = len(frontend.shape) == 3
    convolution, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if two else (nn.Conv1d, nn.AdaptiveAvgPool1d)
    size = 3 if two else 9
    return nn.Sequential(
        convolution(1, 4, size, stride=2), nn.ReLU(), convolution(4, 6, size, stride=2), nn.ReLU(), pool(1),
        nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


def explained(kind: str, method: str = "lmac-td", **settings) -> lmactd.Explained:
    """Make what is trained for a model of a front end, with new weights."""
    frontend = FRONTENDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Network.around(network_of(frontend).eval().requires_grad_(False), frontend, ("a", "b", "c"))
        shown = batch_of(kind, 4)
        material = SimpleNamespace(
            model=model,
            settings=SETTINGS | settings,
            job=SimpleNamespace(dataset="demo", seed=lambda *labels: 0),
            device=torch.device("cpu"),
            training=shown,
            validation=shown,
        )
        return lmactd.interpreter(method, material)


def batch_of(kind: str, count: int) -> Batch:
    frontend = FRONTENDS[kind]
    waveforms = torch.randn(count, frontend.clip_samples, generator=torch.Generator().manual_seed(8)) / 8
    return Batch(
        np.arange(count), waveforms, frontend(waveforms), torch.arange(count) % 3, waveforms.new_empty(count, 0, 0)
    )


@pytest.mark.parametrize("kind", FRONTENDS)
def test_it_learns_through_any_front_end_and_leaves_the_model_alone(kind) -> None:
    made, batch = explained(kind), batch_of(kind, 3)
    before = {name: weight.clone() for name, weight in made.model.network.state_dict().items()}
    told = made.losses(batch)
    told["loss"].mean().backward()
    assert made.sounds(batch).shape == batch.waveforms.shape
    assert all(values.shape == (3,) and torch.isfinite(values).all() for values in told.values())
    gradients = [weight.grad for weight in made.network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert all(weight.grad is None for weight in made.model.network.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in made.model.network.state_dict().items())


@pytest.mark.parametrize("kind", FRONTENDS)
def test_silence_is_learned_from_without_harm(kind) -> None:
    made, batch = explained(kind), batch_of(kind, 2)
    waveforms = batch.waveforms.clone()
    waveforms[0], waveforms[1, :500] = 0, 0
    silent = Batch(batch.clips, waveforms, FRONTENDS[kind](waveforms), batch.targets, batch.stems)
    made.losses(silent)["loss"].mean().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in made.network.parameters())
    assert made.sounds(silent)[0].abs().max() == 0
    assert torch.isfinite(shares(FRONTENDS[kind], waveforms, made.sounds(silent))).all()


def test_alpha_says_what_a_mask_may_look_at() -> None:
    batch = batch_of("mel bands", 2)
    for method, sees_hidden, sees_clip in (
        ("lmac-td", True, True),
        ("lmac-td-hidden", True, False),
        ("lmac-td-signal", False, True),
    ):
        made = explained("mel bands", method)
        encoded = made.network.codec.encode(batch.waveforms)
        maps = made._hidden(batch.inputs)
        mask = made.network.mask(encoded, maps)
        others = made._hidden(batch.inputs.flip(0))
        assert torch.equal(mask, made.network.mask(encoded, others)) != sees_hidden
        assert torch.equal(mask, made.network.mask(encoded.flip(0), maps)) != sees_clip


def test_a_mask_of_ones_gives_the_clip_back(monkeypatch) -> None:
    made, batch = explained("mel bands"), batch_of("mel bands", 2)
    monkeypatch.setattr(made.network, "mask", lambda encoded, maps: torch.ones(()))
    assert torch.allclose(made.sounds(batch), batch.waveforms, atol=1e-6)
    assert torch.allclose(shares(made.model.frontend, batch.waveforms, made.sounds(batch)), torch.ones(()), atol=1e-4)


def test_sounds_are_as_loud_as_clips_are() -> None:
    made, batch = explained("samples", "lmac-td-signal"), batch_of("samples", 2)
    louder = Batch(batch.clips, 3 * batch.waveforms, batch.inputs, batch.targets, batch.stems)
    assert torch.allclose(made.sounds(louder), 3 * made.sounds(batch), rtol=1e-3, atol=1e-5)


def test_the_loss_is_that_of_the_paper() -> None:
    made, batch = explained("mel bands"), batch_of("mel bands", 3)
    frontend, clips = made.model.frontend, batch.waveforms
    sounds = clips * torch.tensor([0.9, 0.5, 0.1]).unsqueeze(1)
    found, _ = losses(made.model, batch, sounds, SETTINGS | {"out": "ce"})

    def entropy(heard: torch.Tensor, clip: int) -> float:
        logits = made.model.logits(frontend(heard[None], like=clips[clip : clip + 1]))[0].double()
        return float(logits.logsumexp(0) - logits[batch.targets[clip]])

    for clip in range(3):
        peak = float(clips[clip].abs().max())
        heard = np.log1p(frontend.stft(sounds[clip : clip + 1] / peak)[0].abs().double().numpy()).mean()
        inside, outside = entropy(sounds[clip], clip), entropy(clips[clip] - sounds[clip], clip)
        assert float(found["loss"][clip]) == pytest.approx(5 * inside - 0.2 * outside + 6 * heard, rel=1e-4)


def test_a_clip_loses_what_it_loses_alone() -> None:
    made, batch = explained("mel bands"), batch_of("mel bands", 3)
    alone = made.losses(batch.first(1))["loss"]
    assert torch.allclose(made.losses(batch)["loss"][:1], alone, atol=1e-5)


def test_silence_around_a_clip_makes_no_explanation_cheaper() -> None:
    frontend, longer = Waveform(RATE, 640, n_fft=64, hop=32), Waveform(RATE, 1600, n_fft=64, hop=32)
    clips = torch.randn(2, 640, generator=torch.Generator().manual_seed(1))
    clips[:, :64] = clips[:, -64:] = 0
    padded = nn.functional.pad(clips, (480, 480))
    assert torch.allclose(amount(frontend, clips, clips / 2), amount(longer, padded, padded / 2), rtol=1e-5)
    assert amount(frontend, torch.zeros(1, 640), torch.zeros(1, 640)).item() == 0


def test_the_loudest_cells_hold_as_much_energy_as_the_explanation() -> None:
    frontend, clips = FRONTENDS["mel bands"], batch_of("mel bands", 3).waveforms
    sounds = clips * torch.tensor([0.8, 0.4, 0.0]).unsqueeze(1)
    held = loudest(frontend, clips, sounds).square().sum(dim=1) / clips.square().sum(dim=1)
    assert held.tolist() == pytest.approx([0.64, 0.16, 0], abs=0.06)
    told = explained("mel bands").compared(batch_of("mel bands", 3))
    assert list(told) == ["allpass", "silence", "energy"]


def test_a_learned_encoder_learns_first_and_stays_as_it_is() -> None:
    options = {"encoder": "learned", "filters": 24, "stride": 4, "overlap": 2, "encoder_epochs": 400}
    made, batch = explained("samples", "lmac-td-signal", **options), batch_of("samples", 3)
    made.losses(batch)["loss"].mean().backward()
    assert made.about["encoder"] >= 20
    assert all(weight.grad is None for weight in made.network.codec.parameters())
    assert {f"codec.{name}" for name in made.network.codec.state_dict()} <= set(made.network.state_dict())


def test_a_mask_finds_the_band_that_a_model_listens_to() -> None:
    """What is heard is the band, and the rest is left out: the one thing that the loss asks for."""
    frontend = FRONTENDS["mel bands"]

    class Band(nn.Module):
        """Answers by the mean of five bands, in which sound says the second class."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            said = inputs[:, 0, 8:13].mean(dim=(1, 2))  # log10 magnitudes
            return torch.stack([torch.zeros_like(said), 4 * said], dim=1)

    model = Network.around(Band(), frontend, ("quiet", "loud"))
    clips = torch.randn(32, frontend.clip_samples, generator=torch.Generator().manual_seed(5)) / 8
    batch = Batch(np.arange(32), clips, frontend(clips), torch.ones(32, dtype=torch.long), clips.new_empty(32, 0, 0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = lmactd.masker("lmac-td-signal", frontend, SETTINGS, [])
    made = lmactd.Explained(model, network, {"layers": []}, SETTINGS)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        made.losses(batch)["loss"].mean().backward()
        optimizer.step()
    with torch.no_grad():
        cells = shares(frontend, clips, made.sounds(batch)).mean(dim=(0, 2))  # [16 bands]
    others = torch.cat([cells[:6], cells[15:]])
    assert float(cells[8:13].mean()) > 3 * float(others.mean())


@pytest.fixture
def project(noisy, tmp_path):
    return copied(noisy, tmp_path)


def job_of(layout, method: str = "lmac-td") -> Job:
    config = fill({"explainers": {"lmactd": SMALL | {"epochs": 2, "clips": 24, "layers": ["conv1", "conv3"]}}})
    shared = {"seed": 0, "torch_threads": 1, "explainers": config["explainers"]}
    return Job("learn", layout.results, layout.dataset, shared, split="main", method=method)


def test_a_training_that_was_killed_ends_with_the_same_bytes(project, monkeypatch) -> None:
    job = job_of(project)
    folder = project.trained("main", "lmac-td")
    learn.run(job)
    names = ("model.safetensors", "history.csv", "validation.csv")
    whole = {name: (folder / name).read_bytes() for name in names}
    ended = learn.Course.ended

    def killed(course, row, best) -> None:
        ended(course, row, best)
        raise KeyboardInterrupt

    monkeypatch.setattr(learn.Course, "ended", killed)
    with pytest.raises(KeyboardInterrupt):
        learn.run(job)
    monkeypatch.undo()
    for name in names:
        (folder / name).unlink()
    learn.run(job)
    assert {name: (folder / name).read_bytes() for name in names} == whole
    history = artifacts.read_csv(folder / "history.csv")
    assert len(history) == 2
    assert set(artifacts.read_csv(folder / "validation.csv")["what"]) == {"interpreter", "allpass", "silence", "energy"}

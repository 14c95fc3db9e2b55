"""Imitations by components of sound: what they answer, what is heard of them, and what training changes."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers.base import Batch, Learned
from earmark.explainers.interpreters import components, l2i, learning, nmf
from earmark.explainers.interpreters.components import Imitator, Psi
from earmark.job import Job
from earmark.metrics.masking import scores
from earmark.models import base as models
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.stages import learn
from earmark.store import artifacts
from tests.unit.conftest import FRONTEND, copied

OWN = {"components": 6, "channels": 4, "clips": 24, "epochs": 2, "batch_size": 8}


def settings(**changes) -> dict:
    return fill({"explainers": {"l2i": OWN | changes}}) | {"seed": 0}


def job_of(layout, method="l2i", **changes) -> Job:
    config = settings(**changes) | {"torch_threads": 1}
    return Job("learn", layout.results, layout.dataset, config, split="main", method=method)


@pytest.fixture(scope="module")
def interpreter(noisy) -> l2i.Interpreter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return l2i.interpreter("l2i", learning.material(job_of(noisy)))


@pytest.fixture(scope="module")
def state(interpreter) -> Learned:
    weights = {name: tensor.clone() for name, tensor in interpreter.network.state_dict().items()}
    weights["imitator.psi.last.bias"] += 0.05  # every component sounds somewhere
    return Learned(weights, interpreter.about, parts=4)


@pytest.fixture(scope="module")
def clips(noisy) -> Batch:
    return learning.material(job_of(noisy)).validation.first(6)


@pytest.fixture(scope="module")
def model(noisy) -> Network:
    return models.load(noisy.model("main"))


def test_contributions_sum_to_the_answer_and_relevance_keeps_their_signs(model, state, clips):
    found = l2i.imitation("l2i", model, settings(), state)
    heard = found(clips.inputs)
    pooled = found.imitator.pooled(heard.activations)
    assert torch.allclose(heard.contributions.sum(dim=2), found.imitator.theta(pooled), atol=1e-5)
    assert torch.allclose(heard.contributions, pooled[:, None] * found.imitator.theta.weight)
    own = heard.of(clips.targets)
    for given in (own, -own.abs(), own.abs(), torch.zeros_like(own)):
        relevance = components.relevance(given)
        assert (relevance.abs() <= 1).all()
        assert torch.equal(relevance.sign(), given.sign())
        assert (relevance.abs().amax(dim=1)[given.abs().amax(dim=1) > 0] == 1).all()


def test_masks_of_all_parts_sum_to_1_where_the_model_is_above_0():
    generator = torch.Generator().manual_seed(1)
    dictionary, activations = torch.rand(7, 4, generator=generator), torch.rand(2, 4, 5, generator=generator)
    dictionary[3] = 0  # a bin of nobody
    activations[:, :, 2] = 0  # and a frame
    masks = components.mask(dictionary, activations, torch.eye(4).expand(2, 4, 4))
    whole = masks.sum(dim=1)
    nobody = torch.zeros(2, 7, 5, dtype=torch.bool)
    nobody[:, 3], nobody[:, :, 2] = True, True
    assert torch.allclose(whole[~nobody], torch.ones(()))
    assert (masks >= 0).all() and (whole[nobody] == 0).all()


def test_parts_sum_to_the_clip_and_their_maps_to_the_imitators_logit(model, state, clips):
    explain = explainers.build("l2i-parts", model, "input", settings(), state, 0)
    parts = explain(clips)
    assert parts.sounds.shape == (6, 4, FRONTEND.clip_samples)
    assert torch.allclose(parts.sounds.sum(dim=1), clips.waveforms, atol=1e-5)
    logits = l2i.imitation("l2i-parts", model, settings(), state)(clips.inputs).of(clips.targets).sum(dim=1)
    assert torch.allclose(parts.maps.sum(dim=(1, 2, 3, 4)), logits, rtol=1e-3, atol=1e-4)


def test_the_rest_holds_what_no_component_has(model, state, clips):
    """A dictionary that knows high frequencies only leaves the others to the last part."""
    weights = dict(state.weights)
    weights["imitator.dictionary"] = weights["imitator.dictionary"].clone()
    weights["imitator.dictionary"][:100] = 0
    explain = explainers.build("l2i-parts", model, "input", settings(), dataclasses.replace(state, weights=weights), 0)
    sounds = explain(clips).sounds
    assert torch.allclose(sounds.sum(dim=1), clips.waveforms, atol=1e-5)
    power = FRONTEND.stft(sounds.flatten(0, 1)).abs().square().unflatten(0, (6, 4))[..., :90, :].sum(dim=(2, 3))
    assert (power[:, :3].sum(dim=1) < 1e-3 * power[:, 3]).all()


def test_components_are_parts_in_the_order_of_their_weight_in_training(model, state, clips):
    about = state.about | {"contributions": [[0, 3, 1, 2, -1, 0], [5, 4, 3, 2, 1, 0]]}
    explain = explainers.build("l2i-parts", model, "input", settings(), dataclasses.replace(state, about=about), 0)
    given = dataclasses.replace(clips, targets=torch.tensor([0, 1, 0, 1, 0, 1]))
    own = l2i.imitation("l2i", model, settings(), state)(clips.inputs).of(given.targets)
    wanted = own.gather(1, torch.tensor([[1, 3, 2], [0, 1, 2]]).repeat(3, 1))
    assert torch.allclose(explain(given).maps[:, :3].sum(dim=(2, 3, 4)), wanted, rtol=1e-3, atol=1e-5)


def test_below_every_threshold_all_is_heard_and_what_is_left_is_silence(model, state, clips):
    explain = explainers.build("l2i", model, "input", settings(threshold=-10), state, 0)
    sounds = explain(clips).sounds[:, 0]
    assert torch.allclose(sounds, clips.waveforms, atol=1e-5)
    silence = torch.zeros_like(clips.waveforms)
    alone = scores(model, clips.waveforms, clips.targets, clips.waveforms)
    found = scores(model, clips.waveforms, clips.targets, sounds)
    answered = model.logits(FRONTEND(silence, like=clips.waveforms)).detach().double()
    assert alone["logodds_out"].to_numpy() == pytest.approx(
        np.array([float(row[c] - row[1 - c]) for row, c in zip(answered, clips.targets, strict=True)]), abs=1e-4
    )
    assert found["ff"].to_numpy() == pytest.approx(alone["ff"].to_numpy(), abs=0.05)


def test_above_the_threshold_is_heard_what_speaks_for_the_class(model, state, clips):
    found = l2i.imitation("l2i", model, settings(), state)
    heard = found(clips.inputs)
    chosen = components.relevance(heard.of(clips.targets)) > 0.2
    assert chosen.any() and not chosen.all()
    wanted = FRONTEND.istft(found.masks(heard, chosen.float()[:, None])[:, 0] * FRONTEND.stft(clips.waveforms))
    parts = explainers.build("l2i", model, "input", settings(), state, 0)(clips)
    assert torch.allclose(parts.sounds[:, 0], wanted, atol=1e-6)
    power, whole = FRONTEND.energies(wanted), FRONTEND.energies(clips.waveforms)
    sounding = whole > 1e-12
    assert torch.allclose(parts.maps[:, 0, 0][sounding], (power / whole)[sounding].clamp_max(1), rtol=1e-3, atol=1e-5)


def test_psi_knows_of_a_clip_what_the_network_knows(model, state, clips):
    found = l2i.imitation("l2i", model, settings(), state)
    maps, _ = found.look(clips.inputs)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    heard = found.imitator.psi(maps)
    assert torch.allclose(found.imitator.psi([one[order] for one in maps]), heard[order], atol=1e-6)
    assert not torch.allclose(heard[order], heard, atol=1e-3)


def by_hand(interpreter: l2i.Interpreter, waveform: np.ndarray, logits, heard: np.ndarray, answers) -> float:
    """The loss of a clip, in numpy."""
    magnitudes = np.abs(FRONTEND.stft(torch.from_numpy(waveform / np.abs(waveform).max())[None])[0].numpy())
    frames = (magnitudes.max(axis=0) > 1e-4 * magnitudes.max()).sum()
    wanted = np.log1p(magnitudes)
    given, said = (np.exp(one) / np.exp(one).sum() for one in (logits, answers))
    far = ((wanted - interpreter.network.imitator.dictionary.numpy() @ heard) ** 2).sum() / frames / len(wanted)
    return float(-(given * np.log(said)).sum() + 10 * far + 0.8 * heard.sum() / frames / len(heard))


def test_the_loss_is_that_of_ten_lines(interpreter, clips):
    interpreter.network.eval()
    with torch.no_grad():
        maps, logits = interpreter.look(clips.inputs)
        heard = interpreter.network.imitator.psi(maps)
        answers = interpreter.network.imitator.theta(interpreter.network.imitator.pooled(heard))
        losses = interpreter.losses(clips)
    for row in range(len(clips.clips)):
        given = (one[row].numpy() for one in (clips.waveforms, logits, heard, answers))
        assert float(losses["loss"][row]) == pytest.approx(by_hand(interpreter, *given), rel=1e-4)
    again = Batch(np.tile(clips.clips, 2), *(torch.cat([getattr(clips, name)] * 2) for name in TENSORS))
    with torch.no_grad():
        twice = interpreter.losses(again)["loss"]
    assert torch.allclose(twice, losses["loss"].repeat(2), rtol=1e-4)
    assert torch.equal(losses["fidelity"], (answers.argmax(dim=1) == logits.argmax(dim=1)).float())


TENSORS = ("waveforms", "inputs", "targets", "stems")


def test_silence_at_the_end_changes_no_loss(interpreter, clips):
    """Where nothing sounds and nothing is heard, a clip of half the length has the same loss."""
    loud = clips.waveforms.clone()
    loud[:, FRONTEND.clip_samples // 2 :] = 0
    heard = torch.rand(6, 6, FRONTEND.n_frames, generator=torch.Generator().manual_seed(0))
    heard[..., FRONTEND.n_frames // 2 :] = 0
    logits = torch.zeros(6, 2)
    whole = interpreter._losses(dataclasses.replace(clips, waveforms=loud), logits, heard)
    repeated = interpreter._losses(
        dataclasses.replace(clips, waveforms=loud + loud.roll(FRONTEND.clip_samples // 2, dims=1)),
        logits,
        heard + heard.roll(FRONTEND.n_frames // 2, dims=2),
    )
    for name in ("reconstruction", "sparsity"):
        assert torch.allclose(whole[name], repeated[name], rtol=0.2)  # frames at the cut


def test_questions_of_their_own_have_a_cross_entropy_each():
    logits = torch.tensor([[0.5, -1.0, 2.0]])
    said = torch.tensor([[0.1, 0.2, -0.3]])
    p, q = logits.sigmoid().numpy(), said.sigmoid().numpy()
    wanted = -(p * np.log(q) + (1 - p) * np.log(1 - q)).sum()
    assert float(l2i.crossed(l2i.probabilities(logits, True), said, True)) == pytest.approx(float(wanted))
    assert float(l2i.crossed(l2i.probabilities(logits, False), logits, False)) == pytest.approx(
        float(torch.distributions.Categorical(logits=logits).entropy())
    )


def test_who_hears_nothing_answers_every_class_alike(interpreter, clips):
    silent = interpreter.compared(clips)["silence"]
    magnitudes = nmf.magnitudes(FRONTEND, clips.waveforms)
    frames = nmf.sounding(magnitudes).sum(dim=1)
    far = torch.log1p(magnitudes).square().sum(dim=(1, 2)) / frames / magnitudes.shape[1]
    assert torch.allclose(silent, math.log(2) + 10 * far, rtol=1e-4)


@pytest.mark.parametrize("pooling", components.POOLINGS)
def test_a_maximum_over_time_is_no_mean(pooling):
    torch.manual_seed(0)
    psi = Psi([torch.rand(2, 3, 4, 5)], 2, 3, 10, 1.0)
    imitator = Imitator(psi, torch.rand(7, 3), 2, pooling).eval()
    activations = torch.zeros(1, 3, 10)
    activations[0, 1, 4] = 5.0
    pooled = imitator.pooled(activations)[0]
    assert pooled[0] == pooled[2] == 0
    assert pooled[1] == 5 if pooling == components.MAXIMUM else 0 < pooled[1] < 5
    flat = torch.full((1, 3, 10), 2.0)
    assert torch.allclose(imitator.pooled(flat), torch.full((1, 3), 2.0))


def network_of(kind: str) -> Network:
    """Networks whose hidden outputs lie in time, in the other layout, and nowhere."""
    torch.manual_seed(1)
    if kind == "waveform":
        frontend = Waveform(8000, 4000)
        network = nn.Sequential(nn.Conv1d(1, 3, 9, 4), nn.ReLU(), nn.Conv1d(3, 5, 9, 4), nn.ReLU(), nn.Flatten())
        size = network(torch.zeros(1, *frontend.shape)).shape[1]
        return Network.around(network.append(nn.Linear(size, 3)), frontend, ("a", "b", "c"))
    frontend = Stft(8000, 256, 128, n_frames=20, layout="time-frequency")
    network = nn.Sequential(nn.Conv2d(1, 3, 3, 2), nn.ReLU(), nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten())
    size = network(torch.zeros(1, *frontend.shape)).shape[1]
    return Network.around(network.append(nn.Linear(size, 6)).append(nn.ReLU()).append(nn.Linear(6, 3)), frontend)


@pytest.mark.parametrize(
    ("kind", "layers", "shapes"),
    [
        ("waveform", None, [(3, 1, 998), (5, 1, 248)]),
        ("spectrogram", None, [(3, 64, 9), (4, 31, 4)]),
        ("spectrogram", ["2", "5"], [(4, 31, 4), (6, 1, 1)]),
    ],
)
def test_any_hidden_map_can_be_looked_at(kind, layers, shapes):
    model = network_of(kind)
    named = tuple(learning.hidden_layers(model, layers, 3, "here"))
    look = l2i.Look(model.hidden(named), named, model.frontend.layout)
    inputs = torch.randn(2, *model.frontend.shape)
    maps, logits = look(inputs)
    assert [tuple(one.shape[1:]) for one in maps] == shapes
    assert torch.allclose(logits, model.logits(inputs), atol=1e-6)
    assert Psi(maps, 4, 5, 33, 1.0)(maps).shape == (2, 5, 33)


def test_more_parts_than_components_are_refused(model, state):
    with pytest.raises(EarmarkError, match=r"^7 parts cannot be made of 6 components"):
        explainers.build("l2i-parts", model, "input", settings(), dataclasses.replace(state, parts=7), 0)


@pytest.mark.parametrize("method", ["l2i", "l2i-by-design"])
def test_training_changes_the_network_by_design_alone(noisy, tmp_path, method):
    layout = copied(noisy, tmp_path)
    before = layout.model("main").read_bytes()
    learn.run(job_of(layout, method))
    folder = layout.trained("main", method)
    weights, told = artifacts.read_tensors(folder / "model.safetensors")
    assert layout.model("main").read_bytes() == before
    own, _ = artifacts.read_tensors(layout.model("main"))
    if method == "l2i":
        assert not any(name.startswith("network.") for name in weights)
    else:
        assert any(not torch.equal(weights[f"network.{name}"], tensor) for name, tensor in own.items())
    history = artifacts.read_csv(folder / "history.csv").astype(float)
    assert len(history) == 2
    assert np.isfinite(history.to_numpy()).all()
    assert ("validation_network_accuracy" in history) == (method != "l2i")
    assert np.shape(told["about"]["contributions"]) == (2, 6)
    held = artifacts.read_csv(folder / "validation.csv")
    assert set(held["what"]) == {"interpreter", "silence"}
    model = models.load(layout.model("main"))
    found = l2i.imitation(method, model, settings(), explainers.learned(folder))
    assert (found.model is model) == (method == "l2i")


def test_a_killed_training_ends_with_the_same_bytes(noisy, tmp_path, monkeypatch):
    whole, killed = (copied(noisy, tmp_path / name) for name in ("whole", "killed"))
    learn.run(job_of(whole))
    ended = learning.Course.ended

    def end_and_die(course, row, best):
        ended(course, row, best)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learning.Course, "ended", end_and_die)
        with pytest.raises(KeyboardInterrupt):
            learn.run(job_of(killed))
    learn.run(job_of(killed))
    for name in ("model.safetensors", "history.csv", "validation.csv"):
        first, second = (layout.trained("main", "l2i") / name for layout in (whole, killed))
        assert first.read_bytes() == second.read_bytes()


def test_fewer_frames_than_components_stop_the_training(noisy):
    with pytest.raises(EarmarkError, match="components cannot be learned from"):
        l2i.interpreter("l2i", learning.material(job_of(noisy, components=400, clips=4)))

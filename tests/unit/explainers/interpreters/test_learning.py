"""The loop that interpreters learn in: what it descends, what it keeps, and that a kill changes nothing."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.explainers.base import Batch
from earmark.explainers.interpreters import learning
from earmark.models.base import Network
from earmark.models.checkpoint import Course
from earmark.progress import Progress

SETTINGS = {"epochs": 4, "batch_size": 3}


class Gain:
    """Learns one number: what clips of one sample must be multiplied by to be 2, after dropout of nothing."""

    criterion = "far"
    about: ClassVar[dict] = {}

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)

    def losses(self, batch):
        far = (self.network(batch.waveforms) - 2).square().squeeze(1)  # [B]
        return {"loss": far + 0 * torch.rand(len(far)), "far": far, "drawn": torch.rand(len(far))}

    def compared(self, batch):
        return {"nothing": torch.full((len(batch.clips),), 4.0)}


def clips(count: int) -> Batch:
    ones = torch.ones(count, 1)
    return Batch(np.arange(count), ones, ones, torch.zeros(count, dtype=torch.long), torch.empty(count, 0, 0))


def learned(path=None, die_after: int | None = None) -> tuple[Gain, Course]:
    gain = Gain()
    course = Course(gain.network, torch.optim.Adam(gain.network.parameters(), lr=0.1))
    if path is not None:
        course.resume(path, "same")
    ended = course.ended

    def end_or_die(row, best) -> None:
        ended(row, best)
        if len(course.history) == die_after:
            raise KeyboardInterrupt

    course.ended = end_or_die
    learning.learn(gain, clips(7), clips(4), SETTINGS, 5, course, Progress("learn", SETTINGS["epochs"]))
    return gain, course


def test_a_killed_training_ends_with_the_same_numbers(tmp_path) -> None:
    whole, course = learned()
    for after in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            learned(tmp_path / "checkpoint.safetensors", after)
    resumed, again = learned(tmp_path / "checkpoint.safetensors")
    assert again.history == course.history
    assert torch.equal(whole.network.weight, resumed.network.weight)
    assert again.seconds > 0


def test_the_best_epoch_is_that_of_the_least_criterion_on_validation_clips() -> None:
    gain, course = learned()
    names = learning.columns({"loss": 0, "far": 0, "drawn": 0})
    far = [row[names.index("validation_far")] for row in course.history]
    assert far == sorted(far, reverse=True)
    assert float(gain.losses(clips(1))["far"].detach()) == pytest.approx(far[-1], rel=1e-6)
    assert [row[-1] for row in course.history] == [1, 1, 1, 1]


def test_every_epoch_draws_anew_and_validation_alike() -> None:
    names = learning.columns({"loss": 0, "far": 0, "drawn": 0})
    rows = [dict(zip(names, row, strict=True)) for row in learned()[1].history]
    assert len({row["train_drawn"] for row in rows}) == len(rows)
    assert len({row["validation_drawn"] for row in rows}) == 1


def test_the_loss_is_told_clip_by_clip_beside_what_learned_nothing() -> None:
    rows = learning.validated(Gain(), clips(5), 2, "own")
    assert rows == {"own": [4.0] * 5, "nothing": [4.0] * 5}


def test_the_last_convolutions_are_looked_at_unless_layers_are_named(trained) -> None:
    assert learning.hidden_layers(trained.model, None, 2, "here") == ["conv2", "conv3"]
    assert learning.hidden_layers(trained.model, ["conv1"], 2, "here") == ["conv1"]


def test_a_network_without_convolutions_must_have_its_layers_named(trained) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    model = Network.around(flat, trained.model.frontend, ("a", "b"))
    with pytest.raises(EarmarkError, match=r"no convolution .* name its hidden layers in here"):
        learning.hidden_layers(model, None, 3, "here")
    assert learning.hidden_layers(model, ["1"], 3, "here") == ["1"]


def test_hidden_outputs_are_those_that_are_watched_one_by_one(trained) -> None:
    found = trained.model.hidden(["conv1", "conv3"])(trained.inputs[:4])
    for name, activations in zip(("conv1", "conv3"), found.activations, strict=True):
        alone, logits = trained.model.watched(trained.inputs[:4], name)
        assert torch.equal(activations, alone.detach())
        assert torch.equal(found.logits, logits.detach())
        assert not activations.requires_grad

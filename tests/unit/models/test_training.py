"""Training: resuming after a kill, votes."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from earmark.data.dataset import open_dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.models.base import build
from earmark.models.training import WARM_UP, Trainer, learning_rate, recording_accuracy, training_clips
from earmark.plan import config
from earmark.sound.logmel import LogMel
from earmark.stages import ingest, predict, train
from earmark.store.layout import Layout
from tests.unit.conftest import striped

ARCHITECTURE = {"name": "cnn", "filters": [4, 4], "dense": [8], "n_classes": 2, "input_shape": [32, 32], "dropout": 0.3}
SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "optimiser": "adam",
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "batch_norm": True,
    "weight_decay": 1e-4,
    "clip_gradient": None,
    "time_mask": 4,
    "mel_mask": 4,
}


class Killed(Exception):
    """Stands for a kill -9 between two epochs."""


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {"train": striped(64, generator), "validation": striped(32, generator)}


SGD = {"optimiser": "sgd", "momentum": 0.9, "schedule": "step", "step_every": 3, "step_factor": 0.5}


def trainer(**changes) -> Trainer:
    return Trainer(ARCHITECTURE, SETTINGS | changes, 7, torch.device("cpu"))


def finished(clips, path: Path | None = None, **changes) -> Trainer:
    one = trainer(**changes)
    if path:
        one.course.resume(path, "same")
    one.train(lambda generator: clips["train"], clips["validation"])
    return one


@pytest.mark.parametrize("changes", [{}, SGD], ids=["adam", "sgd"])
def test_a_killed_training_ends_with_the_same_numbers(clips, tmp_path, changes) -> None:
    undisturbed = finished(clips, **changes)
    path = tmp_path / "checkpoint.safetensors"
    for _ in range(2):  # killed after the first epoch, and again after the second
        one = trainer(**changes)
        one.course.resume(path, "same")
        save = one.course.save

        def save_and_die(save=save) -> None:
            save()
            raise Killed

        one.course.save = save_and_die
        with pytest.raises(Killed):
            one.train(lambda generator: clips["train"], clips["validation"])
    resumed = finished(clips, path, **changes)
    assert resumed.course.history == undisturbed.course.history
    for name, tensor in undisturbed.best_network().state_dict().items():
        assert torch.equal(tensor, resumed.best_network().state_dict()[name])


def test_a_checkpoint_of_another_training_is_ignored(clips, tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    finished(clips, path)
    other = trainer()
    other.course.resume(path, "different")
    assert other.course.history == []


def test_the_seed_decides_and_leaves_the_global_generator_alone(clips) -> None:
    torch.manual_seed(1)
    one = finished(clips)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    torch.manual_seed(2)
    assert finished(clips).course.history == one.course.history


def test_the_best_epoch_is_the_first_of_highest_validation_accuracy_and_least_loss(clips) -> None:
    one = finished(clips)
    rows = {int(row[0]): row for row in one.course.history}
    best = max(int(row[0]) for row in one.course.history if row[5])
    assert (rows[best][4], -rows[best][3]) == max((row[4], -row[3]) for row in one.course.history)


def test_the_trained_network_has_its_batch_normalisation_in_its_weights(clips) -> None:
    one = finished(clips)
    inputs = clips["validation"][0]
    with torch.inference_mode():
        one.network.load_state_dict(one.course.best)
        expected = one.network.eval()(inputs)
        network = one.best_network()
        torch.testing.assert_close(network(inputs), expected, rtol=1e-4, atol=1e-4)
    assert list(network.state_dict()) == list(build(**ARCHITECTURE).state_dict())


def test_the_cosine_rises_to_the_learning_rate_and_falls_to_zero() -> None:
    rates = [learning_rate(SETTINGS | {"epochs": 100}, epoch, step=0) for epoch in range(100)]
    assert rates.index(max(rates)) == WARM_UP - 1
    assert all(earlier > later for earlier, later in pairwise(rates[WARM_UP - 1 :]))
    assert rates[49] == pytest.approx(SETTINGS["learning_rate"] / 2, rel=0.05)
    assert rates[0] < 0.21 * SETTINGS["learning_rate"] and rates[-1] < 1e-3 * SETTINGS["learning_rate"]


def test_a_step_comes_after_so_many_batches_whatever_the_epoch() -> None:
    """4 batches per epoch: the rate falls within the first epoch, and goes on from there in the second."""
    settings = {"schedule": "step", "learning_rate": 1e-3, "step_every": 3, "step_factor": 0.5}
    rates = [learning_rate(settings, step // 4, step) for step in range(8)]
    assert rates == [1e-3] * 3 + [5e-4] * 3 + [2.5e-4] * 2
    settings["schedule"] = "constant"
    assert {learning_rate(settings, step // 4, step) for step in range(8)} == {1e-3}


def test_batches_are_counted_through_all_epochs(clips) -> None:
    """64 clips in batches of 16: 4 epochs are 16 steps, of which the last is the fifteenth after the first."""
    one = finished(clips, **SGD)
    assert one.optimizer.param_groups[0]["lr"] == SETTINGS["learning_rate"] * 0.5 ** (15 // 3)


def test_gradients_are_no_larger_than_they_may_be(clips) -> None:
    """Without momentum a step is the learning rate times the gradient, which is scaled down to the norm."""

    def step(largest: float | None) -> torch.Tensor:
        changes = {**SGD, "momentum": 0.0, "learning_rate": 1.0, "weight_decay": 0.0, "clip_gradient": largest}
        one = trainer(epochs=1, batch_size=64, **changes)
        before = [weight.detach().clone() for weight in one.network.parameters()]
        one.train(lambda generator: clips["train"], clips["validation"])
        after = one.network.parameters()
        return torch.cat([(new - old).detach().flatten() for new, old in zip(after, before, strict=True)])

    free = step(None)
    torch.testing.assert_close(step(1e9), free)
    largest = 0.1 * float(free.norm())
    torch.testing.assert_close(step(largest), 0.1 * free, rtol=1e-3, atol=1e-6)


def test_votes_count_clips_and_ties_go_to_the_larger_logit() -> None:
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 9.0], [3.0, 0.0], [0.0, 1.0]])
    recordings = np.array([4, 4, 4, 9, 9])
    assert recording_accuracy(logits, torch.tensor([0, 0, 0, 0, 0]), recordings) == 1.0
    assert recording_accuracy(logits, torch.tensor([0, 0, 0, 1, 1]), recordings) == 0.5


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> tuple[Path, dict]:
    """Two classes of eight recordings, a little longer than a clip, with every augmentation; and the configuration."""
    root, results = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("results")
    for cls, hertz in (("high", 3000), ("low", 300)):
        (root / cls).mkdir()
        for number in range(8):
            wave = np.sin(2 * np.pi * (hertz + 9 * number) * np.arange(5000) / 16000)
            soundfile.write(root / cls / f"{number}.wav", 0.5 * wave, 16000)
    block = {
        "source": "folder",
        "root": str(root),
        "clips_per_recording": 2,
        "frontend": {"n_fft": 400, "hop": 240, "n_mels": 32, "n_frames": 16},
        "model": {"filters": [4, 4], "dense": [8], "dropout": 0.3},
        "augment": {
            **dict.fromkeys(("gain_probability", "pitch_probability", "filter_probability", "noise_probability"), 0.5),
            "stretch": [0.8, 1.2],
        },
        "train": {"epochs": 4, "batch_size": 4, "time_mask": 4, "mel_mask": 4},
    }
    settings = config.fill(block) | {"seed": 1, "torch_threads": 1}
    ingest.run(Job("ingest", results, "tones", settings))
    return results, settings


def test_an_augmented_training_that_was_killed_ends_with_the_same_results(ingested, tmp_path, monkeypatch) -> None:
    results, settings = ingested
    names = ("history.csv", "metrics.json", "confusion.csv", "predictions.csv", "model.safetensors")
    outcomes = []
    for kills in (0, 2):
        copied = tmp_path / str(kills)
        shutil.copytree(results, copied)
        for after in range(1, kills + 1):
            with monkeypatch.context() as patch:
                patch.setattr(Trainer, "_validate", dying(after))
                with pytest.raises(Killed):
                    train.run(Job("train", copied, "tones", settings, split="main", gpu=0))
        train.run(Job("train", copied, "tones", settings, split="main", gpu=0))
        predict.run(Job("predict", copied, "tones", settings, split="main", gpu=0))
        folder = Layout(copied, "tones").split("main")
        outcomes.append([(folder / name).read_bytes() for name in names])
        assert not (folder / ".checkpoint.safetensors").exists()
    assert outcomes[0] == outcomes[1]


def test_a_cross_validation_that_counts_on_other_folds_trains_nothing(ingested, tmp_path) -> None:
    results, settings = ingested
    n_folds = open_dataset(Layout(results, "tones")).n_folds
    copied = tmp_path / "results"
    shutil.copytree(results, copied)
    with pytest.raises(EarmarkError) as caught:
        train.run(Job("train", copied, "tones", settings, split="main", gpu=0, folds=n_folds + 1))
    assert str(caught.value) == (
        f"The recordings of 'tones' that can be used make {n_folds} folds, where the cross-validation counted on "
        f"{n_folds + 1} by their names: call the same command again, it will count on {n_folds}."
    )
    assert not Layout(copied, "tones").split("main").exists()


def dying(after: int):
    """Replace validation by one that kills in the epoch `after`, before anything of that epoch is saved."""
    validate = Trainer._validate

    def validate_or_die(self, *arguments):
        if len(self.course.history) == after:
            raise Killed
        return validate(self, *arguments)

    return validate_or_die


def test_every_epoch_changes_the_clips_anew_and_alike_in_every_run(ingested) -> None:
    results, settings = ingested
    source = open_dataset(Layout(results, "tones"))
    frontend = LogMel.from_config({"frontend": settings["frontend"]})
    clips = training_clips(source, source.split("main"), frontend, settings["augment"], torch.device("cpu"))
    first, again, other = (clips(torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).all(dim=(1, 2, 3)).any()

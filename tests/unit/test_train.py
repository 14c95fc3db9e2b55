"""Training: resuming after a kill, votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.train import Trainer, recording_accuracy

from .conftest import striped

ARCHITECTURE = {"filters": [4, 4], "dense": [8], "n_classes": 2, "input_shape": [32, 32], "dropout": 0.3}
SETTINGS = {
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "time_mask": 4,
    "mel_mask": 4,
}


class Killed(Exception):
    """Stands for a kill -9 between two epochs."""


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {"train": striped(64, generator), "validation": striped(32, generator)}


def trainer() -> Trainer:
    return Trainer(ARCHITECTURE, SETTINGS, 7, torch.device("cpu"))


def finished(clips, path: Path | None = None) -> Trainer:
    one = trainer()
    if path:
        one.resume(path, "same")
    one.train(lambda generator: clips["train"], clips["validation"])
    return one


def test_a_killed_training_ends_with_the_same_numbers(clips, tmp_path) -> None:
    undisturbed = finished(clips)
    path = tmp_path / "checkpoint.safetensors"
    for _ in range(2):  # killed after the first epoch, and again after the second
        one = trainer()
        one.resume(path, "same")
        save = one.save

        def save_and_die(save=save) -> None:
            save()
            raise Killed

        one.save = save_and_die
        with pytest.raises(Killed):
            one.train(lambda generator: clips["train"], clips["validation"])
    resumed = finished(clips, path)
    assert resumed.history == undisturbed.history
    for name, tensor in undisturbed.best_network().state_dict().items():
        assert torch.equal(tensor, resumed.best_network().state_dict()[name])


def test_a_checkpoint_of_another_training_is_ignored(clips, tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    finished(clips, path)
    other = trainer()
    other.resume(path, "different")
    assert other.history == []


def test_the_seed_decides_and_leaves_the_global_generator_alone(clips) -> None:
    torch.manual_seed(1)
    one = finished(clips)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    torch.manual_seed(2)
    assert finished(clips).history == one.history


def test_the_best_epoch_is_the_first_of_highest_validation_accuracy_and_least_loss(clips) -> None:
    one = finished(clips)
    rows = {int(row[0]): row for row in one.history}
    best = max(int(row[0]) for row in one.history if row[5])
    assert (rows[best][4], -rows[best][3]) == max((row[4], -row[3]) for row in one.history)


def test_votes_count_clips_and_ties_go_to_the_larger_logit() -> None:
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 9.0], [3.0, 0.0], [0.0, 1.0]])
    recordings = np.array([4, 4, 4, 9, 9])
    assert recording_accuracy(logits, torch.tensor([0, 0, 0, 0, 0]), recordings) == 1.0
    assert recording_accuracy(logits, torch.tensor([0, 0, 0, 1, 1]), recordings) == 0.5

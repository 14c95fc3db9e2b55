"""What an imitation is worth: agreement, and what is lost without its components, beside as much else."""

import itertools
import math

import pytest
import torch

from earmark.metrics import imitation
from tests.unit.conftest import FRONTEND


def masks_of(bins: list[slice], faint: float = 0.0) -> torch.Tensor:
    masks = torch.full((len(bins), FRONTEND.spectrum_bins, FRONTEND.n_frames), faint)
    for mask, part in zip(masks, bins, strict=True):
        mask[part] = 1
    return masks / masks.sum(dim=0).clamp_min(1e-9)


def test_an_answer_agrees_if_it_is_among_the_most_likely():
    answers = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.5, 0.1]])
    targets = torch.tensor([0, 2, 2])
    assert imitation.agrees(answers, targets, 1).tolist() == [True, False, False]
    assert imitation.agrees(answers, targets, 2).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="3 of 3 classes are all"):
        imitation.agrees(answers, targets, 3)


def test_energies_of_sets_are_those_of_their_masks():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(4, 5, 6, generator=generator)
    masks /= masks.sum(dim=0)
    power = torch.rand(5, 6, generator=generator)
    gram = imitation.overlaps(masks, power)
    sets = torch.tensor([list(one) for one in itertools.product([0.0, 1.0], repeat=4)])
    wanted = torch.stack([((one @ masks.flatten(1)).view(5, 6).square() * power).sum() for one in sets]) / power.sum()
    assert torch.allclose(imitation.energies(sets, gram), wanted, atol=1e-6)
    assert float(imitation.energies(torch.ones(1, 4), gram)) == pytest.approx(1)


def test_others_are_as_many_from_outside_and_of_the_nearest_energy():
    gram = torch.diag(torch.tensor([0.3, 0.02, 0.3, 0.1, 0.01, 0.27]))
    chosen = torch.tensor([1.0, 0, 0, 0, 0, 0])
    drawn = imitation.others(chosen, gram, torch.Generator().manual_seed(1))
    assert drawn.tolist() == [0, 0, 1, 0, 0, 0]
    two = imitation.others(torch.tensor([0.0, 1, 0, 1, 0, 0]), gram, torch.Generator().manual_seed(1))
    assert two.sum() == 2 and two[1] == two[3] == 0
    assert imitation.others(torch.tensor([1.0, 1, 1, 1, 0, 0]), gram, torch.Generator()) is None
    none = imitation.others(torch.zeros(6), gram, torch.Generator().manual_seed(1))
    assert none.sum() == 0


class Band:
    """A model that answers by the power in one band of the clip's spectrum alone."""

    multi_label, frontend = False, FRONTEND

    def __init__(self, bins: slice) -> None:
        self.bins = bins

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        power = (10 ** inputs[:, 0, self.bins]).mean(dim=(1, 2))  # of the mel bands
        return torch.stack([4 * power, torch.ones_like(power)], dim=1)


def test_what_a_model_answers_by_is_lost_and_as_much_else_is_not():
    """Mel bands 0 to 6 lie below the bins of the second component; the third is as loud as the first."""
    times = torch.arange(FRONTEND.clip_samples) / FRONTEND.sample_rate
    clip = sum(torch.sin(2 * math.pi * hertz * times) for hertz in (200, 2000, 5000)) / 4
    masks = masks_of([slice(0, 20), slice(20, 100), slice(100, None)])
    gram = imitation.overlaps(masks, FRONTEND.stft(clip[None])[0].abs().square())
    relevances = torch.tensor([1.0, 0.2, -0.5])
    model = Band(slice(0, 7))
    rows = list(
        imitation.losses(model, clip, torch.tensor(0), masks, relevances, gram, torch.Generator().manual_seed(0))
    )
    assert [row[0] for row in rows] == list(imitation.THRESHOLDS)
    assert [row[1] for row in rows] == [1, 1, 1, 1, 2]
    for _, _, energy, ff, lost, other_energy, other_ff, other_lost in rows[:4]:
        assert energy == pytest.approx(1 / 3, abs=0.02) and other_energy == pytest.approx(energy, abs=0.02)
        assert ff > 0.05 and lost > 0.5
        assert abs(other_ff) < 0.1 * ff and abs(other_lost) < 0.1 * lost
    assert rows[4][5:] == ("", "", "")  # one component is no match for two

"""Sparse factorisation: what its updates promise, what they find, and what it is learned from."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from earmark.errors import EarmarkError
from earmark.explainers.interpreters import nmf
from tests.unit.conftest import FRONTEND


def planted(sparse: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix 5 spectra of 40 bins, of which few sound at a time, in 300 frames: W [F, K] and X [F, N]."""
    generator = torch.Generator().manual_seed(3)
    dictionary = torch.rand(40, 5, generator=generator).pow(6)
    dictionary /= dictionary.norm(dim=0)
    activations = torch.rand(5, 300, generator=generator) * (torch.rand(5, 300, generator=generator) > sparse)
    return dictionary, dictionary @ activations


def alike(found: torch.Tensor, wanted: torch.Tensor) -> np.ndarray:
    """Cosines of matched columns [K]."""
    cosines = (found.double().T @ wanted.double()).numpy()
    return cosines[linear_sum_assignment(-cosines)]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.8])
def test_no_update_makes_it_worse_and_columns_have_norm_1(sparsity):
    _, amounts = planted()
    found = nmf.factorised(amounts, 5, sparsity, seed=1, iterations=100)
    history = torch.tensor(found.objective, dtype=torch.float64)
    assert (history.diff() <= 1e-9 * history[0]).all()
    assert history[-1] < 0.6 * history[0]
    assert (found.dictionary >= 0).all() and (found.activations >= 0).all()
    assert torch.allclose(found.dictionary.norm(dim=0), torch.ones(5, dtype=torch.float64))
    far = (amounts.double() - found.dictionary @ found.activations).square().sum() + sparsity * found.activations.sum()
    assert float(far) == pytest.approx(found.objective[-1])


def test_what_was_planted_is_found():
    dictionary, amounts = planted()
    found = nmf.factorised(amounts, 5, 0.01, seed=1, iterations=400)
    assert alike(found.dictionary, dictionary).min() > 0.95


def test_without_sparsity_it_is_what_scikit_learn_finds():
    from sklearn.decomposition import NMF

    _, amounts = planted(sparse=0.85)
    ours = nmf.factorised(amounts, 5, 0.0, seed=1, iterations=2000)
    oracle = NMF(5, solver="mu", init="nndsvda", tol=0, max_iter=2000)
    columns = torch.from_numpy(oracle.fit_transform(amounts.double().numpy()))
    assert alike(ours.dictionary, columns / columns.norm(dim=0)).min() > 0.99
    assert ours.objective[-1] / amounts.square().sum() == pytest.approx(
        oracle.reconstruction_err_**2 / float(amounts.square().sum()), abs=1e-4
    )


def test_more_sparsity_leaves_less_to_play():
    _, amounts = planted()
    sums = [float(nmf.factorised(amounts, 5, weight, 1).activations.sum()) for weight in (0.0, 0.2, 1.0)]
    assert sums == sorted(sums, reverse=True)


SETTINGS = {"sparsity": 0.1, "compression": "log1p", "where": "here"}


def tones(*hertz: float, clips: int = 3) -> torch.Tensor:
    times = torch.arange(FRONTEND.clip_samples) / FRONTEND.sample_rate
    waves = torch.stack([torch.sin(2 * torch.pi * one * times) for one in hertz])
    return waves.repeat_interleave(clips, dim=0) * 0.3


def learned(waves: torch.Tensor, targets: list[int], components: int, seed: int = 2) -> nmf.Dictionary:
    return nmf.learned(FRONTEND, waves, torch.tensor(targets), components=components, seed=seed, **SETTINGS)


def test_classes_share_the_components_and_each_learns_its_own_sounds():
    found = learned(tones(1000, 3000), [4] * 3 + [7] * 3, 3)
    assert found.classes == (4, 4, 7)
    assert found.columns.shape == (FRONTEND.spectrum_bins, 3)
    peaks = FRONTEND.bin_frequencies[found.columns.argmax(dim=0)]
    assert (peaks - torch.tensor([1000.0, 1000.0, 3000.0])).abs().max() < 60
    assert found.level > 0


def test_one_seed_gives_one_dictionary_at_any_level_of_the_clips():
    waves, targets = tones(1000, 3000), [0] * 3 + [1] * 3
    first = learned(waves, targets, 4)
    assert torch.equal(first.columns, learned(waves, targets, 4).columns)
    assert torch.allclose(first.columns, learned(waves / 8, targets, 4).columns, atol=1e-5)
    assert not torch.equal(first.columns, learned(waves, targets, 4, seed=3).columns)


def test_silent_frames_are_no_frames():
    waves = tones(1000, clips=1)
    waves[:, FRONTEND.clip_samples // 2 :] = 0
    found = nmf.frames(FRONTEND, waves, "sqrt", 1000, 0)
    assert abs(found.shape[1] - FRONTEND.n_frames // 2) <= 2
    assert nmf.frames(FRONTEND, waves, "sqrt", 7, 0).shape[1] == 7
    assert nmf.frames(FRONTEND, torch.zeros_like(waves), "log1p", 7, 0).shape[1] == 0


@pytest.mark.parametrize(
    ("waves", "components", "sentence"),
    [
        (tones(1000, clips=1), 40, r"^40 components cannot be learned from 32 frames .* lower here.components"),
        (torch.zeros(1, FRONTEND.clip_samples), 2, "^2 components cannot be learned from 0 frames"),
    ],
)
def test_more_components_than_frames_are_refused(waves, components, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        learned(waves, [0], components)


def test_fewer_components_than_classes_are_refused():
    with pytest.raises(EarmarkError, match=r"1 components cannot be shared out over 2 classes: set here.components"):
        learned(tones(1000, 3000), [0] * 3 + [1] * 3, 1)

"""Which cells belong to which sound object, and how well concepts recover the objects."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from earmark.metrics.objects import (
    auc,
    captured,
    information,
    match,
    object_cells,
    rank_accuracy,
    relevance_on,
)
from earmark.metrics.sound import si_sdr
from earmark.sound.logmel import LogMel
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform

FRONTEND = LogMel(sample_rate=16000, n_fft=256, hop=64, n_mels=16, n_frames=16)


def tones(*hertz: float) -> torch.Tensor:
    times = torch.arange(FRONTEND.clip_samples) / FRONTEND.sample_rate
    return torch.stack([torch.sin(2 * math.pi * frequency * times) for frequency in hertz])


def slow_information(table: np.ndarray) -> float:
    """Mutual information by its definition, term by term."""
    n_concepts, n_objects = table.shape
    joint = np.array(
        [[table[k, o] / table[:, o].sum() / n_objects for o in range(n_objects)] for k in range(n_concepts)]
    )
    total = 0.0
    for k in range(n_concepts):
        for o in range(n_objects):
            if joint[k, o] > 0:
                total += joint[k, o] * math.log(joint[k, o] / (joint[k].sum() * joint[:, o].sum()))
    return total / math.log(n_objects)


def test_a_cell_belongs_to_the_object_that_dominates_it() -> None:
    stems = torch.cat([0.5 * tones(600.0, 3000.0), torch.zeros(1, FRONTEND.clip_samples)])[None]  # [1, 3, S]
    cells = object_cells(FRONTEND, stems.sum(dim=1), stems)
    assert cells.shape == (1, 3, 16, 16)
    assert int(cells.sum(dim=1).max()) == 1
    centres = FRONTEND.frequencies
    for number, hertz in enumerate((600.0, 3000.0)):
        band = int((centres - hertz).abs().argmin())
        assert bool(cells[0, number, band].all())
        assert not bool(cells[0, 1 - number, band].any())
    assert not bool(cells[0, 2].any())


@pytest.mark.parametrize("kind", [Stft(16000, 256, 64, 16, layout="time-frequency"), Waveform(16000, 960)])
def test_objects_are_told_apart_on_any_grid(kind) -> None:
    stems = 0.5 * tones(600.0, 3000.0)[None]
    cells = object_cells(kind, stems.sum(dim=1), stems)
    assert cells.shape == (1, 2, *kind.grid[1:])
    for number, hertz in enumerate((600.0, 3000.0)):
        near = (kind.frequencies - hertz).abs() < 60
        assert bool(cells[0, number, near, 1:-1].all())
        assert not bool(cells[0, 1 - number, near, 1:-1].any())


def test_an_object_below_its_share_of_the_energy_owns_nothing() -> None:
    loud, faint = tones(1000.0, 1000.0)
    noise = torch.randn(loud.shape, generator=torch.Generator().manual_seed(0))
    owned = [
        float(object_cells(FRONTEND, (level * loud + noise)[None], (level * faint)[None, None]).sum())
        for level in (0.001, 0.1, 10.0)
    ]
    assert owned[0] == 0
    assert owned[0] <= owned[1] < owned[2]


def test_relevance_is_rectified_cell_by_cell() -> None:
    maps = torch.tensor([[[1.0, -5.0], [2.0, 4.0]]])[None]  # [1, 1, 2, 2]
    cells = torch.tensor([[[True, True], [False, False]], [[False, False], [True, False]]])[None]
    assert relevance_on(maps, cells).tolist() == [[[1.0, 2.0]]]


def test_information_is_what_its_definition_says() -> None:
    generator = np.random.default_rng(0)
    for shape in [(2, 2), (4, 4), (3, 5), (16, 4)]:
        table = generator.random(shape) ** 3
        found = float(information(torch.from_numpy(table)))
        assert found == pytest.approx(slow_information(table), abs=1e-12)
        turned = table[generator.permutation(shape[0])][:, generator.permutation(shape[1])]
        assert float(information(torch.from_numpy(turned))) == pytest.approx(found, abs=1e-12)
        louder = table * generator.random(shape[1])  # an object's loudness does not count
        assert float(information(torch.from_numpy(louder))) == pytest.approx(found, abs=1e-12)
        halves = np.concatenate([table / 2, table / 2])  # a concept cut in two tells no more
        assert float(information(torch.from_numpy(halves))) == pytest.approx(found, abs=1e-12)


def test_information_goes_from_nought_to_one() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    assert float(information(eye)) == pytest.approx(1)
    assert float(information(torch.ones(4, 4))) == pytest.approx(0, abs=1e-7)
    assert float(information(torch.rand(1, 4) + 0.1)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(float(information(torch.ones(3, 1))))
    half = eye.clone()
    half[:, 2:] = 0  # two objects without any relevance: half of the objects are told apart, among two
    assert float(information(half)) == pytest.approx(0.5 * math.log(2) / math.log(4))


def test_noise_tells_nothing_once_it_is_pooled() -> None:
    generator = torch.Generator().manual_seed(0)
    tables = torch.rand(300, 4, 4, generator=generator, dtype=torch.float64) ** 4
    assert float(information(tables.sum(dim=0))) < 0.01
    assert float(information(tables).mean()) > 0.1


def test_information_has_finite_gradients_at_empty_cells() -> None:
    table = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    information(table).backward()
    assert table.grad is not None
    assert torch.isfinite(table.grad).all()


def test_matching_does_not_depend_on_the_order() -> None:
    generator = np.random.default_rng(1)
    for n_concepts, n_objects in [(4, 4), (6, 4), (3, 4)]:
        table = generator.random((n_concepts, n_objects))
        found = match(table)
        concepts, objects = generator.permutation(n_concepts), generator.permutation(n_objects)
        turned = match(table[concepts][:, objects])
        back = [concepts[concept] if concept >= 0 else -1 for concept in turned]
        assert [found[place] for place in objects] == back
        own = captured(table, found)
        assert captured(table[concepts][:, objects], turned) == pytest.approx(own[objects])
        assert sorted(c for c in found if c >= 0) == sorted({c for c in found if c >= 0})
        assert (found < 0).sum() == max(0, n_objects - n_concepts)


def test_capture_is_the_part_of_an_object_in_its_own_concept() -> None:
    table = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert captured(table, [0, 1, -1])[:2].tolist() == [0.75, 0.5]
    assert math.isnan(captured(table, [0, 1, -1])[2])
    assert captured(np.ones((2, 3)), [0, 1, -1]).tolist() == [0.5, 0.5, 0.0]


def test_rank_accuracy_of_the_perfect_and_the_worst_map() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(3, 2, 8, 8, generator=generator) < 0.2
    cells[:, 1] &= ~cells[:, 0]
    exact = torch.cat([cells.float(), -cells.float()], dim=1)  # [3, 4, 8, 8]
    found = rank_accuracy(exact, cells)
    for number in range(2):
        assert found[:, number, number].tolist() == [1, 1, 1]
        assert found[:, 2 + number, number].tolist() == [0, 0, 0]
    assert torch.isnan(rank_accuracy(exact, torch.zeros_like(cells))).all()


def slow_auc(heatmap: torch.Tensor, cells: torch.Tensor) -> float:
    """Compare every cell of the object with every other cell."""
    gaps = heatmap[cells][:, None] - heatmap[~cells][None]
    return float(((gaps > 0).double() + (gaps == 0).double() / 2).mean())


def test_auc_is_what_its_definition_says() -> None:
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.randint(-3, 4, (2, 3, 5, 7), generator=generator).float()  # many ties
    cells = torch.rand(2, 3, 4, 5, 7, generator=generator) < 0.3
    found = auc(heatmaps, cells)
    assert found.shape == (2, 3, 4)
    for place in np.ndindex(2, 3, 4):
        assert float(found[place]) == pytest.approx(slow_auc(heatmaps[place[:2]], cells[place]))


def test_auc_asks_for_order_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    heatmaps = torch.randn(8, 8, generator=generator)
    cells = torch.rand(1, 8, 8, generator=generator) < 0.4
    assert auc(heatmaps, cells).tolist() == pytest.approx(auc(3 * heatmaps.exp() - 7, cells).tolist())
    assert auc(heatmaps, cells).tolist() == pytest.approx((1 - auc(-heatmaps, cells)).tolist())
    assert auc(heatmaps, cells).tolist() == pytest.approx((1 - auc(heatmaps, ~cells)).tolist())


def test_auc_of_the_perfect_the_worst_and_the_constant_map() -> None:
    cells = torch.zeros(3, 4, 4, dtype=torch.bool)
    cells[0, 1] = True
    cells[2] = True  # an object with all cells, after one without any
    for heatmap, expected in [(cells[0].float(), 1.0), (-cells[0].float(), 0.0), (torch.ones(4, 4), 0.5)]:
        found = auc(heatmap, cells).tolist()
        assert found[0] == expected
        assert math.isnan(found[1]) and math.isnan(found[2])


def test_si_sdr_by_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    estimates = torch.randn(3, 500, generator=generator, dtype=torch.float64)
    references = torch.randn(2, 500, generator=generator, dtype=torch.float64)
    found = si_sdr(estimates, references)
    for k, estimate in enumerate(estimates):
        for o, reference in enumerate(references):
            target = (estimate @ reference) / (reference @ reference) * reference
            ratio = 10 * math.log10(target.square().sum() / (estimate - target).square().sum())
            assert float(found[k, o]) == pytest.approx(ratio)
    assert torch.allclose(si_sdr(7 * estimates, 0.1 * references), found)
    assert float(si_sdr(references[:1], references)[0, 0]) > 100
    assert float(si_sdr(torch.zeros(1, 500), references)[0, 0]) == -math.inf
    assert math.isnan(float(si_sdr(estimates[:1], torch.zeros(1, 500))[0, 0]))

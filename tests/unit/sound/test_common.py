"""Maps of two front ends lie on one grid, and keep what they hold and where it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.sound.common import Common, between, overlaps
from earmark.sound.logmel import LogMel
from earmark.sound.waveform import Waveform

MEL = LogMel(8000, 256, 128, n_mels=32, n_frames=32)
WAVE = Waveform(8000, 4000, n_fft=512, hop=80)


def tone(frontend, hertz: float, begin: float) -> torch.Tensor:
    """Return the energies ``[1, 1, F, T]`` of a tone that sounds for a tenth of a second."""
    seconds = torch.arange(frontend.clip_samples) / frontend.sample_rate
    sounds = (seconds >= begin) & (seconds < begin + 0.1)
    return frontend.energies((torch.sin(2 * torch.pi * hertz * seconds) * sounds)[None])[:, None]


def test_cells_reach_half_way_to_their_neighbours_and_not_below_0() -> None:
    assert between(torch.tensor([0.0, 2.0, 6.0]), 7.0).tolist() == [0, 1, 4, 7]
    assert between(torch.tensor([3.0]), 7.0).tolist() == [0, 7]


def test_a_cell_is_shared_out_by_its_parts() -> None:
    parts = overlaps(torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(parts, torch.tensor([[1, 1 / 3], [0, 1 / 3], [0, 1 / 3]]))


def test_a_front_end_and_itself_have_its_own_cells_in_common() -> None:
    maps = torch.rand(2, 3, 1, *MEL.grid[1:])
    common = Common.of(MEL, MEL)
    assert common.cells == MEL.grid[1] * MEL.grid[2]
    torch.testing.assert_close(common.laid(MEL, maps), maps)


def test_the_common_grid_has_the_coarser_rows_and_columns_and_loses_nothing_within() -> None:
    common = Common.of(MEL, WAVE)
    assert (len(common.hertz) - 1, len(common.seconds) - 1) == (MEL.grid[1], MEL.grid[2])
    for frontend in (MEL, WAVE):
        within = (frontend.frequencies > 300) & (frontend.frequencies < 3000)
        maps = torch.rand(1, 1, *frontend.grid) * within[:, None] * (frontend.times < 0.4)
        laid = common.laid(frontend, maps)
        assert laid.shape == (1, 1, 1, *MEL.grid[1:])
        torch.testing.assert_close(laid.sum(), maps.sum())


@pytest.mark.parametrize(("hertz", "begin"), [(500.0, 0.1), (1800.0, 0.3)])
def test_a_sound_lies_at_one_place_whoever_hears_it(hertz: float, begin: float) -> None:
    common = Common.of(WAVE, MEL)
    for frontend in (MEL, WAVE):
        laid = common.laid(frontend, tone(frontend, hertz, begin))[0, 0]
        row, column = divmod(int(laid.argmax()), laid.shape[1])
        width = float(common.hertz[row + 1] - common.hertz[row])
        assert common.hertz[row] - width / 2 < hertz < common.hertz[row + 1] + width / 2
        assert begin - 0.02 < common.seconds[column] and common.seconds[column + 1] < begin + 0.12


def test_where_one_hears_higher_both_are_compared_below() -> None:
    fine = Waveform(16000, 8000, n_fft=512, hop=128)
    common = Common.of(fine, MEL)
    assert float(common.hertz[-1]) <= 4000 and float(common.seconds[-1]) <= 0.55
    high, low = (common.laid(fine, tone(fine, hertz, 0.2)).sum() for hertz in (6000.0, 1000.0))
    assert high < 1e-3 * low


def test_cells_that_lie_nowhere_are_refused() -> None:
    nowhere = SimpleNamespace(frequencies=None, times=None, sample_rate=8000, clip_samples=4000)
    with pytest.raises(EarmarkError, match="give it frequencies"):
        Common.of(MEL, nowhere)

"""The decoder of hidden maps: any sizes, any directions, every map heard."""

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.explainers.interpreters.decoder import Decoder, shapes_of, upright

SHAPES = {
    "that double": [(4, 16, 16), (6, 8, 8), (8, 4, 4)],
    "that do not": [(4, 15, 11), (6, 15, 11), (8, 7, 3)],
    "in time": [(4, 40), (6, 13), (8, 13)],
    "of both kinds": [(4, 16, 16), (6, 8, 8), (8, 4)],
    "of one layer without a place": [(8, 1)],
}


def maps_of(shapes: list[tuple[int, ...]], count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, *shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("kind", SHAPES)
def test_maps_of_any_size_become_rows_and_columns_and_each_has_a_say(kind) -> None:
    torch.manual_seed(1)
    maps = maps_of(SHAPES[kind])
    made = Decoder(SHAPES[kind], 8, 32, 30)(maps)
    assert made.shape == (2, 32, 30)
    made.square().sum().backward()
    assert all(one.grad.abs().sum() > 0 for one in maps)


def test_what_moves_in_time_moves_the_output_and_leaves_rows_alone() -> None:
    torch.manual_seed(1)
    (one,) = maps_of([(4, 8, 8)], 1)
    decoder = Decoder([(4, 8, 8)], 8, 16, 16)
    moved = decoder([one.roll(2, dims=3)])
    assert torch.allclose(moved[..., 6:-2], decoder([one])[..., 2:-6], atol=1e-6)  # two cells in, four out; no edges


def test_cells_in_the_layout_of_the_input_are_turned_to_frequency_and_time() -> None:
    cells = torch.arange(24.0).view(1, 2, 3, 4)
    turned, plain = "time-frequency", "frequency-time"
    assert torch.equal(upright(turned, cells), cells.transpose(2, 3))
    assert upright(plain, cells) is cells
    assert upright(plain, cells[..., 0, 0]).shape == (1, 2, 1)


def test_maps_of_more_axes_are_refused() -> None:
    with pytest.raises(EarmarkError, match="a layer whose output of a clip has 4 axes"):
        upright("frequency-time", torch.zeros(2, 3, 4, 5, 6))


def test_the_shapes_of_layers_are_those_of_their_outputs(trained) -> None:
    found = shapes_of(trained.model, ["conv1", "conv3"])
    activations = trained.model.hidden(["conv1", "conv3"])(trained.inputs[:1]).activations
    assert found == [tuple(one.shape[1:]) for one in activations]

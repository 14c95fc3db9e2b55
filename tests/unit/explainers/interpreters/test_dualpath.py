"""The dual path: what is cut into chunks is whole again, and every frame hears of every other."""

import pytest
import torch
from torch import nn

from earmark.explainers.interpreters.dualpath import MaskNet, Path, chunk_of, overlapped, positions, segmented

CHUNK = 6


@pytest.mark.parametrize("count", range(1, 3 * CHUNK + 1))
def test_chunks_put_together_are_the_sequence(count) -> None:
    frames = torch.randn(2, 3, count, generator=torch.Generator().manual_seed(count))
    for chunk in {CHUNK, chunk_of(CHUNK, count)}:
        chunks = segmented(frames, chunk)
        assert chunks.shape[:3] == (2, 3, chunk)
        assert torch.equal(overlapped(chunks, count), frames)


def test_every_frame_lies_in_two_chunks() -> None:
    chunks = segmented(torch.arange(1.0, 16.0).view(1, 1, 15), CHUNK)
    assert torch.equal(chunks.flatten().int().bincount()[1:], torch.full((15,), 2))


def test_chunks_are_even_and_no_longer_than_what_there_is() -> None:
    assert [chunk_of(CHUNK, count) for count in (1, 2, 3, 5, 6, 60)] == [2, 2, 4, 6, 6, 6]


def net(chunk: int = CHUNK) -> MaskNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MaskNet(5, chunk, 2, 4, 8, 1, 1).eval()


def test_masks_are_as_long_as_the_sequence_and_between_0_and_1() -> None:
    for count in (1, 2, 5, 17, 40):
        masks = net()(torch.randn(2, 5, count))
        assert masks.shape == (2, 5, count)
        assert (masks > 0).all() and (masks < 1).all()


def reach(made: MaskNet, count: int) -> list[bool]:
    """Say of every frame whether the mask of the first one depends on it, normalisation over all frames aside."""
    made.enter[0] = made.along[0].norm = nn.Identity()
    if isinstance(made.across[0], Path):
        made.across[0].norm = nn.Identity()
    frames = torch.randn(1, 5, count, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made(frames)[0, :, 0].sum().backward()
    return (frames.grad[0].abs().amax(dim=0) > 0).tolist()


def test_attention_across_chunks_brings_together_what_chunks_hold_apart() -> None:
    apart = net()
    apart.across[0] = nn.Identity()
    assert reach(apart, 20) == [True] * CHUNK + [False] * (20 - CHUNK)  # its chunks begin half before it, and at it
    assert all(reach(net(), 20))


def test_masks_do_not_depend_on_other_sequences() -> None:
    frames = torch.randn(3, 5, 20)
    assert torch.allclose(net()(frames)[1:2], net()(frames[1:2]), atol=1e-6)


def test_no_two_places_are_alike() -> None:
    places = positions(100, 7, torch.empty(0))
    assert places.shape == (100, 7)
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 1e-3

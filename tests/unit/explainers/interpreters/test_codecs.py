"""Encoders and decoders: what goes through them is the clip, and what a mask takes and leaves sum to it."""

from __future__ import annotations

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.explainers.interpreters import codecs
from earmark.explainers.interpreters.codecs import Codec, Fourier, Learned, heard_again, pretrain, quality
from earmark.metrics.sound import si_sdr

LENGTHS = [101, 400, 1001]


def noise(count: int, samples: int) -> torch.Tensor:
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(samples)) / 4


def learned(samples: int, filters: int = 12) -> Learned:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Learned(filters, 4, 2, samples)


def codec_of(kind: str, samples: int) -> Codec:
    return Fourier(32, samples) if kind == "fourier" else learned(samples)


@pytest.mark.parametrize("samples", LENGTHS)
def test_the_transform_gives_every_sample_back(samples) -> None:
    clips = noise(3, samples)
    assert si_sdr(heard_again(Fourier(32, samples), clips), clips).diagonal().min() > 100


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("kind", ["fourier", "learned"])
def test_what_a_mask_lets_through_and_what_it_holds_back_sum_to_what_is_decoded(kind, samples) -> None:
    codec, clips = codec_of(kind, samples), noise(2, samples)
    encoded = codec.encode(clips)
    assert encoded.shape == (2, codec.channels, codec.frames)
    assert codec.amounts(encoded).min() >= 0
    masks = torch.rand(encoded.shape)
    inside, outside = codec.decode(masks * encoded), codec.decode((1 - masks) * encoded)
    assert inside.shape == clips.shape
    assert torch.allclose(inside + outside, codec.decode(encoded), atol=1e-5)


@pytest.mark.parametrize(("kind", "stride"), [("fourier", 8), ("learned", 4)])
def test_a_stride_later_a_clip_with_its_mask_sounds_a_stride_later(kind, stride) -> None:
    codec, clips = codec_of(kind, 400), noise(1, 400)
    masks = torch.rand(1, codec.channels, codec.frames)
    sound = codec.decode(masks * codec.encode(clips))
    later = codec.decode(masks.roll(1, dims=2) * codec.encode(clips.roll(stride, dims=1)))
    assert torch.allclose(later[:, 40 + stride : -40], sound[:, 40 : -40 - stride], atol=1e-5)


def test_filters_learn_to_give_clips_back_at_their_level_and_are_frozen_then() -> None:
    clips = torch.cat([noise(24, 400), torch.zeros(1, 400)])
    codec = learned(400, 24)
    before = codecs.distortion(heard_again(codec, clips[:24]), clips[:24]).mean()
    pretrain(codec, clips, 120, 8, 0, torch.device("cpu"))
    after = codecs.distortion(heard_again(codec, clips[:24]), clips[:24]).mean()
    assert after < -20 < before
    assert not any(weight.requires_grad for weight in codec.parameters())
    assert quality(codec, clips, 8) == pytest.approx(-float(after), abs=1)


def test_a_codec_that_gives_no_clip_back_is_refused() -> None:
    with pytest.raises(EarmarkError, match=r"give clips back with .* dB only"):
        quality(learned(400), noise(4, 400), 2)

"""What every kind of front end promises, whatever its settings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from earmark.errors import EarmarkError
from earmark.plan import config
from earmark.sound.base import silence
from earmark.sound.kinds import KINDS, from_config, from_settings
from earmark.sound.logmel import LogMel, to_hertz, to_mel
from earmark.sound.masks import apply_masks, render
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.sources.base import clip_samples
from tests.unit.sound.test_masks import si_sdr

SETTINGS = {
    "as it was": {},
    "mel, time first": {"layout": "time-frequency", "n_mels": 40, "n_frames": 33},
    "as librosa": {"n_fft": 512, "hop": 256, "window": "hann", "padding": "constant", "mel_scale": "slaney"}
    | {"area_norm": True, "spectrum": "power", "compression": "log10p", "gain": 1e4, "peak_scaling": False},
    "a band of mel": {"f_min": 300.0, "f_max": 3000.0, "n_mels": 16, "compression": "db", "top_db": 60},
    "spectrogram": {"kind": "stft", "n_fft": 256, "hop": 64},
    "cropped spectrogram": {"kind": "stft", "n_fft": 256, "hop": 128, "window": "hann", "n_bins": 50}
    | {"layout": "time-frequency", "compression": "log1p", "mean": 0.5, "std": 2.0},
    "waveform": {"kind": "waveform", "n_samples": 8000, "sample_rate": 8000},
    "frames far apart": {"kind": "stft", "n_fft": 256, "hop": 192, "window": "hann"},
    "a waveform's frames far apart": {"kind": "waveform", "n_samples": 8100, "n_fft": 256, "hop": 256},
    "waveform of odd length": {"kind": "waveform", "n_samples": 8001, "window": "hann", "peak_scaling": False},
}
"""Sections ``frontend``."""

MADE = dataclasses.asdict(LogMel(16000, 480, 240, n_mels=16, n_frames=16)) | {"kind": "logmel"}

ALL = pytest.mark.parametrize(
    "frontend", [from_config({"frontend": block}) for block in SETTINGS.values()], ids=SETTINGS
)


def clips(count: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(count, samples, generator=torch.Generator().manual_seed(seed))


@ALL
def test_inputs_have_the_shape_that_is_promised(frontend) -> None:
    inputs = frontend(clips(2, frontend.clip_samples))
    assert inputs.shape == (2, *frontend.shape)
    assert inputs.dtype == torch.float32
    assert frontend.picture(inputs).shape == (2, *frontend.grid[1:])
    assert frontend.relevance(inputs, torch.ones_like(inputs)).shape == (2, *frontend.grid)
    assert frontend.energies(clips(2, frontend.clip_samples)).shape == (2, *frontend.grid[1:])
    with pytest.raises(ValueError, match="expected clips"):
        frontend(torch.zeros(1, frontend.clip_samples + 1))


@ALL
def test_silence_is_what_is_left_of_a_clip_that_is_taken_away(frontend) -> None:
    clip = clips(1, frontend.clip_samples)
    assert torch.equal(silence(frontend), frontend(torch.zeros_like(clip), like=clip)[0])


def test_silence_of_a_log_mel_spectrogram_is_its_floor() -> None:
    frontend = from_settings(MADE | {"floor": -3.5})
    assert torch.equal(silence(frontend), torch.full(frontend.shape, -3.5))


def test_silence_that_is_no_number_is_refused() -> None:
    frontend = from_settings(MADE | {"mean": float("inf")})
    with pytest.raises(EarmarkError, match=r"^the front end makes NaN or infinity of silence, .*keep logarithms away"):
        silence(frontend)


@ALL
def test_sensitivity_lies_on_the_grid_and_has_no_sign(frontend) -> None:
    contexts = torch.randn(2, *frontend.shape, generator=torch.Generator().manual_seed(0))
    found = frontend.sensitivity(contexts)
    assert found.shape == (2, *frontend.grid)
    assert found.min() >= 0
    torch.testing.assert_close(found, frontend.sensitivity(-contexts))


@ALL
def test_cells_of_a_layer_are_enlarged_to_the_grid(frontend) -> None:
    late = frontend.enlarged(torch.linspace(0, 1, 5).expand(2, 5))  # a layer that knows time alone
    assert late.shape == (2, *frontend.grid)
    assert (late.diff(dim=-1) >= 0).all()
    assert torch.equal(late, late[:, :, :1].expand_as(late))
    upright = torch.randn(2, *frontend.grid[1:], generator=torch.Generator().manual_seed(0))
    cells = upright if frontend.layout == "frequency-time" else upright.mT
    torch.testing.assert_close(frontend.enlarged(cells)[:, 0], upright)
    torch.testing.assert_close(frontend.enlarged(torch.full((2, 3, 4), 0.7)), torch.full_like(late, 0.7))


@ALL
def test_what_lies_on_the_grid_is_averaged_over_the_cells_of_a_layer(frontend) -> None:
    maps = torch.rand(2, 3, *frontend.grid[1:], generator=torch.Generator().manual_seed(0))
    whole = maps.mean(dim=(2, 3))
    torch.testing.assert_close(frontend.reduced(maps, (1,))[..., 0], whole)  # a layer that knows time alone
    torch.testing.assert_close(frontend.reduced(maps, frontend.grid[2:]), maps.mean(dim=2))
    torch.testing.assert_close(frontend.reduced(maps, (1, 1))[..., 0, 0], whole)
    upright = frontend.layout == "frequency-time"
    shape = frontend.grid[1:] if upright else frontend.grid[:0:-1]
    torch.testing.assert_close(frontend.reduced(maps, shape), maps if upright else maps.mT)


@ALL
def test_an_all_ones_mask_returns_the_clip_with_its_ends(frontend) -> None:
    clip = clips(1, frontend.clip_samples, seed=3)[0]
    clip[:8] = clip[-8:] = 1.0  # what is lost at the ends would be heard
    sound = apply_masks(frontend, clip, torch.ones(1, *frontend.grid[1:]))[0]
    assert si_sdr(sound, clip) > 60
    for end in (slice(None, 8), slice(-8, None)):
        torch.testing.assert_close(sound[end], clip[end], atol=1e-4, rtol=0)


@ALL
def test_sums_of_sounds_are_heard_as_if_they_had_been_summed(frontend) -> None:
    sounds = clips(70, frontend.clip_samples, seed=5).double()
    for number, sound in enumerate(sounds[:-1]):  # short ones, next to one another
        sound[: number * len(sound) // 80] = sound[(number + 1) * len(sound) // 80 :] = 0
    sounds[-1] = 0
    generator = torch.Generator().manual_seed(6)
    states = torch.randint(2, (20, len(sounds)), generator=generator)
    states[0], states[1] = 1, 0
    mixed = frontend.mixed(sounds, states, sounds.sum(dim=0)).inputs(torch.arange(len(states)))
    torch.testing.assert_close(mixed, frontend(states.double() @ sounds, sounds.sum(dim=0)), atol=1e-8, rtol=0)


@ALL
def test_masks_are_linear(frontend) -> None:
    masks = torch.rand(2, *frontend.grid[1:], generator=torch.Generator().manual_seed(4))
    clip = clips(1, frontend.clip_samples)[0]
    one, other, both = apply_masks(frontend, clip, torch.stack([masks[0], masks[1], 2 * masks[0] + masks[1]]))
    torch.testing.assert_close(2 * one + other, both, atol=1e-5, rtol=0)


@ALL
def test_a_tone_is_loudest_and_most_heard_where_the_frequencies_say(frontend) -> None:
    hertz = float(frontend.frequencies[len(frontend.frequencies) // 2])
    times = torch.arange(frontend.clip_samples) / frontend.sample_rate
    tone = 0.5 * torch.sin(2 * math.pi * hertz * times)
    energies = frontend.energies(tone[None])[0]  # [F, T]
    found = float(frontend.frequencies[energies.sum(dim=1).argmax()])
    assert abs(found - hertz) <= frontend.sample_rate / frontend.n_fft
    assert frontend.frequencies.diff().min() > 0
    shown = frontend.picture(frontend(tone[None]))[0]
    assert int(shown.mean(dim=1).argmax()) == int(energies.sum(dim=1).argmax())
    other = torch.sin(math.pi * hertz * times)
    near = torch.zeros(1, *frontend.grid[1:])
    near[:, (frontend.frequencies > hertz / 1.4) & (frontend.frequencies < hertz * 1.4)] = 1
    heard = render(frontend, tone + other, near[0], near, percentile=0)[0]
    assert si_sdr(heard, tone) > si_sdr(tone + other, tone) + 10


@ALL
def test_silence_stays_finite(frontend) -> None:
    silent = frontend(torch.zeros(1, frontend.clip_samples))
    assert torch.isfinite(silent).all()
    assert torch.isfinite(frontend.picture(silent)).all()


@ALL
def test_it_is_the_same_again_from_what_is_stored(frontend) -> None:
    stored = dataclasses.asdict(frontend) | {"kind": frontend.kind}
    assert from_settings(stored) == frontend


@pytest.mark.parametrize("block", SETTINGS.values(), ids=SETTINGS)
def test_sources_count_the_same_samples(block) -> None:
    filled = config.fill({"frontend": block})["frontend"]
    assert clip_samples(filled) == from_settings(filled).clip_samples


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_defaults_are_those_of_the_schema(kind) -> None:
    keys = config.load_schema()["$defs"]["dataset"]["properties"]["frontend"]["properties"]
    made = KINDS[kind]
    for name, words in made.choices.items():
        assert list(words) == keys[name]["enum"]
    filled = config.fill({"frontend": {"kind": kind}})["frontend"]
    for field in dataclasses.fields(made):
        if field.default is not dataclasses.MISSING:
            default = keys[field.name]["default"]
            assert field.default == keys[field.name].get("defaults", {}).get("kind", {}).get(kind, default)
    assert set(filled) - {"kind"} <= {field.name for field in dataclasses.fields(made)}
    with pytest.raises(EarmarkError, match="window cannot be 'hanning'; choose one of hamming, hann"):
        from_settings({**filled, "window": "hanning"})


def test_other_front_ends_are_no_log_mels() -> None:
    with pytest.raises(EarmarkError, match=r"set frontend.kind to logmel, not stft"):
        LogMel.from_config({"frontend": {"kind": "stft"}})


# Log-mel spectrograms of others.

MUSICNN = LogMel.from_config(
    {
        "frontend": {"n_fft": 512, "hop": 256, "n_mels": 96, "n_frames": 187, "window": "hann", "padding": "constant"}
        | {"mel_scale": "slaney", "area_norm": True, "spectrum": "power", "compression": "log10p", "gain": 10000.0}
        | {"peak_scaling": False, "layout": "time-frequency"}
    }
)


def test_the_front_end_of_musicnn_is_librosas() -> None:
    import librosa

    clip = clips(1, MUSICNN.clip_samples)
    mels = librosa.feature.melspectrogram(
        y=clip[0].numpy(), sr=16000, hop_length=256, n_fft=512, n_mels=96, pad_mode="constant"
    )
    expected = np.log10(10000 * mels + 1).T  # [T, F]
    found = MUSICNN(clip)
    assert found.shape == (1, 1, 187, 96)
    assert np.abs(found[0, 0].numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("htk", [True, False])
@pytest.mark.parametrize("norm", [None, "slaney"])
def test_filters_and_their_centres_are_librosas(htk: bool, norm: str | None) -> None:
    import librosa

    scale = "htk" if htk else "slaney"
    frontend = LogMel(
        22050, 1024, 512, n_mels=40, n_frames=20, mel_scale=scale, area_norm=norm is not None, f_min=50.0, f_max=9000.0
    )
    expected = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=40, fmin=50.0, fmax=9000.0, htk=htk, norm=norm)
    assert np.abs(frontend.filter_bank.numpy() - expected).max() < 1e-4 * expected.max()
    centres = librosa.mel_frequencies(42, fmin=50.0, fmax=9000.0, htk=htk)[1:-1]
    np.testing.assert_allclose(frontend.frequencies.numpy(), centres, rtol=1e-6)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_scales_are_inverted(scale: str) -> None:
    hertz = torch.linspace(0, 20000, 101, dtype=torch.float64)
    torch.testing.assert_close(to_hertz(to_mel(hertz, scale), scale), hertz)
    assert (to_mel(hertz, scale).diff() > 0).all()


@pytest.mark.parametrize("spectrum", ["magnitude", "power"])
def test_decibels_are_librosas(spectrum: str) -> None:
    import librosa

    clip = clips(1, 63 * 64)
    frontend = Stft(16000, 256, 64, 64, spectrum=spectrum, compression="db", floor_db=-100.0, top_db=30.0)
    power = (
        np.abs(
            librosa.stft(
                frontend.normalised(clip)[0].numpy(), n_fft=256, hop_length=64, window="hamming", pad_mode="reflect"
            )
        )
        ** 2
    )
    expected = librosa.power_to_db(power, amin=1e-10, top_db=30.0)
    assert np.abs(frontend(clip)[0, 0].numpy() - expected).max() < 1e-3
    assert float((frontend(clip).amax() - frontend(clip).amin()).round(decimals=3)) == 30.0


def test_rows_are_normalised_one_by_one_and_axes_change_places() -> None:
    plain = Stft(16000, 256, 128, 10)
    mean, std = torch.arange(129.0), 1 + torch.arange(129.0)
    other = dataclasses.replace(plain, mean=mean.tolist(), std=std.tolist(), layout="time-frequency")
    clip = clips(3, plain.clip_samples)
    expected = ((plain(clip) - mean[:, None]) / std[:, None]).transpose(2, 3)
    torch.testing.assert_close(other(clip), expected)
    assert other.shape == (1, 10, 129)
    assert other.grid == plain.grid


@pytest.mark.parametrize(
    "kind", [LogMel(16000, 480, 240, n_mels=32, n_frames=20), Stft(16000, 256, 128, 20, n_bins=40)]
)
def test_relevance_lies_where_its_cell_is_seen(kind) -> None:
    turned = dataclasses.replace(kind, layout="time-frequency")
    clip, contexts = clips(2, kind.clip_samples), torch.randn(2, *kind.shape)
    expected = kind.relevance(kind(clip), contexts)
    torch.testing.assert_close(turned.relevance(turned(clip), contexts.transpose(2, 3)), expected)
    torch.testing.assert_close(turned.spread(turned(clip)), kind(clip))
    torch.testing.assert_close(turned.gathered(kind(clip)), turned(clip))


def test_bins_that_are_cut_off_go_with_the_last_one_that_is_kept() -> None:
    frontend = Stft(16000, 256, 128, 10, n_bins=40)
    masks = torch.rand(3, 40, 10)
    lifted = frontend.lift(masks)
    assert lifted.shape == (3, 129, 10)
    assert torch.equal(lifted[:, :40], masks)
    assert torch.equal(lifted[:, 40:], masks[:, -1:].expand(-1, 89, -1))


@pytest.mark.parametrize("kind", [Stft(16000, 256, 128, 10), Waveform(16000, 2000)])
def test_mel_spectrograms_are_inverted_where_there_are_some(kind) -> None:
    masks = torch.ones(1, *kind.grid[1:])
    with pytest.raises(EarmarkError, match="mel-nnls inverts mel spectrograms"):
        apply_masks(kind, torch.zeros(kind.clip_samples), masks, "mel-nnls")


@pytest.mark.parametrize("spectrum", ["magnitude", "power"])
def test_inverted_mel_spectrograms_keep_the_level_of_a_tone(spectrum: str) -> None:
    frontend = LogMel(16000, 480, 240, n_mels=64, n_frames=20, spectrum=spectrum)
    tone = 0.5 * torch.sin(2 * math.pi * 500 * torch.arange(frontend.clip_samples) / 16000)
    sound = apply_masks(frontend, tone, torch.ones(1, *frontend.grid[1:]), "mel-nnls")[0]
    assert float(sound.norm() / tone.norm()) == pytest.approx(1, abs=0.15)
    assert si_sdr(sound, tone) > 10

"""Sonification: sounds that sum, keep the clip's phases and hold what the heatmap shows."""

from __future__ import annotations

import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile
from scipy.ndimage import gaussian_filter

from earmark.errors import EarmarkError
from earmark.explainers.explanation import Explanation, heard
from earmark.explainers.sounds import explanation_sounds
from earmark.sound.base import Frontend
from earmark.sound.logmel import LogMel
from earmark.sound.masks import apply_masks, masks, matched, render
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.stages import sonify

FRONTEND = LogMel(16000, 480, 240, n_mels=64, n_frames=64)


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    estimate, reference = estimate.double(), reference.double()
    target = (estimate @ reference) / (reference @ reference) * reference
    return float(10 * torch.log10(target.square().sum() / (estimate - target).square().sum()))


def holds_what_is_heard(frontend: Frontend) -> bool:
    """Tell whether the energy of the first n cells of an order is that of their sound."""
    generator = torch.Generator().manual_seed(3)
    shape = frontend.stft(torch.zeros(1, frontend.clip_samples)).shape[1:]
    power = torch.rand(shape, generator=generator, dtype=torch.float64)
    _, rows, columns = frontend.grid
    ranked = torch.randperm(rows * columns, generator=generator).view(rows, columns)
    held = frontend.held(power, ranked)
    counts = (0, 1, 2, 17, rows * columns // 2, rows * columns - 1, rows * columns)
    masks = torch.stack([ranked < count for count in counts]).double()
    wanted = (frontend.lift(masks).square() * power).sum(dim=(1, 2))
    return len(held) == rows * columns + 1 and torch.allclose(held[list(counts)], wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "frontend",
    [
        FRONTEND,
        replace(FRONTEND, mel_scale="slaney", area_norm=True, f_min=50.0, f_max=7000.0),
        Stft(16000, 256, 128, 20, n_bins=40),
        Waveform(8000, 4000, 256, 64, window="hann"),
    ],
    ids=["log-mel", "slaney", "bins", "waveform"],
)
def test_the_energy_of_the_first_cells_is_known_for_every_number(frontend: Frontend) -> None:
    assert holds_what_is_heard(frontend)


@pytest.fixture(scope="module")
def scene() -> dict[str, torch.Tensor]:
    """Two tones at once, and heatmaps that point at each."""
    times = torch.arange(FRONTEND.clip_samples) / 16000
    low, high = 0.4 * torch.sin(2 * np.pi * 300 * times), 0.3 * torch.sin(2 * np.pi * 3000 * times)
    maps = torch.zeros(2, 64, 64)
    for concept, hz in enumerate((300, 3000)):
        band = int((FRONTEND.frequencies - hz).abs().argmin())
        maps[concept, band - 3 : band + 4] = 1.0
    return {"low": low, "high": high, "clip": low + high, "maps": maps, "standard": maps.sum(dim=0)}


def random_maps(seed: int, count: int = 4) -> torch.Tensor:
    return torch.randn(count, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_masks_follow_their_definition() -> None:
    maps = random_maps(0)
    standard = maps.sum(dim=0)
    positive = np.maximum(standard.numpy(), 0)
    kept = positive * (positive >= np.quantile(positive[positive > 0], 0.9))

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image.astype(float), 1.0, mode="nearest", radius=2)

    shape = blur(kept)
    shares = np.stack([blur(np.maximum(one.numpy(), 0)) for one in maps])
    expected = shape / shape.max() * shares / shares.sum(axis=0)
    np.testing.assert_allclose(masks(standard, maps).numpy(), expected, atol=1e-5)


def test_masks_share_one_scale_and_sum_to_that_of_the_standard_heatmap() -> None:
    maps = random_maps(1)
    standard = maps.sum(dim=0)
    whole = masks(standard, standard.unsqueeze(0))[0]
    parts = masks(standard, maps)
    assert torch.allclose(parts.sum(dim=0), whole, atol=1e-6)
    assert float(whole.max()) == pytest.approx(1)
    assert float(parts.min()) >= 0


def test_an_all_ones_mask_returns_the_clip() -> None:
    clip = torch.randn(FRONTEND.clip_samples, generator=torch.Generator().manual_seed(3))
    assert si_sdr(apply_masks(FRONTEND, clip, torch.ones(1, 64, 64))[0], clip) > 60


def test_lifting_gives_uncovered_bins_their_neighbours_value() -> None:
    assert torch.allclose(FRONTEND.lift(torch.ones(1, 64, 64)), torch.ones(1, 241, 64), atol=1e-6)
    rising = torch.arange(64.0).view(1, 64, 1).expand(1, 64, 64)
    mask = FRONTEND.lift(rising)[0, :, 0]
    assert mask[0] == mask[1]
    assert mask[-1] == mask[-2]
    assert (mask.diff() >= -1e-4).all()


def test_concept_sounds_sum_to_the_sound_of_the_standard_heatmap() -> None:
    clip = torch.randn(FRONTEND.clip_samples, generator=torch.Generator().manual_seed(4))
    maps = random_maps(4)
    sounds = render(FRONTEND, clip, maps.sum(dim=0), maps)
    whole = render(FRONTEND, clip, maps.sum(dim=0), maps.sum(dim=0).unsqueeze(0))[0]
    assert si_sdr(sounds.sum(dim=0), whole) > 60


@pytest.mark.parametrize("inverse", ["additive", "mel-nnls"])
def test_heatmaps_are_rendered_as_they_are_returned(scene, inverse: str) -> None:
    """``attributor.heatmaps`` gives ``[B, 1, F, T]``, ``concept_heatmaps`` ``[B, K, 1, F, T]``."""
    standard, maps = scene["standard"].unsqueeze(0), scene["maps"].unsqueeze(1)
    expected = render(FRONTEND, scene["clip"], scene["standard"], scene["maps"], inverse=inverse)
    assert torch.equal(render(FRONTEND, scene["clip"], standard, maps, inverse=inverse), expected)


def test_what_cannot_be_rendered_is_an_error(scene) -> None:
    clip, standard, maps = scene["clip"], scene["standard"], scene["maps"]
    with pytest.raises(EarmarkError, match=r"must be \[K, F, T\] or \[K, 1, F, T\]"):
        render(FRONTEND, clip, standard, standard)
    with pytest.raises(EarmarkError, match=r"must be \[F, T\] or \[1, F, T\]"):
        render(FRONTEND, clip, maps, maps)
    with pytest.raises(EarmarkError, match="are no parts of"):
        render(FRONTEND, clip, standard, maps[:, :32])
    with pytest.raises(EarmarkError, match="mel-nnls"):
        render(Other(), clip, standard, maps, inverse="mel-nnls")


class Other:
    """A front end without a mel bank."""

    stft, istft, lift = FRONTEND.stft, FRONTEND.istft, FRONTEND.lift


def test_a_front_end_without_a_mel_bank_filters_too(scene) -> None:
    arguments = scene["clip"], scene["standard"], scene["maps"]
    assert torch.equal(render(Other(), *arguments), render(FRONTEND, *arguments))


@pytest.mark.parametrize("inverse", ["additive", "mel-nnls"])
def test_each_concept_sounds_like_what_it_points_at(scene, inverse: str) -> None:
    sounds = render(FRONTEND, scene["clip"], scene["standard"], scene["maps"], percentile=0, inverse=inverse)
    assert si_sdr(sounds[0], scene["low"]) > si_sdr(scene["clip"], scene["low"]) + 10
    assert si_sdr(sounds[1], scene["high"]) > si_sdr(scene["clip"], scene["high"]) + 10


def test_without_positive_relevance_there_is_silence(scene) -> None:
    silent = render(FRONTEND, scene["clip"], -scene["standard"], -scene["maps"])
    assert torch.equal(silent, torch.zeros_like(silent))


def test_level_follows_the_clip(scene) -> None:
    loud = render(FRONTEND, scene["clip"], scene["standard"], scene["maps"])
    soft = render(FRONTEND, scene["clip"] / 8, scene["standard"], scene["maps"])
    assert torch.allclose(loud, 8 * soft, atol=1e-6)


def test_explanation_is_complete_and_matched_to_the_clips_loudness(scene) -> None:
    settings = {"percentile": 90, "inverse": "additive"}
    sounds = explanation_sounds(FRONTEND, scene["clip"], scene["standard"], scene["maps"], settings)
    assert list(sounds) == ["input", "standard", "concept1", "concept2", "rest"]
    assert torch.allclose(sounds["standard"] + sounds["rest"], scene["clip"], atol=1e-6)
    loud = matched(torch.stack(list(sounds.values())), scene["clip"])
    rms = loud.square().mean(dim=1).sqrt() / scene["clip"].square().mean().sqrt()
    assert rms[0] == pytest.approx(1, rel=1e-5)
    assert float(rms.max()) <= 1 + 1e-5
    assert float(loud.abs().max()) <= float(scene["clip"].abs().max()) + 1e-6
    assert torch.equal(matched(torch.zeros(1, 100), torch.ones(100)), torch.zeros(1, 100))


def explained(clips: torch.Tensor, scored: torch.Tensor, maps: torch.Tensor) -> Explanation:
    return Explanation(clips, clips.float(), ~scored, scored, maps, None, None, 0, {}, Path("heatmaps.safetensors"))


def test_cards_hold_each_concepts_strongest_clips_at_their_true_level(scene, tmp_path) -> None:
    """Five clips; the third is no scored one, and the fifth's relevance is negative."""
    weights = torch.tensor([[1.0, 9.0], [4.0, 2.0], [50.0, 50.0], [3.0, 1.0], [-1.0, 6.0]])
    maps = weights[:, :, None, None, None] * scene["maps"].unsqueeze(1)  # [5, K, 1, F, T]
    clips, scored = torch.tensor([10, 11, 12, 13, 14]), torch.tensor([True, True, False, True, True])
    found, whole = explained(clips, scored, maps), explained(clips, scored, maps.sum(dim=1, keepdim=True))
    source = types.SimpleNamespace(
        waveforms=lambda clips: scene["clip"].unsqueeze(0) / clips[0],
        clips=pd.DataFrame({"path": [f"{clip}.wav" for clip in range(15)]}),
    )
    settings = {"percentile": 0, "inverse": "additive"}
    rows = sonify.write_cards(tmp_path / "cards", found.only(scored), whole, source, FRONTEND, settings)
    assert [row[:4] for row in rows] == [
        [1, 1, 11, "11.wav"],
        [1, 2, 13, "13.wav"],
        [1, 3, 10, "10.wav"],
        [2, 1, 10, "10.wav"],
        [2, 2, 14, "14.wav"],
        [2, 3, 11, "11.wav"],
    ]
    cells = float(scene["maps"][0].sum())
    assert [row[4] / cells for row in rows] == pytest.approx([4, 3, 1, 9, 6, 2])
    assert [row[5] for row in rows] == pytest.approx([4 / 6, 3 / 4, 1 / 10, 9 / 10, 6 / 5, 2 / 6])
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav"))
    assert found == sorted(
        f"cards/concept{concept}/{rank}/{name}.wav"
        for concept in (1, 2)
        for rank in (1, 2, 3)
        for name in ("input", "concept")
    )
    for concept, rank, clip, *_ in rows:
        folder = tmp_path / f"cards/concept{concept}/{rank}"
        clip_sound, sound = (torch.from_numpy(wavfile.read(folder / f"{name}.wav")[1]) for name in ("input", "concept"))
        assert torch.equal(clip_sound, scene["clip"] / clip)
        row = clips.tolist().index(clip)
        expected = render(FRONTEND, clip_sound, maps.sum(dim=1)[row, 0], maps[row, :, 0], 0)[concept - 1]
        assert torch.allclose(sound, expected, atol=1e-7)
        assert float(sound.abs().max()) > 0


def test_sounds_that_a_method_made_itself_are_heard_as_they_are(scene, tmp_path) -> None:
    made = torch.stack([scene["clip"].roll(1) / 2, scene["clip"].flip(0) / 4])  # [K, S]
    settings = {"percentile": 90, "inverse": "additive"}
    sounds = explanation_sounds(FRONTEND, scene["clip"], scene["standard"], scene["maps"], settings, made)
    assert list(sounds) == ["input", "standard", "concept1", "concept2", "rest"]
    assert torch.equal(torch.stack([sounds["concept1"], sounds["concept2"]]), made)
    assert torch.allclose(sounds["rest"] + made.sum(dim=0), scene["clip"], atol=1e-6)
    unseen = types.SimpleNamespace(frequencies=None)
    nowhere = explanation_sounds(unseen, scene["clip"], scene["standard"], scene["maps"], settings, made)
    assert list(nowhere) == ["input", "concept1", "concept2", "rest"]
    maps, all_clips = scene["maps"].unsqueeze(0), torch.tensor([True])
    found = replace(explained(torch.tensor([0]), all_clips, maps), sounds=made.unsqueeze(0))
    whole = explained(torch.tensor([0]), all_clips, maps.sum(dim=1, keepdim=True))
    source = types.SimpleNamespace(
        waveforms=lambda clips: scene["clip"].unsqueeze(0), clips=pd.DataFrame({"path": ["0.wav"]})
    )
    sonify.write_cards(tmp_path, found, whole, source, FRONTEND, settings)
    for concept in (1, 2):
        played = torch.from_numpy(wavfile.read(tmp_path / f"concept{concept}/1/concept.wav")[1])
        assert torch.allclose(played, made[concept - 1], atol=1e-6)


def test_parts_that_speak_against_the_class_are_no_part_of_its_sound(scene) -> None:
    made = torch.stack([scene["clip"], scene["clip"].flip(0), scene["clip"] / 3]).unsqueeze(0)  # [1, 3, S]
    maps = torch.stack([scene["maps"][0], -scene["maps"][1], scene["maps"][1]]).unsqueeze(0)
    found = replace(explained(torch.tensor([0]), torch.tensor([True]), maps), sounds=made)
    assert torch.allclose(heard(found)[0], scene["clip"] * 4 / 3, atol=1e-6)
    alone = replace(found, maps=-maps[:, :1], sounds=made[:, :1])  # one part is the explanation, whatever its sign
    assert torch.equal(heard(alone)[0], scene["clip"])


def test_without_scored_clips_there_are_no_cards(scene, tmp_path) -> None:
    maps = scene["maps"].view(1, 2, 1, 64, 64)
    found = explained(torch.tensor([0]), torch.tensor([False]), maps)
    assert sonify.write_cards(tmp_path / "cards", found.only(found.scored), found, None, FRONTEND, {}) == []
    assert not (tmp_path / "cards").exists()

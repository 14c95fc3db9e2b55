"""Recordings longer than a clip: clips cover them, maps join to one, and sounds of the whole are those of one mask."""

import tracemalloc

import numpy as np
import pytest
import torch

from earmark.errors import EarmarkError
from earmark.sound import tracks
from earmark.sound.logmel import LogMel
from earmark.sound.masks import masks
from earmark.sound.tracks import Joined, Tiling, cut, rendered, scale_of
from earmark.sound.waveform import Waveform

SPECTROGRAM = LogMel(16000, 240, 120, 17, 32)
SAMPLED = Waveform(8000, 1000, 128, 64, window="hann")
FRONTENDS = pytest.mark.parametrize("frontend", [SPECTROGRAM, SAMPLED], ids=["log-mel", "waveform"])
ROUNDING = 1e-4


def noise(samples, seed=0):
    return (3000 * np.random.default_rng(seed).standard_normal(samples)).astype(np.int16)


def joined_of(frontend, samples, parts=3, seed=0, lacking=0.0):
    """Maps of all clips of a track, the first the sum of the others but for a part, and what they come to."""
    tiling = Tiling.of(frontend, samples)
    rows = frontend.grid[-2]
    joined = Joined(tiling, 1 + parts, rows)
    whole = torch.zeros(1 + parts, rows, tiling.frames)
    generator = torch.Generator().manual_seed(seed)
    for clip, start in enumerate(tiling.starts):
        maps = torch.randn(1 + parts, rows, tiling.clip_frames, generator=generator)
        maps[0] = maps[1:].sum(dim=0) + lacking * maps[0]
        whole[..., start : start + tiling.clip_frames] += torch.from_numpy(tiling.weights(clip)) * maps
        joined.add(maps)
    return joined, whole


@FRONTENDS
@pytest.mark.parametrize("clips", [0.1, 1, 1.2, 2, 7.3])
def test_clips_overlap_by_half_cover_the_track_and_their_weights_sum_to_one(frontend, clips):
    samples = int(clips * frontend.clip_samples)
    tiling = Tiling.of(frontend, samples)
    total = np.zeros(tiling.frames)
    for clip, start in enumerate(tiling.starts):
        total[start : start + tiling.clip_frames] += tiling.weights(clip)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    end = tiling.starts[-1] * frontend.hop + frontend.clip_samples
    assert max(samples, frontend.clip_samples) <= end < max(samples, frontend.clip_samples) + frontend.hop
    steps = np.diff(tiling.starts)
    assert (steps[:-1] == frontend.clip_samples // frontend.hop // 2).all() and (steps > 0).all()


def test_what_lies_beyond_a_track_is_silence():
    track = noise(10)
    np.testing.assert_array_equal(cut(track, -2, 5), [0, 0, *track[:3]])
    np.testing.assert_array_equal(cut(track, 8, 4), [*track[8:], 0, 0])
    assert not cut(track, 12, 3).any()


@FRONTENDS
def test_joined_maps_are_read_as_they_were_added(frontend):
    joined, whole = joined_of(frontend, 5 * frontend.clip_samples)
    assert torch.equal(joined.read(0, joined.tiling.frames), whole)
    assert torch.equal(joined.read(7, 20), whole[..., 7:20])


@FRONTENDS
@pytest.mark.parametrize("block", [5, 16, 1000])
def test_a_track_sounds_as_by_one_set_of_masks_whatever_the_block(frontend, block, monkeypatch):
    samples = 4 * frontend.clip_samples + 55
    joined, whole = joined_of(frontend, samples)
    monkeypatch.setattr(tracks, "BLOCK", block)
    track = noise(samples)
    scale = scale_of(joined, 90, ROUNDING)
    sounds = torch.cat(list(rendered(frontend, track, joined, scale)), dim=1)
    parts = masks(whole[0], whole[1:], 90)
    wanted = torch.cat([parts.sum(dim=0, keepdim=True), parts])
    stretch = torch.from_numpy(cut(track, 0, (joined.tiling.frames - 1) * frontend.hop))
    error = sounds - frontend.filtered(stretch, wanted)[:, :samples]
    assert not scale.bypassed
    assert sounds.shape == (4, samples)
    assert error.norm() < 1e-4 * sounds.norm()


@FRONTENDS
@pytest.mark.parametrize("lacking", [0.0, 0.3])
def test_parts_and_what_passes_them_by_sum_to_the_standard_explanation(frontend, lacking):
    samples = 3 * frontend.clip_samples
    joined, _ = joined_of(frontend, samples, lacking=lacking)
    scale = scale_of(joined, 90, ROUNDING)
    sounds = torch.cat(list(rendered(frontend, noise(samples), joined, scale)), dim=1)
    assert scale.bypassed == (lacking > 0)
    assert len(sounds) == 4 + scale.bypassed
    assert (sounds[1:].sum(dim=0) - sounds[0]).norm() < 1e-3 * sounds[0].norm()  # -60 dB


@FRONTENDS
def test_masks_of_ones_give_the_track_back(frontend):
    track = noise(20 * frontend.hop)
    sound = frontend.filtered(torch.from_numpy(track.astype(np.float32)), torch.ones(1, frontend.grid[-2], 21))[0]
    assert (sound - torch.from_numpy(track.astype(np.float32))).abs().max() < 1


def test_a_track_without_relevance_for_the_class_is_silent():
    samples = 3 * SPECTROGRAM.clip_samples
    tiling = Tiling.of(SPECTROGRAM, samples)
    joined = Joined(tiling, 3, 32)
    for _ in tiling.starts:
        joined.add(-torch.ones(3, 32, tiling.clip_frames))
    sounds = torch.cat(list(rendered(SPECTROGRAM, noise(samples), joined, scale_of(joined, 90, ROUNDING))), dim=1)
    assert not sounds.any()


def test_joined_maps_do_not_grow_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "BLOCK", 50)
    peaks = []
    for clips in (20, 200):
        tracemalloc.start()
        joined, _ = _added(clips, tmp_path)
        scale_of(joined, 90, ROUNDING)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    cells = 4 * 32 * (200 - 20) * SPECTROGRAM.clip_samples / 2 / SPECTROGRAM.hop  # bytes of one map
    assert peaks[1] - peaks[0] < 3 * cells  # of ten: the positive cells of the standard map alone, and a copy


def _added(clips, folder):
    tiling = Tiling.of(SPECTROGRAM, clips * SPECTROGRAM.clip_samples // 2)
    joined = Joined(tiling, 10, 32, folder)
    maps = torch.randn(10, 32, tiling.clip_frames, generator=torch.Generator().manual_seed(0))
    for _ in tiling.starts:
        joined.add(maps)
    return joined, maps


def test_maps_of_a_module_without_places_are_no_frames(tmp_path, monkeypatch):
    from earmark.sound.module import Module

    (tmp_path / "plain.py").write_text("def build():\n    return lambda waves: waves.unfold(1, 100, 100).abs()\n")
    monkeypatch.chdir(tmp_path)
    frontend = Module("plain.py:build", 8000, 1000, 128, 64)
    with pytest.raises(EarmarkError, match="does not say where"):
        frontend.framed(torch.zeros(1, *frontend.grid[1:]))

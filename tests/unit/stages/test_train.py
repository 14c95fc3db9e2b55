"""A network of waveforms that is trained here, from recordings to concepts that are heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from earmark.data import dataset
from earmark.explainers import explanation
from earmark.job import Job
from earmark.models import base as models
from earmark.models.training import training_clips
from earmark.plan.config import validate
from earmark.sound.waveform import Waveform
from earmark.stages import choose, collect, explain, fit, gather, ingest, picture, predict, sonify, train
from earmark.store import artifacts
from earmark.store.layout import INPUT_LAYER, STANDARD, Layout

RATE, LENGTH, SOUNDING = 4000, 1024, 800
LAYER, K = "conv3", 2
METHODS = ["drsa", "info", "oracle", "random~0"]


@dataclass(frozen=True)
class Trained:
    """A data set with its network; what is called for it."""

    layout: Layout
    config: dict[str, Any]

    def job(self, stage: str, **place: Any) -> Job:
        """Name a call of a stage."""
        return Job(stage, self.layout.results, "tones", self.config, split="main", **place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train on twenty tones over some hiss, low and high, shorter than a clip, whose stems are known."""
    folder = tmp_path_factory.mktemp("tones")
    rng, times = np.random.default_rng(0), np.arange(SOUNDING) / RATE
    for number in range(20):
        cls, hertz = (("high", 1200), ("low", 200))[number % 2]
        tone = 0.5 * np.sin(2 * np.pi * (hertz + 7 * number) * times)
        stems = {"tone": tone, "hiss": 0.05 * rng.normal(size=SOUNDING)}
        files = {f"stems/{cls}/{number:02d}/{name}": samples for name, samples in stems.items()}
        for path, samples in {f"recordings/{cls}/{number:02d}": sum(stems.values()), **files}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{path}.wav", samples, RATE, subtype="FLOAT")
    block = {
        "source": "folder",
        "root": str(folder / "recordings"),
        "stems": str(folder / "stems"),
        "frontend": {"sample_rate": RATE, "n_samples": LENGTH},
        "model": {"architecture": "audionet-s", "filters": [4, 8, 8, 8], "dense": [16, 8], "weight_std": 0.3},
        "train": {"epochs": 20, "batch_size": 4, "learning_rate": 2e-3},
        "grid": {"methods": METHODS, "layers": [LAYER], "k": [K]},
        "explain": {"clips": 3, "gallery": 1},
        "explainers": {"info": {"restarts": 1}, "drsa": {"restarts": 1}, "oracle": {"starts": 1}},
    }
    config = validate({"run": ["tones"], "datasets": {"tones": block}})["datasets"]["tones"]
    made = Trained(Layout(folder / "results", "tones"), config | {"seed": 0, "torch_threads": 1})
    ingest.run(made.job("ingest"))
    gather.run(made.job("gather"))
    train.run(made.job("train"))
    predict.run(made.job("predict"))
    choose.run(made.job("choose"))
    explain.run(made.job("explain", layer=INPUT_LAYER, method=STANDARD, k=1))
    collect.run(made.job("collect", layer=LAYER))
    return made


def test_it_learns_and_is_read_as_it_was_trained(trained) -> None:
    model, source = models.of(trained.job("predict")), dataset.of(trained.job("predict"))
    history = artifacts.read_csv(trained.layout.split("main") / "history.csv")
    assert float(history["train_loss"].iloc[-1]) < 0.5 * float(history["train_loss"].iloc[0])
    assert model.layers == {"conv1": 4, "conv2": 8, "conv3": 8, "conv4": 8}
    clips = range(len(source.clips))
    assert float((models.answered(model, source.inputs(clips)).argmax(1) == source.targets(clips)).float().mean()) > 0.9


def test_standard_heatmaps_lie_where_the_tone_is(trained) -> None:
    """In time they end with the recording, whose clip goes on in silence."""
    frontend = models.of(trained.job("explain")).frontend
    assert isinstance(frontend, Waveform)
    found = explanation.standard(trained.job("explain", layer=INPUT_LAYER, method=STANDARD, k=1), "high").heatmaps
    strength = found.abs().sum(dim=(0, 1, 2))  # [F, T]
    assert strength[:, frontend.times >= (SOUNDING + frontend.n_fft) / RATE].sum() < 1e-6 * strength.sum()


@pytest.mark.parametrize("method", METHODS)
def test_concepts_sum_to_the_standard_heatmap_and_are_heard(trained, method) -> None:
    place = {"layer": LAYER, "method": method, "k": K}
    starts = ("drsa",) if method == "oracle" else ()
    fit.run(trained.job("fit", **place, starts=starts))
    explain.run(trained.job("explain", **place))
    sonify.run(trained.job("sonify", **place))
    picture.run(trained.job("picture", **place))
    for cls in ("high", "low"):
        job = trained.job("explain", **place)
        found, whole = explanation.of(job, cls), explanation.standard(job, cls)
        assert len(found.clips) and found.heatmaps.shape[1] == K
        difference = (found.heatmaps.sum(dim=1) - whole.of(found.clips.tolist()).heatmaps[:, 0]).abs().amax()
        assert difference <= 1e-5 * whole.heatmaps.abs().amax()
        folder = job.of_class(cls)
        sounds = [soundfile.read(path)[0] for path in sorted((folder / "sounds/000").glob("concept*.wav"))]
        assert [len(sound) for sound in sounds] == [LENGTH] * K and any(np.abs(sound).max() > 0 for sound in sounds)
        assert (folder / "heatmaps.png").stat().st_size


def test_training_clips_begin_anew_in_their_silence_each_epoch_and_no_others_do(trained) -> None:
    source, settings = dataset.of(trained.job("train")), trained.config["augment"]
    clips = training_clips(source, source.split("main"), source.frontend, settings, torch.device("cpu"))
    first, again, other = (clips(torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    still = source.inputs(source.split("main").train)
    begins = [(batch != 0).int().argmax(dim=2)[:, 0] for batch in (first, other, still)]
    assert begins[2].max() <= 2 and (begins[0] != begins[1]).float().mean() > 0.8
    assert all(0 <= int(begin) <= LENGTH - SOUNDING + 2 for begin in begins[0])
    for clip, at_rest, begin in zip(first[:, 0], still[:, 0], (begins[0] - begins[2]).tolist(), strict=True):
        torch.testing.assert_close(clip, at_rest.roll(begin))
    settings = settings | {"offset": False}
    off = training_clips(source, source.split("main"), source.frontend, settings, torch.device("cpu"))
    assert torch.equal(off(torch.Generator().manual_seed(3))[0], still)

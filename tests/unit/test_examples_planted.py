"""The planted case: causes are what they are said to be, and every explainer fails where theory has it fail."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from examples.planted import figure, network, recordings

from earmark.data import chosen
from earmark.data.chosen import SCORED
from earmark.explainers import explanation
from earmark.explainers.interpretable import tiles
from earmark.job import Job
from earmark.metrics.masking import drops, heard
from earmark.metrics.objects import object_cells
from earmark.metrics.sanity import CLASS, NETWORK
from earmark.models import base as models
from earmark.plan.config import fill
from earmark.plan.methods import method_of
from earmark.sound.masks import apply_masks
from earmark.stages import draw
from earmark.store.layout import INPUT_LAYER
from earmark.tables import masking, sanity
from earmark.tables.labels import At, Label
from earmark.tables.study import Study

EXAMPLE = Path(__file__).parents[2] / "examples/planted.yaml"

PER_CLASS = 6
"""Recordings, of which a third is explained."""

HEARD = [*figure.SHOWN[1:], "input-x-gradient", "kernel-shap"]
CONTROLS = ["energy", "cells~0"]
TRIED = ["standard", "input-x-gradient", "integrated-gradients", "guided-backprop"]


@dataclass(frozen=True)
class Planted:
    """A small run of examples/planted.yaml, and its tables."""

    study: Study
    heard: masking.Heard
    tried: sanity.Tried

    @property
    def model(self):
        """The network as it was adopted."""
        return models.load(self.study.layout.model("main"))

    def clips(self, cls):
        """Rows, waveforms [n, S] and stems by name [n, S] of a class's clips."""
        clips = chosen.read(self.study.layout, "main").clips(cls, SCORED)
        names = self.study.source.object_names(self.study.source.classes[0])
        stems = dict(zip(names, self.study.source.stems(clips).unbind(dim=1), strict=True))
        return clips, self.study.source.waveforms(clips), stems

    def maps(self, method, cls):
        """Relevance [n, F, T] of a class's clips, and which cells [n, F, T] are of the cause."""
        clips, waveforms, stems = self.clips(cls)
        others = [stem for name, stem in stems.items() if name != cls]
        owned = object_cells(self.model.frontend, waveforms, torch.stack([stems[cls], *others], dim=1))[:, 0]
        found = explanation.read(self.study.heatmaps(place(method), cls)).of(clips.tolist())
        return found.heatmaps[:, 0, 0], owned

    def told(self, metric, method, cls):
        """What the table says."""
        return self.heard.found[Label(place(method), metric), cls].interval.estimate

    def alike(self, check, method, cls):
        """What the other table says: how alike maps are."""
        return self.tried.found[Label(place(method), sanity.COSINE, part=check), cls].interval.estimate


def place(method):
    """Name where a method works."""
    return At("detectors" if method_of(method).layered else INPUT_LAYER, method.partition("~")[0], 1)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    recordings.write(folder, PER_CLASS, 0)
    block = yaml.safe_load(EXAMPLE.read_text())["datasets"]["planted"]
    own = {"root": str(folder / "recordings"), "stems": str(folder / "stems")}
    asked = {"masking": [*HEARD, *CONTROLS], "sanity": TRIED, "bootstrap": 20, "sanity_clips": 2}
    config = fill(block | own | {"evaluate": asked}) | {"seed": 0, "torch_threads": 1}
    config["model"]["network"] = f"{EXAMPLE.parents[1] / config['model']['network']}"

    def run(stage, method="", **coordinates):
        where = {"layer": place(method).layer, "method": method, "k": 1} if method else {}
        job = Job(stage, folder / "results", "planted", config, **coordinates, **where)
        importlib.import_module(f"earmark.stages.{stage}").run(job)
        return job

    for stage in ("ingest", "gather"):
        run(stage)
    for stage in ("adopt", "predict", "choose"):
        run(stage, split="main")
    for method in ("standard", *HEARD, *CONTROLS):
        job = run("explain", method, split="main")
    for method in asked["masking"]:
        run("mask", method, split="main")
    for method in TRIED:
        run("sanity", method, split="main")
    job = run("compare", split="main")
    study = Study.of(job)
    return Planted(study, masking.measure(study), sanity.measure(study))


def test_stems_sum_to_their_recordings():
    for cls in network.CLASSES:
        objects = recordings.recording(cls, 0, 3)
        assert cls in objects
        assert np.abs(sum(objects.values())).max() == pytest.approx(recordings.PEAK)
        again = recordings.recording(cls, 0, 3)
        assert all((again[name] == sound).all() for name, sound in objects.items())
        assert not (recordings.recording(cls, 0, 4)[cls] == objects[cls]).all()


def test_upper_layers_undo_each_other():
    built = network.build().eval()
    inputs = 5 * torch.rand(4, 1, network.BANDS, network.FRAMES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        evidence = dict(zip(network.EVIDENCE, built[:6](inputs).T, strict=True))
        logits = dict(zip(network.CLASSES, built(inputs).T, strict=True))
    for cls, (weights, added) in network.READOUT.items():
        expected = added + sum(weight * evidence[name] for name, weight in weights.items())
        torch.testing.assert_close(logits[cls], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", network.CLASSES)
def test_a_class_is_answered_because_of_one_sound(planted, cls):
    target = torch.tensor(network.CLASSES.index(cls))
    clips, waveforms, stems = planted.clips(cls)
    assert len(clips) == PER_CLASS // 3
    assert (heard(planted.model, waveforms, waveforms).argmax(dim=1) == target).all()
    for row, clip in enumerate(waveforms):
        without = drops(planted.model, clip, target, torch.stack([stem[row] for stem in stems.values()]))
        fallen = dict(zip(stems, without.tolist(), strict=True))
        assert fallen.pop(cls) > 4
        assert max(fallen.values()) < 0.5


def test_energy_finds_what_is_loud_and_nothing_else(planted):
    assert planted.told("srg", "energy", "rumble") > 4 > 0 > planted.told("srg", "energy", "whisper")
    assert planted.told("ap", "energy", "rumble") > 0.9
    assert planted.told("ap", "energy", "whisper") < 0.05 < 0.4 < planted.told("ap", "input-x-gradient", "whisper")


def test_saliency_points_to_where_nothing_sounds(planted):
    """It is the size of the slope, which is greatest where a sound would speak against the class."""
    assert planted.told("auc", "saliency", "rumble") < 0.2
    assert planted.told("srg", "saliency", "rumble") < planted.told("srg", "cells~0", "rumble") - 3
    assert planted.told("srg", "input-x-gradient", "rumble") > 3  # times what is there


def test_where_either_of_two_is_enough_gradients_and_occlusion_find_neither(planted):
    maps, owned = planted.maps("saliency", "calls")
    rows = network.DETECTORS["call"][0] > 0
    assert (maps[:, rows] == 0).all()
    for method in ("saliency", "input-x-gradient", "occlusion"):
        assert planted.told("ap", method, "calls") < 0.1
    relevance, _ = planted.maps("integrated-gradients", "calls")
    # It is complete: what the calls add, on the way from silence, is all that they can.
    torch.testing.assert_close(
        relevance[:, rows].sum(dim=(1, 2)), torch.full((len(relevance),), 6.0), rtol=0.02, atol=0
    )
    for method in ("integrated-gradients", "slime", "kernel-shap"):
        assert planted.told("srg", method, "calls") > 3
        assert (planted.maps(method, "calls")[0] * owned).sum() > 0


def test_random_halves_of_a_clip_never_hear_an_unbroken_sound(planted):
    """All of the twelve blocks that it passes through must be there, which one in 4096 selections has."""
    model, target = planted.model, network.CLASSES.index("chord")
    _, waveforms, _ = planted.clips("chord")
    blocks = tiles(model.frontend.grid, 4, 6).float()
    halves = torch.randint(2, (100, len(blocks)), generator=torch.Generator().manual_seed(0)).float()
    sounds = apply_masks(model.frontend, waveforms[0], torch.einsum("nb,bft->nft", halves, blocks))
    answers = heard(model, sounds, waveforms[0].expand_as(sounds)).argmax(dim=1)
    assert (answers != target).all()
    maps, owned = planted.maps("slime", "chord")
    assert (maps * owned).sum() < 0  # half a chord speaks against it
    assert planted.told("ap", "slime", "chord") < planted.told("ap", "cells~0", "chord") + 0.05
    for method in ("integrated-gradients", "occlusion"):
        assert planted.told("ap", method, "chord") > planted.told("ap", "slime", "chord") + 0.1
        assert planted.told("srg", method, "chord") > planted.told("srg", "slime", "chord") + 1


def test_a_block_is_coarser_than_a_whisper(planted):
    assert planted.told("auc", "slime", "whisper") > 0.9
    assert planted.told("ap", "slime", "whisper") < 0.3 < planted.told("ap", "integrated-gradients", "whisper")


def test_gradcam_knows_no_frequencies_where_its_layer_knows_none(planted):
    maps, _ = planted.maps("gradcam", "whisper")
    torch.testing.assert_close(maps, maps[:, :1].expand_as(maps))
    assert planted.told("ap", "gradcam", "whisper") < 0.1


@pytest.mark.parametrize("cls", network.CLASSES)
def test_guided_backpropagation_sees_neither_upper_layers_nor_the_class(planted, cls):
    assert planted.alike(NETWORK, "guided-backprop", cls) > 0.8
    assert planted.alike(CLASS, "guided-backprop", cls) > 0.8
    for method in ("standard", "input-x-gradient", "integrated-gradients"):
        assert planted.alike(NETWORK, method, cls) < 0.8
        assert planted.alike(CLASS, method, cls) < 0.3


@pytest.mark.parametrize("cls", ["chord", "rumble", "whisper"])
def test_lrp_by_epsilon_is_the_gradient_times_the_input(planted, cls):
    """Of a network of ReLUs (Shrikumar et al. 2016); where it is heard, that is."""
    standard, product = (planted.maps(method, cls)[0] for method in ("standard", "input-x-gradient"))
    torch.testing.assert_close(standard, product, rtol=0, atol=1e-2 * float(product.abs().max()))


def test_figures_of_a_run_show_each_class_by_itself(planted):
    figures = dict(draw.draw(planted.study, planted.model.frontend))
    for name in ("srg", "ap"):
        panels = figures[f"masking_{name}"].axes
        assert [axis.get_title().split(":")[0] for axis in panels] == list(network.CLASSES)
        row = [label.get_text() for label in panels[0].get_yticklabels()].index("energy")
        for axis, cls in zip(panels, network.CLASSES, strict=True):
            dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"}
            assert dots[row] == pytest.approx(planted.told(name, "energy", cls), rel=1e-4)


def test_the_figure_shows_the_cause_beside_what_is_found(planted):
    axes = np.reshape(figure.draw(planted.study.layout).axes, (len(network.CLASSES), -1))
    for cls, (picture, *maps) in zip(network.CLASSES, axes, strict=True):
        found = [axis.get_title().split() for axis in maps]
        assert found == [[method, f"{planted.told('ap', method, cls):.2f}"] for method in figure.SHOWN]
        assert len(picture.collections) == 2  # a line around the cause, and its rim
    drawn = axes[0, -1].get_images()[0].get_array()
    np.testing.assert_array_equal(drawn, planted.maps(figure.SHOWN[-1], network.CLASSES[0])[0][0])

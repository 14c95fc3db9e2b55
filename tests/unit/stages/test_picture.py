"""Pictures of heatmaps hold the gallery's clips, and need no model."""

from __future__ import annotations

import pytest
import torch

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.metrics.overlap import apart
from earmark.stages import picture
from earmark.store import artifacts
from tests.unit.conftest import STRIPES, copied

FRONTEND = {"sample_rate": 16000, "n_fft": 256, "hop": 64, "n_mels": 32, "n_frames": 32, "offset": 1e-7, "floor": -4.0}


def heatmaps(layout, layer, method, k, clips):
    for cls in STRIPES:
        content = {
            "heatmaps": torch.randn(len(clips), k, 1, 32, 32, generator=torch.Generator().manual_seed(k)),
            "clips": torch.tensor(clips),
            "logits": torch.ones(len(clips)),
            "gallery": torch.arange(len(clips)) < 2,
            "scored": torch.arange(len(clips)) >= 2,
        }
        path = layout.concept("main", layer, method, k, cls) / "heatmaps.safetensors"
        artifacts.write_tensors(path, content, {}, left_out=0)


@pytest.mark.parametrize(("layer", "method", "k"), [("conv2", "drsa", 2), ("input", "standard", 1)])
def test_the_gallery_is_drawn(stripes, tmp_path, monkeypatch, layer, method, k):
    layout = copied(stripes, tmp_path)
    layout.model("main").unlink()
    heatmaps(layout, "input", "standard", 1, [0, 1, 2, 3])
    if layer != "input":
        heatmaps(layout, layer, method, k, [0, 1, 2, 3])
    drawn = []
    monkeypatch.setattr(picture, "explanation_grid", lambda *given: drawn.append(given))
    monkeypatch.setattr(picture, "save", lambda figure, path: path.touch())
    config = {"frontend": FRONTEND, "explain": {"classes": []}, "seed": 0}
    picture.run(Job("picture", tmp_path, "demo", config, split="main", layer=layer, method=method, k=k))
    for cls, (_, inputs, standard, concepts, title) in zip(STRIPES, drawn, strict=True):
        tensors, _ = artifacts.read_tensors(layout.concept("main", layer, method, k, cls) / "heatmaps.safetensors")
        assert torch.equal(inputs, artifacts.read_tensors(layout.logmel)[0]["logmel"][:2, 0])
        assert torch.equal(concepts, tensors["heatmaps"][:2, :, 0])
        whole, _ = artifacts.read_tensors(layout.concept("main", "input", "standard", 1, cls) / "heatmaps.safetensors")
        assert torch.equal(standard, whole["heatmaps"][:2, 0, 0])
        name = f"demo, {cls.title()}: {method} at {layer}, K = {k}"
        known = apart(tensors["heatmaps"][tensors["scored"].bool()])
        assert title == (name if k == 1 else f"{name} ({known.text})")
        assert (layout.concept("main", layer, method, k, cls) / "heatmaps.png").exists()


def test_standard_heatmaps_of_other_clips_are_refused(stripes, tmp_path):
    layout = copied(stripes, tmp_path)
    heatmaps(layout, "input", "standard", 1, [5, 6])
    heatmaps(layout, "conv2", "drsa", 2, [0, 1])
    config = {"frontend": FRONTEND, "explain": {"classes": []}, "seed": 0}
    with pytest.raises(EarmarkError, match="explain again"):
        picture.run(Job("picture", tmp_path, "demo", config, split="main", layer="conv2", method="drsa", k=2))

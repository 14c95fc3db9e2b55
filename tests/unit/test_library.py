"""What others call by name stays where it is, and takes what it took: these lists are a contract."""

import inspect

import pytest
import torch

from earmark.explainers import base as explainers
from earmark.explainers.base import Batch, Parts
from earmark.explainers.explanation import Explanation
from earmark.explainers.subspaces import decompose, drsa, info
from earmark.explainers.subspaces.basis import Subspaces
from earmark.lrp import attributor, rules
from earmark.metrics import flipping, masking, objects
from earmark.metrics.flipping import Flipping
from earmark.models import audionet
from earmark.models import base as models
from earmark.models.base import Model, Network
from earmark.sound import masks
from earmark.sound.base import Frontend
from earmark.sound.logmel import LogMel

FUNCTIONS = {
    models.load: "path",
    audionet.build: "n_classes",
    rules.from_config: "block",
    attributor.heatmaps: "model inputs targets rules",
    attributor.pairs_at: "model inputs targets layer rules",
    drsa.fit: "activations contexts n_subspaces * objective n_restarts seed",
    drsa.objective: "activations contexts basis n_subspaces",
    info.fit: "activations contexts n_subspaces * n_restarts seed",
    decompose.concept_heatmaps: "model inputs targets layer subspaces rules",
    flipping.patch_flipping: "model inputs targets heatmaps patch replacement seeds",
    masking.scores: "model waveforms targets sounds",
    objects.information: "relevance",
    LogMel.from_config: "block",
    LogMel.__call__: "self waveforms like",
    masks.render: "frontend waveform standard heatmaps",
    explainers.build: "method model layer settings state seed",
}
"""Names of parameters in their order, those behind the star by keyword alone. What a function takes beyond these, it
can do without."""

PARTS = {
    Model: "network frontend classes layers multi_label logits watched",
    Network: "network frontend classes layers multi_label logits watched",
    Frontend: "sample_rate clip_samples shape grid __call__ relevance lift stft istft",
    LogMel: "sample_rate clip_samples shape grid __call__ relevance lift stft istft",
    Subspaces: "basis n_subspaces objective restarts history projections",
    Flipping: "thesis fair curve",
    Batch: "clips waveforms inputs targets",
    Parts: "maps samples sounds checks",
    Explanation: "clips logits gallery scored maps samples sounds relevance of strongest",
}
"""Attributes and methods."""


@pytest.mark.parametrize(
    ("function", "wanted"), FUNCTIONS.items(), ids=[f"{one.__module__}.{one.__qualname__}" for one in FUNCTIONS]
)
def test_a_function_takes_what_it_took(function, wanted):
    parameters = list(inspect.signature(function).parameters.values())
    placed, _, named = (part.split() for part in wanted.partition("*"))
    assert [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY][: len(placed)] == placed
    assert set(named) <= {one.name for one in parameters}
    assert all(one.default is not one.empty for one in parameters if one.name not in (*placed, *named))


@pytest.mark.parametrize(("kind", "wanted"), PARTS.items(), ids=[one.__name__ for one in PARTS])
def test_what_is_handed_over_has_its_parts(kind, wanted):
    assert set(wanted.split()) <= {*dir(kind), *getattr(kind, "__dataclass_fields__", {})}


def test_the_waveform_network_hears_a_second_at_8_khz():
    assert audionet.build(2).eval()(torch.zeros(1, 1, 8000)).shape == (1, 2)

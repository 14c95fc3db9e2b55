"""Concepts of two networks are alike where their relevance is, whatever their channels; and the stage as a whole."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.data.chosen import COLUMNS as CHOSEN
from earmark.data.chosen import SCORED
from earmark.explainers import explanation
from earmark.explainers.explanation import Explanation
from earmark.explainers.subspaces.affinity import matched
from earmark.explainers.subspaces.alignment import Correlations, Grouped, random_concepts, spread
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.job import Job
from earmark.lrp.rules import from_config
from earmark.metrics.correlation import pearson
from earmark.models import base as models
from earmark.plan import config
from earmark.stages import agree
from earmark.store import artifacts
from earmark.store.layout import Layout
from tests.unit.conftest import FRONTEND, model_of, striped

ORDER = [3, 0, 7, 1, 6, 2, 5, 4]
CLASSES = ("rows", "columns")
COLUMNS = "clip path class group fold set offset samples recording_offset recording_samples recording".split()
CONFIG = {
    **config.fill({"grid": {"methods": ["drsa", "random~0"], "layers": ["conv2"], "k": [2]}, "networks": 2}),
    "seed": 0,
}


def with_channels_permuted(network: torch.nn.Sequential) -> torch.nn.Sequential:
    """Copy a network that computes the same with the channels of its second layer in another order."""
    other = copy.deepcopy(network)
    conv, after = other.get_submodule("conv2"), other.get_submodule("conv3")
    with torch.no_grad():
        conv.weight.copy_(conv.weight[ORDER])
        conv.bias.copy_(conv.bias[ORDER])
        after.weight.copy_(after.weight[:, ORDER])
    return other


def correlations(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Correlate concepts ``[n, K, *grid]``, some clips at a time."""
    found = Correlations()
    for ours, theirs in zip(first.split(2), second.split(2), strict=True):
        found.add(spread(ours), spread(theirs))
    return found.values


def test_correlations_are_pearsons_over_all_cells_of_clips_of_equal_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(5, 3, 1, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    found = correlations(one, other)
    for k in range(3):
        for l in range(3):  # noqa: E741
            ours, theirs = (
                (part / part.sum(dim=1, keepdim=True)).flatten().numpy()
                for part in (maps[:, place].flatten(1).clamp_min(0) for maps, place in ((one, k), (other, l)))
            )
            assert float(found[k, l]) == pytest.approx(np.corrcoef(ours, theirs)[0, 1])
    louder = one * torch.tensor([1.0, 10.0, 0.1, 3.0, 7.0]).view(-1, 1, 1, 1, 1)
    assert torch.allclose(correlations(louder, one).diagonal(), torch.ones(3).double())


def test_a_concept_without_relevance_is_like_none() -> None:
    maps = torch.rand(4, 2, 1, 3, 3)
    maps[:, 1] = -1.0
    found = correlations(maps, maps)
    assert float(found[0, 0]) == pytest.approx(1, abs=1e-6)
    assert found[1].tolist() == [0, 0] == found[:, 1].tolist()


def test_what_groups_add_is_what_the_pairs_over_all_clips_are_made_of() -> None:
    """Two places of two concepts each here; there the same, the second place's in another order, and two draws."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.rand(4, 6, 9, generator=generator, dtype=torch.float64)
    drawn = torch.rand(4, 6, 9, generator=generator, dtype=torch.float64)
    theirs = torch.cat([ours[[0, 1, 3, 2]], drawn])
    found, groups = Grouped(), np.array(["a", "b", "a", "c", "b", "a"])
    for some in (slice(0, 4), slice(4, 6)):
        found.add(ours[:, some], theirs[:, some], groups[some])
    assert found.sizes == {"a": (3, 27), "b": (2, 18), "c": (1, 9)}
    matched_terms, random_terms, level = found.matched(1, 1, range(2, 4), 2)
    whole = pearson(54, sum(terms.numpy() for terms in matched_terms.values()))
    np.testing.assert_allclose(whole, [1, 1])
    of_draws = [
        matched(torch.from_numpy(np.corrcoef(ours[2:].flatten(1), draw.flatten(1))[:2, 2:])) for draw in drawn.split(2)
    ]
    assert level.tolist() == pytest.approx(torch.stack(of_draws).quantile(0.95, dim=0).tolist())
    random = pearson(54, sum(terms.numpy() for terms in random_terms.values()))
    assert random.mean() == pytest.approx(float(torch.stack(of_draws).mean()), abs=0.02)  # of draws as one


def test_the_same_concepts_by_other_channels_are_found_again(trained) -> None:
    other = model_of(with_channels_permuted(trained.network))
    basis = random_orthogonal(8, torch.Generator().manual_seed(0)).to(trained.inputs.dtype)
    arguments = trained.inputs, trained.targets, "conv2"
    ours = concept_heatmaps(trained.model, *arguments, Subspaces(basis, 2), trained.rules)
    swapped = basis[ORDER][:, [4, 5, 6, 7, 0, 1, 2, 3]]  # and in another order
    theirs = concept_heatmaps(other, *arguments, Subspaces(swapped, 2), trained.rules)
    values = matched(correlations(ours, theirs))
    assert torch.allclose(values, torch.ones(2).double(), atol=1e-6)
    drawn = random_concepts(other, *arguments, 2, trained.rules, range(5))
    assert drawn.shape == (5, 2, trained.inputs.numel())
    chance = Correlations()
    chance.add(spread(ours), drawn.flatten(0, 1))
    at_random = torch.stack([matched(values) for values in chance.values.unflatten(1, (5, 2)).unbind(dim=1)])
    assert float(at_random.max()) < 0.999
    assert torch.equal(drawn, random_concepts(other, *arguments, 2, trained.rules, range(5)))


@pytest.fixture(scope="module")
def results(tmp_path_factory, trained) -> Path:
    """Two networks that are the same but for the order of their channels; the second recognises one clip less."""
    folder = tmp_path_factory.mktemp("results")
    layout = Layout(folder, "stripes")
    inputs, targets = striped(24, torch.Generator().manual_seed(7))
    rows = [
        [clip, f"{clip}.wav", CLASSES[target], clip, clip % 10, "main", 0, 1, 0, 1, clip]
        for clip, target in enumerate(targets.tolist())
    ]
    artifacts.write_csv(layout.clip_index, COLUMNS, rows, {})
    artifacts.write_csv(layout.classes, ["slug", "name", "recordings"], [[cls, cls, 12] for cls in CLASSES], {})
    manifest = ["path", "class", "group", "fold", "seconds", "sample_rate", "sha256", "status", "reason"]
    recordings = [[row[1], row[2], "", 0, 1.0, 16000, "", "", ""] for row in rows]
    artifacts.write_csv(layout.manifest, manifest, recordings, {})
    np.save(layout.clips, np.zeros(1, np.int16))
    artifacts.write_tensors(layout.logmel, {"logmel": inputs}, {}, clip_samples=1)
    architecture = {"name": "cnn", "filters": [8, 8, 16], "dense": [12], "n_classes": 2, "input_shape": [32, 32]}
    basis = random_orthogonal(8, torch.Generator().manual_seed(0)).float()
    rules = from_config({"lrp": CONFIG["lrp"]})
    for split, network in (("main", trained.network), ("net1", with_channels_permuted(trained.network))):
        single = copy.deepcopy(network).float()
        models.save(layout.model(split), single, architecture, CLASSES, dataclasses.asdict(FRONTEND), {})
        dropped = int(np.flatnonzero(targets.numpy() == 0)[0])
        kept = [clip for clip in range(24) if (split, clip) != ("net1", dropped)]
        told = [[clip, CLASSES[int(targets[clip])], 1.0, SCORED, ""] for clip in kept]
        artifacts.write_csv(layout.chosen(split), CHOSEN, told, {})
        turned = basis if split == "main" else basis[ORDER]
        drawn = random_orthogonal(8, torch.Generator().manual_seed(ord(split[0]))).float()
        for method, axes in (("drsa", turned), ("random~0", drawn)):
            for index, cls in enumerate(CLASSES):
                clips = torch.tensor([clip for clip in kept if int(targets[clip]) == index])
                wanted = torch.full((len(clips),), index)
                maps = concept_heatmaps(model_of(single), inputs[clips], wanted, "conv2", Subspaces(axes, 2), rules)
                every = torch.ones(len(clips), dtype=torch.bool)
                path = layout.concept(split, "conv2", method, 2, cls) / explanation.NAME
                explanation.write(
                    Explanation(clips, torch.ones(len(clips)), every, every.clone(), maps, None, None, 0, {}, path), {}
                )
    agree.run(Job("agree", folder, "stripes", CONFIG, split="main", layer="conv2", k=2, gpu=0))
    return folder


def test_the_stage_writes_a_row_per_method_pair_of_networks_and_concept(results: Path) -> None:
    rows = artifacts.read_rows(Layout(results, "stripes").agreement("main", "conv2", 2))
    assert tuple(rows[0]) == agree.COLUMNS
    keys = [(row["cls"], row["method"], row["network"], row["other"], row["concept"]) for row in rows]
    pairs = [("main", "net1"), ("net1", "main")]
    wanted = [
        (cls, name, *pair, str(k)) for cls in CLASSES for name in ("drsa", "random~0") for pair in pairs for k in (1, 2)
    ]
    assert sorted(keys) == sorted(wanted)
    _, targets = striped(24, torch.Generator().manual_seed(7))
    both = int((targets == 0).sum()) - 1
    assert {row["clips"] for row in rows if row["cls"] == "rows"} == {str(both)}  # that both recognise
    for row in rows:
        if row["method"] == "drsa":
            assert float(row["correlation"]) == pytest.approx(1, abs=1e-4)
            assert float(row["correlation"]) > float(row["level"]) >= float(row["random"])
    at_random = [float(row["correlation"]) - float(row["level"]) for row in rows if row["method"] == "random~0"]
    assert np.mean(at_random) < 0.05

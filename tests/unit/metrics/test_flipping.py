"""Patch flipping against a slow re-implementation that follows the definitions line by line."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from earmark.errors import EarmarkError
from earmark.metrics import flipping
from earmark.metrics.flipping import _tie_order, matched_budget, patch_flipping, schedule, thesis_table
from earmark.metrics.overlap import overlap, similarity
from earmark.metrics.scores import score, ties_seeds
from earmark.models.base import Network
from earmark.sound.stft import Stft
from earmark.stages.cross import score_row
from tests.unit.conftest import model_of

SIDE, PATCH = 16, 4  # 4 x 4 patches
P = (SIDE // PATCH) ** 2


@pytest.fixture
def network():
    """A small network with everything that behaves differently in training mode."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same"),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * (SIDE // 4) ** 2, 3),
    )
    return net.eval()


def clips(n=5, k=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 1, SIDE, SIDE, generator=generator)
    heatmaps = torch.randn(n, k, 1, SIDE, SIDE, generator=generator)
    targets = torch.randint(0, 3, (n,), generator=generator)
    return inputs, targets, heatmaps


def slow_patches(heatmap):
    """Relevance of each patch, in reading order."""
    sums = []
    for row in range(0, SIDE, PATCH):
        for column in range(0, SIDE, PATCH):
            sums.append(float(heatmap[0, row : row + PATCH, column : column + PATCH].double().sum()))
    return sums


def slow_flip(inputs, patches, value):
    flipped = inputs.clone()
    for patch in patches:
        row, column = divmod(patch, SIDE // PATCH)
        flipped[
            0,
            row * PATCH : (row + 1) * PATCH,
            column * PATCH : (column + 1) * PATCH,
        ] = value
    return flipped


def slow_ranking(sums, ties):
    """Patches from most to least relevant; equal ones in the order of `ties`."""
    return sorted(range(len(sums)), key=lambda patch: (-sums[patch], ties.index(patch)))


def slow_ties(seeds):
    orders = []
    for seed in seeds:
        draws = np.random.default_rng(seed).random(P)
        orders.append(sorted(range(P), key=lambda patch, draws=draws: draws[patch]))
    return orders


def slow_steps(n_patches):
    """1, 4, 9, ... patches until all are flipped."""
    steps, tau = [], 1
    while sum(steps) < n_patches:
        steps.append(min(tau**2, n_patches - sum(steps)))
        tau += 1
    return steps


def logit(net, clip, target):
    with torch.no_grad():
        return float(net(clip[None])[0, target])


def slow_thesis(net, clip, target, maps, ties):
    """Eq. 4.4, one step after the other."""
    rankings = [slow_ranking(slow_patches(heatmap.clamp(min=0)), ties) for heatmap in maps]
    before, total, flipped, union = max(logit(net, clip, target), 0), 0.0, 0, set()
    counts = [0]
    for step in slow_steps(P):
        for ranking in rankings:
            union |= set(ranking[flipped : flipped + step])
        flipped += step
        after = max(logit(net, slow_flip(clip, union, 0.0), target), 0)
        total += min(flipped / P, 1) * (before - after) / 2
        before = after
        counts.append(len(union))
    return total, counts


def slow_matched(net, clip, target, heatmap, ties, counts):
    ranking = slow_ranking(slow_patches(heatmap.clamp(min=0)), ties)
    before, total, flipped = max(logit(net, clip, target), 0), 0.0, 0
    for step, count in zip(slow_steps(P), counts[1:], strict=True):
        flipped += step
        after = max(logit(net, slow_flip(clip, ranking[:count], 0.0), target), 0)
        total += flipped / P * (before - after) / 2
        before = after
    return total


def slow_fair(net, clip, target, maps, ties, value):
    rankings = [slow_ranking(slow_patches(heatmap), ties) for heatmap in maps]
    best = [min(ranking.index(patch) for ranking in rankings) for patch in range(P)]
    merged = sorted(range(P), key=lambda patch: (best[patch], ties.index(patch)))
    own = logit(net, clip, target)
    curve, flipped = [own], 0
    fractions = [0.0]
    for step in slow_steps(P):
        flipped += step
        curve.append(logit(net, slow_flip(clip, merged[:flipped], value), target))
        fractions.append(flipped / P)
    area = sum(
        (curve[step] + curve[step + 1]) / 2 * (fractions[step + 1] - fractions[step]) for step in range(len(curve) - 1)
    )
    return area / own, curve


@pytest.mark.parametrize("k", [1, 2, 5])
def test_scores_equal_the_slow_definition(network, k):
    inputs, targets, heatmaps = clips(k=k)
    heatmaps[:, :, :, :PATCH, : 3 * PATCH] = 0.0  # ties in every ranking
    heatmaps[0, 0] = -heatmaps[0, 0].abs()  # a concept without positive relevance: all tied once rectified
    zero = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH, "zero", seeds=3)
    floor = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH, "floor", seeds=3)
    control = matched_budget(
        model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps[:, :1], zero.union_counts, PATCH, seeds=3
    )
    for i, ties in enumerate(slow_ties(range(3, 3 + len(inputs)))):
        args = network, inputs[i], int(targets[i]), heatmaps[i], ties
        thesis, counts = slow_thesis(*args)
        fair, curve = slow_fair(*args, 0.0)
        fair_floor, curve_floor = slow_fair(*args, float(inputs[i].min()))
        matched = slow_matched(network, inputs[i], int(targets[i]), heatmaps[i, 0], ties, counts)
        np.testing.assert_allclose(zero.thesis[i], thesis, atol=1e-5)
        assert zero.union_counts[i].tolist() == counts
        np.testing.assert_allclose(zero.curve[1][i], curve, atol=1e-5)
        np.testing.assert_allclose(floor.curve[1][i], curve_floor, atol=1e-5)
        np.testing.assert_allclose(zero.fair[i], fair, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(floor.fair[i], fair_floor, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(control[i], matched, atol=1e-5)
    assert torch.isnan(floor.thesis).all() and torch.isnan(floor.union_logits).all()


def test_schedule_takes_squares_until_all_are_flipped():
    assert schedule(64).diff().tolist() == [1, 4, 9, 16, 25, 9]
    assert schedule(1).tolist() == [0, 1]
    assert schedule(5).tolist() == [0, 1, 5]
    assert schedule(6).tolist() == [0, 1, 5, 6]


def test_curve_runs_from_the_clip_to_the_wholly_replaced_one(network):
    inputs, targets, heatmaps = clips()
    for replacement, blank in (
        ("zero", torch.zeros_like(inputs)),
        ("floor", inputs.amin(dim=(1, 2, 3), keepdim=True).expand_as(inputs)),
    ):
        fractions, logits = patch_flipping(
            model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH, replacement
        ).curve
        assert fractions[0] == 0 and fractions[-1] == 1
        with torch.no_grad():
            torch.testing.assert_close(logits[:, 0], network(inputs).gather(1, targets[:, None])[:, 0])
            torch.testing.assert_close(logits[:, -1], network(blank).gather(1, targets[:, None])[:, 0])


def test_one_concept_is_the_standard_map(network):
    """K = 1: the control is the score itself, and every step flips what it is weighted by."""
    inputs, targets, heatmaps = clips(k=1)
    flipping = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH, seeds=2)
    control = matched_budget(
        model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, flipping.union_counts, PATCH, seeds=2
    )
    torch.testing.assert_close(flipping.thesis, control)
    assert (flipping.union_counts == schedule(P)).all()
    positive = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps.abs(), PATCH, seeds=2)
    torch.testing.assert_close(positive.union_logits, positive.curve[1])


def test_identical_concepts_score_like_one(network):
    inputs, targets, heatmaps = clips(k=1)
    one = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH)
    four = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps.repeat(1, 4, 1, 1, 1), PATCH)
    torch.testing.assert_close(one.thesis, four.thesis)
    torch.testing.assert_close(one.fair, four.fair)


def test_order_of_concepts_does_not_matter(network):
    inputs, targets, heatmaps = clips(k=4)
    heatmaps[:, 2] = heatmaps[:, 0]
    first = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH)
    second = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps[:, [2, 3, 0, 1]], PATCH)
    assert torch.equal(first.thesis, second.thesis)
    assert torch.equal(first.fair, second.fair)
    torch.testing.assert_close(overlap(heatmaps), overlap(heatmaps[:, [2, 3, 0, 1]]))


def test_thesis_scores_alone_are_the_same(network):
    inputs, targets, heatmaps = clips(n=7, k=4)
    full = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH, seeds=5).thesis
    torch.testing.assert_close(
        thesis_table(model_of(network, 1, SIDE, SIDE), inputs, targets, [heatmaps], PATCH, seeds=5)[:, 0], full
    )


def test_ties_depend_on_each_clips_seed_only(network):
    inputs, targets, heatmaps = clips(n=6, k=2)
    model = model_of(network, 1, SIDE, SIDE)
    blank = torch.zeros_like(heatmaps)
    seeds = [11, 5, 7, 2**62, 3, 9]
    whole = patch_flipping(model, inputs, targets, blank, PATCH, seeds=seeds)
    rows = [4, 0, 3]
    some = patch_flipping(
        model, inputs[rows], targets[rows], blank[rows, :1], PATCH, seeds=[seeds[row] for row in rows]
    )
    torch.testing.assert_close(whole.curve[1][rows], some.curve[1])
    with pytest.raises(EarmarkError, match="6 clips need as many seeds"):
        patch_flipping(model, inputs, targets, blank, PATCH, seeds=seeds[:2])


def test_one_seed_stands_for_itself_plus_the_row(network):
    inputs, targets, heatmaps = clips(n=6, k=2)
    model = model_of(network, 1, SIDE, SIDE)
    blank = torch.zeros_like(heatmaps)
    whole = patch_flipping(model, inputs, targets, blank, PATCH, seeds=0)
    several = patch_flipping(model, inputs, targets, blank, PATCH, seeds=torch.arange(6))
    assert torch.equal(whole.curve[1], several.curve[1])
    other = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, blank, PATCH, seeds=1)
    assert not torch.allclose(whole.curve[1], other.curve[1])
    orders = _tie_order(range(2000), P)
    # Every patch comes first equally often: reading order must not decide.
    assert np.abs(np.bincount(orders[:, 0], minlength=P) / 2000 - 1 / P).max() < 0.03


def test_small_batches_change_nothing_and_bound_the_memory(network, monkeypatch):
    inputs, targets, heatmaps = clips(n=6, k=2)
    whole = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH)
    sizes = []
    model = model_of(network, 1, SIDE, SIDE)
    network.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    monkeypatch.setattr(flipping, "BATCH", 7)
    small = patch_flipping(model, inputs, targets, heatmaps, PATCH)
    torch.testing.assert_close(whole.thesis, small.thesis)
    torch.testing.assert_close(whole.fair, small.fair)
    steps = len(slow_steps(P))
    assert max(sizes) == 7
    assert sum(sizes) == 6 * (2 * steps)  # T + 1 merged ones, T - 1 unions: the two ends are shared


def test_model_is_evaluated_and_left_as_it_was(network):
    inputs, targets, heatmaps = clips()
    reference = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH)
    network.train()
    network[1].eval()  # a module frozen on purpose stays frozen
    before = {name: value.clone() for name, value in network.state_dict().items()}
    again = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH)
    torch.testing.assert_close(reference.thesis, again.thesis)
    assert network.training and network[5].training and not network[1].training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not again.thesis.is_inference() and not again.curve[1].is_inference()


class Cropping(nn.Module):
    """A network that looks at the first rows and columns only."""

    def __init__(self, network, rows, columns):
        super().__init__()
        self.network, self.cells = network, (slice(rows), slice(columns))

    def forward(self, inputs):
        return self.network(nn.functional.pad(inputs[..., *self.cells], (0, 2, 0, 1)))


def test_patches_at_the_far_edges_may_be_smaller(network):
    """Cells beyond the edge that hold nothing, and that nobody reads, would change nothing."""
    inputs, targets, heatmaps = clips()
    rows, columns = SIDE - 1, SIDE - 2
    cut, whole = (part[..., :rows, :columns] for part in (inputs, heatmaps))
    beyond = (0, 2, 0, 1)
    small = patch_flipping(model_of(Cropping(network, rows, columns), 1, rows, columns), cut, targets, whole, PATCH)
    padded = (nn.functional.pad(part, beyond) for part in (cut, whole))
    large_inputs, large_maps = padded
    large = patch_flipping(
        model_of(Cropping(network, rows, columns), 1, SIDE, SIDE), large_inputs, targets, large_maps, PATCH
    )
    torch.testing.assert_close(small.thesis, large.thesis)
    torch.testing.assert_close(small.fair, large.fair)


def test_no_clips_give_no_scores(network):
    inputs, targets, heatmaps = clips()
    empty = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs[:0], targets[:0], heatmaps[:0], PATCH)
    assert empty.thesis.shape == (0,) and empty.curve[1].shape == (0, len(slow_steps(P)) + 1)
    assert overlap(heatmaps[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 0}, "do not tile"),
        ({"replacement": "mean"}, "unknown replacement"),
        ({"heatmaps": torch.zeros(5, 3, SIDE, SIDE)}, "heatmaps"),
        ({"heatmaps": torch.zeros(5, 0, 1, SIDE, SIDE)}, "at least one concept"),
        ({"heatmaps": torch.zeros(4, 3, 1, SIDE, SIDE)}, "not of the same clips"),
        ({"heatmaps": torch.full((5, 3, 1, SIDE, SIDE), torch.nan)}, "not finite"),
        ({"targets": torch.zeros(4, dtype=torch.long)}, "not of the same clips"),
    ],
)
def test_what_does_not_fit_is_an_error(network, change, message):
    inputs, targets, heatmaps = clips()
    arguments = {"inputs": inputs, "targets": targets, "heatmaps": heatmaps, "patch": PATCH, **change}
    with pytest.raises(EarmarkError, match=message):
        patch_flipping(model_of(network, 1, SIDE, SIDE), **arguments)


def test_a_seed_may_be_numpys_and_none_is_negative(network):
    inputs, targets, heatmaps = clips()
    model, ties = model_of(network, 1, SIDE, SIDE), torch.zeros_like(heatmaps)
    expected = patch_flipping(model, inputs, targets, ties, PATCH, seeds=3)
    found = patch_flipping(model, inputs, targets, ties, PATCH, seeds=np.int64(3))
    assert torch.equal(found.fair, expected.fair)
    for seeds in (-1, [0, 1, -2, 3, 4], np.arange(5) - 1):
        with pytest.raises(EarmarkError, match="at least 0, not -"):
            patch_flipping(model, inputs, targets, heatmaps, PATCH, seeds=seeds)


def test_matched_budget_needs_one_map_and_fitting_counts(network):
    inputs, targets, heatmaps = clips()
    counts = patch_flipping(model_of(network, 1, SIDE, SIDE), inputs, targets, heatmaps, PATCH).union_counts
    for maps, budget in ((heatmaps, counts), (heatmaps[:, :1], counts[:, :-1])):
        with pytest.raises(EarmarkError, match="matched budget needs"):
            matched_budget(model_of(network, 1, SIDE, SIDE), inputs, targets, maps, budget, PATCH)


class Linear(nn.Module):
    """Evidence is the sum of the cells weighted patch by patch: every patch's worth is known."""

    def __init__(self, worth):
        super().__init__()
        grid = worth.view(SIDE // PATCH, SIDE // PATCH)
        self.weights = grid.repeat_interleave(PATCH, 0).repeat_interleave(PATCH, 1) / PATCH**2

    def forward(self, inputs):
        return (inputs[:, 0] * self.weights).sum(dim=(1, 2))[:, None]


def test_oracle_map_of_a_linear_model_is_unbeaten():
    generator = torch.Generator().manual_seed(0)
    model = Linear(torch.rand(P, generator=generator) + 0.1)
    inputs = torch.ones(200, 1, SIDE, SIDE)
    targets = torch.zeros(200, dtype=torch.long)
    oracle = model.weights.expand(200, 1, 1, SIDE, SIDE)
    best = patch_flipping(model_of(model, 1, SIDE, SIDE), inputs, targets, oracle, PATCH)
    worst = patch_flipping(model_of(model, 1, SIDE, SIDE), inputs, targets, -oracle, PATCH)
    noise = patch_flipping(
        model_of(model, 1, SIDE, SIDE),
        inputs,
        targets,
        torch.randn(200, 1, 1, SIDE, SIDE, generator=generator),
        PATCH,
        seeds=1,
    )
    assert (noise.fair > best.fair).all() and (noise.fair < worst.fair).all()
    assert (noise.thesis > best.thesis).all()
    torch.testing.assert_close(noise.fair.mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_noise_is_worth_the_same_for_every_k_by_fair_but_not_by_thesis():
    """The defect of the thesis score that the fair one mends: it rewards the number of concepts."""
    n = 1500
    generator = torch.Generator().manual_seed(1)
    model = Linear(torch.rand(P, generator=generator) + 0.1)
    inputs, targets = torch.ones(n, 1, SIDE, SIDE), torch.zeros(n, dtype=torch.long)
    fair, thesis = [], []
    for k in (1, 2, 4, 8):
        maps = torch.randn(n, k, 1, SIDE, SIDE, generator=generator)
        flipping = patch_flipping(model_of(model, 1, SIDE, SIDE), inputs, targets, maps, PATCH)
        fair.append(flipping.fair.sort().values)
        thesis.append(flipping.thesis.mean())
    for other in fair[1:]:
        # Kolmogorov-Smirnov: the 0.1 % critical value for two samples of this size.
        place = torch.searchsorted(other.contiguous(), fair[0].contiguous()) / n
        assert (place - torch.arange(n) / n).abs().max() < 1.95 * (2 / n) ** 0.5
    assert all(later < 0.85 * earlier for earlier, later in pairwise(thesis))


def test_overlap_equals_the_pairwise_cosines():
    _, _, heatmaps = clips(n=4, k=4)
    heatmaps[0, 1] = -1.0
    slow = []
    for maps in heatmaps.clamp(min=0).flatten(2).double():
        cosines = []
        for i in range(4):
            for j in range(i):
                norm = float(maps[i].norm() * maps[j].norm())
                cosines.append(float(maps[i] @ maps[j]) / norm if norm else 0.0)
        slow.append(sum(cosines) / 6)
    np.testing.assert_allclose(overlap(heatmaps), slow, atol=1e-6)


def test_overlap_of_special_cases():
    _, _, heatmaps = clips(n=2, k=1)
    assert torch.isnan(overlap(heatmaps)).all()
    same = heatmaps.repeat(1, 3, 1, 1, 1)
    torch.testing.assert_close(overlap(same), torch.ones(2))
    torch.testing.assert_close(overlap(1e-30 * same), torch.ones(2))
    apart = torch.cat([heatmaps, -heatmaps], dim=1)
    assert torch.equal(overlap(apart), torch.zeros(2))
    assert torch.equal(overlap(torch.zeros_like(same)), torch.zeros(2))


def test_time_may_come_first_in_the_input():
    """Patches lie on the grid of the heatmaps; the network gets its own layout."""
    generator = torch.Generator().manual_seed(6)
    rows, frames = 16, 24
    inputs, heatmaps = (torch.randn(3, *shape, rows, frames, generator=generator) for shape in ((1,), (2, 1)))
    targets, weights = torch.tensor([0, 1, 0]), torch.randn(2, rows, frames, generator=generator)
    found = []
    for layout in ("frequency-time", "time-frequency"):
        frontend = Stft(16000, 30, 10, frames, layout=layout)
        network = nn.Sequential(nn.Flatten(), nn.Linear(rows * frames, 2, bias=False))
        network[1].weight.data = frontend.gathered(weights).flatten(1)
        model = Network.around(network, frontend)
        given = frontend.gathered(inputs)
        whole = patch_flipping(model, given, targets, heatmaps, 4, "floor")
        assert whole.fair.shape == (3,)
        zero = patch_flipping(model, given, targets, heatmaps, 4)
        budget = matched_budget(model, given, targets, heatmaps[:, :1], zero.union_counts, 4)
        found.append([whole.fair, zero.thesis, thesis_table(model, given, targets, [heatmaps], 4), budget])
    for plain, turned in zip(*found, strict=True):
        torch.testing.assert_close(plain, turned)


def test_score_columns(network):
    inputs, targets, heatmaps = clips(k=3)
    model = model_of(network, 1, SIDE, SIDE)
    seeds = ties_seeds(4, [f"{clip}.wav" for clip in range(5)])
    standard = heatmaps.sum(dim=1, keepdim=True)
    columns = score(model, inputs, targets, heatmaps, standard, PATCH, seeds).T
    zero = patch_flipping(model, inputs, targets, heatmaps, PATCH, "zero", seeds)
    floor = patch_flipping(model, inputs, targets, heatmaps, PATCH, "floor", seeds)
    control = matched_budget(model, inputs, targets, standard, zero.union_counts, PATCH, seeds)
    between = overlap(heatmaps), similarity(heatmaps)
    for column, expected in zip(columns, [zero.thesis, zero.fair, floor.fair, *between, control], strict=True):
        assert torch.equal(column, expected)
    place = [3, 1]
    alone = score(
        model, inputs[place], targets[place], heatmaps[place], standard[place], PATCH, [seeds[row] for row in place]
    )
    torch.testing.assert_close(alone, columns.T[place])


def test_every_cross_class_cell_flips_its_own_clips(network):
    """Regression: the published loop flipped the clips of another class than the heatmaps'."""
    seeds = [7, 2, 9, 4]
    for attributed in range(2):
        inputs, _, standard = clips(n=4, k=1, seed=attributed)
        targets = torch.full((4,), attributed)
        # Maps that know their clip: flipping another clip by them gives another score.
        decomposed = [torch.stack([scale * inputs, inputs.roll(3, -1) - scale], dim=1) for scale in (1.0, -2.0)]
        reference, scores = score_row(
            model_of(network, 1, SIDE, SIDE), inputs, targets, standard, decomposed, PATCH, seeds
        )
        for i, ties in enumerate(slow_ties(seeds)):
            own, _ = slow_thesis(network, inputs[i], attributed, standard[i], ties)
            assert reference[i] == pytest.approx(own, abs=1e-5)
            for column, maps in enumerate(decomposed):
                expected, _ = slow_thesis(network, inputs[i], attributed, maps[i], ties)
                assert scores[i, column] == pytest.approx(expected, abs=1e-5)

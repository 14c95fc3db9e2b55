"""Surrogates find the weights of theory, on parts that sum to the clip, and miss what they are known to miss."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import KernelShap, Lime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from earmark.errors import EarmarkError
from earmark.explainers import base as explainers
from earmark.explainers import interpretable, lime, surrogates
from earmark.explainers.base import Background, Batch, Parts
from earmark.explainers.interpretable import Decomposition, blocks, pieces, tiles
from earmark.explainers.surrogates import Answers, closeness, everything, kernel_shap, ridge, shapley
from earmark.models.base import Network
from earmark.plan.config import fill
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend
from earmark.sound.waveform import Waveform
from earmark.store.layout import INPUT_LAYER
from tests.unit.conftest import FRONTEND, Trained
from tests.unit.networks import drawn, normed

SILENCE = 10**FRONTEND.floor
"""What the planted models answer to it."""

SEARCHES = {"ridge": surrogates.local(400, 1.0), "kernel": surrogates.sampled(400, 1.0)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, FRONTEND.clip_samples, generator=generator(seed), dtype=torch.float64) / 4


def states_of(samples: int, parts: int, seed: int = 0) -> Tensor:
    return torch.randint(2, (samples, parts), generator=generator(seed))


class Loudness(nn.Module):
    """Answers class 1 by the mean magnitude in the quietest of some blocks of cells, and class 0 by nothing."""

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.masks = masks.double()  # [m, F, T]

    def forward(self, inputs: Tensor) -> Tensor:
        levels = torch.einsum("bft,mft->bm", 10 ** inputs[:, 0].double(), self.masks) / self.masks.sum(dim=(1, 2))
        found = levels.amin(dim=1)
        return torch.stack([torch.zeros_like(found), found], dim=1)


def inside(masks: Tensor) -> Tensor:
    """Take two cells off every edge of blocks ``[m, F, T]``: what the neighbours' sounds do not reach."""
    outside = nn.functional.max_pool2d((~masks).float(), (5, 5), stride=1, padding=2)
    return outside == 0


def listening(masks: Tensor) -> Network:
    return replace(Network.around(Loudness(masks), FRONTEND), classes=("no", "yes"))


def explain(
    model: Network, name: str, clips: Tensor, stems: Tensor | None = None, others: Tensor | None = None, **settings
) -> Parts:
    targets = torch.ones(len(clips), dtype=torch.long)
    stems = clips.new_empty(len(clips), 0, 0) if stems is None else stems
    batch = Batch(np.arange(len(clips)), clips, model.frontend(clips), targets, stems)
    state = None if others is None else Background(np.arange(len(others)), others, torch.zeros(len(others)))
    return explainers.build(name, model, INPUT_LAYER, fill({"explainers": {"lime": settings}}), state, 0)(batch)


# Surrogates


def test_shapley_values_of_an_additive_answer_are_its_weights() -> None:
    weights = torch.randn(7, dtype=torch.float64, generator=generator())
    assert torch.allclose(shapley(everything(7).double() @ weights + 3), weights)


def test_shapley_values_are_means_over_all_orders_and_sum_to_what_all_parts_gain() -> None:
    values = torch.randn(2**3, dtype=torch.float64, generator=generator())
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    gains = torch.zeros(3, dtype=torch.float64)
    for order in orders:
        state = 0
        for part in order:
            gains[part] += (values[state | 1 << part] - values[state]) / len(orders)
            state |= 1 << part
    found = shapley(values)
    assert torch.allclose(found, gains)
    assert float(found.sum()) == pytest.approx(float(values[-1] - values[0]))


def test_twins_share_alike_a_dummy_has_nothing_and_an_interaction_is_halved() -> None:
    first, second, third, _ = everything(4).double().T
    found = shapley(6 * first * second + third)
    assert found.tolist() == pytest.approx([3, 3, 1, 0])
    either = shapley(6 * torch.maximum(first, second))  # a part and its duplicate: each does what both do
    assert either.tolist() == pytest.approx([3, 3, 0, 0])


@pytest.mark.parametrize(("samples", "shrink"), [(100, 0.10), (300, 0.03), (1000, 0.008), (2000, 0.004)])
def test_ridge_shrinks_an_additive_answer_by_what_is_known(samples, shrink) -> None:
    weights = torch.randn(24, dtype=torch.float64, generator=generator())
    found = surrogates.local(samples, 1.0)(lambda states: states.double() @ weights + 3, 24, generator(1))
    assert 1 - float(found.weights @ weights / weights.square().sum()) == pytest.approx(shrink, rel=0.25)
    assert found.unexplained < 0.02


def test_ridge_is_scikit_learns() -> None:
    states, values = states_of(60, 9), torch.randn(60, dtype=torch.float64, generator=generator())
    intercept, found = ridge(states, values, closeness(states), 0.7)
    oracle = Ridge(alpha=0.7).fit(states.numpy(), values.numpy(), sample_weight=closeness(states).numpy())
    assert found.tolist() == pytest.approx(oracle.coef_.tolist(), rel=1e-9)
    assert float(intercept) == pytest.approx(oracle.intercept_, rel=1e-9)


@pytest.mark.parametrize("parts", [2, 24, 100])
def test_a_state_with_half_the_parts_weighs_half(parts) -> None:
    half = torch.arange(parts) < parts // 2
    assert closeness(torch.stack([torch.ones(parts), half])).tolist() == pytest.approx([1, 0.503], abs=1e-3)


def test_kernel_shap_finds_an_additive_answer_in_few_states_and_shapley_values_in_many() -> None:
    weights = torch.randn(12, dtype=torch.float64, generator=generator())
    additive = surrogates.sampled(40, 1.0)(lambda states: states.double() @ weights + 3, 12, generator())
    assert torch.allclose(additive.weights, weights)
    assert additive.unexplained < 1e-12

    def pairs(states: Tensor) -> Tensor:
        there = states.double()
        return there @ weights + 4 * there[:, 0] * there[:, 1] - 2 * there[:, 2] * (1 - there[:, 3])

    def triples(states: Tensor) -> Tensor:
        return pairs(states) + 8 * states[:, 4:7].prod(dim=1).double()

    def error(answers: Answers, samples: int) -> float:
        found = surrogates.sampled(samples, 1.0)(answers, 12, generator()).weights
        return float((found - shapley(answers(everything(12)))).norm() / found.norm())

    assert error(pairs, 100) < 1e-9  # states and their complements cancel what two parts do together
    assert error(triples, 6400) < error(triples, 100) / 3 < 0.05


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_one_seed_gives_one_surrogate_and_another_seed_another(search) -> None:
    def answers(states: Tensor) -> Tensor:
        return (states[:, 0] * states[:, 1] - states[:, 2]).double()

    first, again, other = (search(answers, 12, generator(seed)).weights for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_kernel_shap_is_complete_whatever_is_drawn() -> None:
    def answers(states: Tensor) -> Tensor:
        return 5 * states.prod(dim=1).double() + 1

    for samples in (4, 10, 100):  # fewer than there are parts, too
        assert float(surrogates.sampled(samples, 1.0)(answers, 12, generator()).weights.sum()) == pytest.approx(5)


def test_parts_in_another_order_have_their_weights_in_that_order() -> None:
    states, values = states_of(80, 12), torch.randn(80, dtype=torch.float64, generator=generator())
    order = torch.randperm(12, generator=generator(1))
    near = closeness(states)
    assert torch.allclose(ridge(states[:, order], values, near, 1.0)[1], ridge(states, values, near, 1.0)[1][order])
    assert torch.allclose(kernel_shap(states[:, order], values, 2.0), kernel_shap(states, values, 2.0)[order])


def test_what_is_always_the_same_is_explained() -> None:
    found = surrogates.local(50, 1.0)(
        lambda states: torch.full((len(states),), 2.0, dtype=torch.float64), 12, generator()
    )
    assert (found.weights.abs() < 1e-12).all()
    assert found.unexplained == 0


# Parts


def cuts(clip: Tensor) -> dict[str, Decomposition]:
    settings = fill({"explainers": {"lime": {"pieces": 3}}})["explainers"]["lime"]
    stems = torch.stack([noise(1, 3)[0], noise(1, 4)[0] / 8])
    return {name: cut(FRONTEND, lime.Clip(clip, stems, 1), settings) for name, (cut, *_) in lime.METHODS.items()}


def test_parts_sum_to_the_clip_and_their_shares_to_one() -> None:
    clip = noise(1)[0]
    for parts in cuts(clip).values():
        assert torch.allclose(parts.sounds.sum(dim=0), clip, atol=1e-6)
        assert torch.allclose(parts.shares.sum(dim=0), torch.ones(FRONTEND.grid[1:], dtype=torch.float64), atol=1e-4)
        assert torch.allclose(parts.densities().sum(dim=(1, 2)), torch.ones(len(parts.sounds), dtype=torch.float64))


def test_what_sources_lack_of_the_clip_is_a_part_and_silent_ones_are_none() -> None:
    clip, spectrum = noise(1)[0], FRONTEND.stft(noise(1))
    whole = pieces(FRONTEND, clip, torch.cat([spectrum, 0 * spectrum]), 2)
    assert len(whole.sounds) == 2
    half = pieces(FRONTEND, clip, spectrum / 2, 2)
    assert len(half.sounds) == 3
    assert torch.allclose(half.sounds[-1], clip / 2, atol=1e-9)


@pytest.mark.parametrize(("grid", "rows", "columns"), [((1, 32, 32), 4, 6), ((1, 33, 30), 2, 7), ((1, 3, 2), 4, 6)])
def test_blocks_tile_the_grid_evenly(grid, rows, columns) -> None:
    masks = tiles(grid, rows, columns)
    assert torch.equal(masks.sum(dim=0), torch.ones(grid[1:], dtype=torch.long))
    sizes = masks.any(dim=1).sum(dim=1)
    assert int(sizes.max()) <= math.ceil(grid[2] / columns)


def test_harmonic_and_percussive_parts_are_a_tone_and_a_click() -> None:
    tone = 0.3 * torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(FRONTEND.clip_samples)).double()
    click = torch.zeros_like(tone)
    click[4000] = 5
    stays, strikes = FRONTEND.istft(interpretable.harmonic_percussive(FRONTEND, tone + click))
    assert float((stays - tone).norm() / tone.norm()) < 0.3
    assert float((strikes - click).norm() / click.norm()) < 0.5


def test_components_are_the_sounds_that_a_clip_is_made_of() -> None:
    time = torch.arange(FRONTEND.clip_samples)
    first, second = (torch.sin(2 * torch.pi * pitch / 16000 * time).double() for pitch in (500, 3000))
    first, second = first * (time < 5000), second * (time > 2000)
    parts = FRONTEND.istft(interpretable.factors(FRONTEND, first + second, 2, 0))
    errors = [min(float((part - sound).norm() / sound.norm()) for part in parts) for sound in (first, second)]
    assert max(errors) < 0.1


# Answers


def loud(model: Network, sound: Tensor, clip: Tensor) -> float:
    return float(model.logits(FRONTEND(sound[None], clip))[0, 1])


@pytest.mark.parametrize("absent", ["silence", "noise"])
def test_all_parts_are_the_clip_and_none_is_the_baseline(absent) -> None:
    clip = noise(1)[0]
    clip[FRONTEND.clip_samples // 2 :] /= 30
    model = listening(tiles(FRONTEND.grid, 1, 1))
    parts = blocks(FRONTEND, clip, 4, 6)
    off = lime.away(FRONTEND, parts, clip, absent, generator())
    answers = lime.answering(model, clip, 1, parts.sounds, off)
    none, every = answers(torch.stack([torch.zeros(24), torch.ones(24)]).long()).tolist()
    assert every == pytest.approx(loud(model, clip, clip), abs=1e-6)
    assert none == pytest.approx(loud(model, off.sum(dim=0), clip), abs=1e-6)
    if absent == "noise":  # as loud as the clip in the mean, and all the time
        drawn = interpretable.background(FRONTEND, clip, generator())
        assert torch.allclose(off.sum(dim=0), drawn, atol=1e-6)
        assert float(drawn.square().mean() / clip.square().mean()) == pytest.approx(1, rel=0.1)
        ends = (drawn[:2000].square().mean(), drawn[-2000:].square().mean())
        assert float(ends[0] / ends[1]) == pytest.approx(1, abs=0.5)
    else:
        assert none == pytest.approx(SILENCE, abs=1e-6)


def test_weights_sum_to_what_the_clip_has_over_silence() -> None:
    clips = noise(2)
    model = listening(tiles(FRONTEND.grid, 1, 1))
    for name in ("slime-segments", "kernel-shap"):  # ten parts, exactly; 24 parts, by construction
        maps = explain(model, name, clips, samples=60).maps
        for clip, found in zip(clips, maps, strict=True):
            assert float(found.sum()) == pytest.approx(loud(model, clip, clip) - SILENCE, rel=1e-6)


def test_labels_that_are_questions_of_their_own_are_explained_by_their_logit() -> None:
    clips, seen = noise(1), tiles(FRONTEND.grid, 1, 1)
    both = replace(listening(seen), multi_label=True)

    class Against(Loudness):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) - 2 * super().forward(inputs).flip(1)  # the classes' odds are not a logit

    against = replace(both, network=Against(seen))
    sums = {
        multi: float(explain(replace(against, multi_label=multi), "slime-segments", clips).maps.sum())
        for multi in (False, True)
    }
    gain = loud(listening(seen), clips[0], clips[0]) - SILENCE
    assert sums == pytest.approx({True: gain, False: 3 * gain}, rel=1e-6)


# The training clips' mean for parts that are away


class Weighted(nn.Module):
    """Answers class 1 by a weighted sum of the input's cells, and class 0 by nothing."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights  # [F, T], or [1, S]

    def forward(self, inputs: Tensor) -> Tensor:
        found = (inputs.double() * self.weights).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(found), found], dim=1)


@pytest.mark.parametrize("layout", ["frequency-time", "time-frequency"])
def test_blocks_weigh_what_their_cells_have_over_the_training_clips_mean(layout) -> None:
    frontend = replace(FRONTEND, layout=layout)
    weights = torch.randn(frontend.shape[1:], dtype=torch.float64, generator=generator())
    model, clips = Network.around(Weighted(weights), frontend), noise(2)
    clips[1] = 0  # less than is usual, too
    others = frontend(noise(5, 1))
    options = {"frequency_blocks": 2, "time_blocks": 4}  # eight blocks: exactly
    parts = explain(model, "slime-mean", clips, others=others, **options)
    masks = tiles(frontend.grid, 2, 4).double()
    gains = frontend.spread(weights * (frontend(clips) - others.mean(dim=0)))[:, 0]  # [B, F, T]
    found, expected = (torch.einsum("bft,mft->bm", maps, masks) for maps in (parts.maps[:, 0, 0], gains))
    assert torch.allclose(found, expected, atol=1e-9)
    best = blocks(frontend, clips[0], 2, 4).sounds[found[0].argsort(descending=True)[:3]]
    assert torch.allclose(parts.sounds[0, 0], best.sum(dim=0))


def test_blocks_of_a_waveform_weigh_what_their_part_of_it_does() -> None:
    frontend = Waveform(8000, 256, n_fft=32, hop=16, peak_scaling=False)
    weights, *others = torch.randn(4, 1, 256, dtype=torch.float64, generator=generator())
    clips, usual = torch.randn(2, 256, generator=generator()), torch.stack(others).mean(dim=0)
    options = {"frequency_blocks": 2, "time_blocks": 4}
    model = Network.around(Weighted(weights), frontend)
    maps = explain(model, "slime-mean", clips, others=torch.stack(others), **options).maps[:, 0, 0]
    masks = tiles(frontend.grid, 2, 4).double()
    spectra = frontend.stft(clips.double() - usual)  # [B, F, T]
    parts = torch.stack([frontend.istft(mask * spectra) for mask in masks], dim=1)  # [B, M, S]
    assert torch.allclose(torch.einsum("bft,mft->bm", maps.double(), masks), parts @ weights[0], atol=1e-4)


# captum as an oracle


def captums(answers: Answers, states: Tensor, peer: str) -> Tensor:
    """Let captum fit given states [N, d] of a clip's parts: their weights [d]."""
    near = get_exp_kernel_similarity_function("cosine", kernel_width=surrogates.WIDTH)
    made = Lime(answers, SkLearnRidge(alpha=1.0), near) if peer == "slime" else KernelShap(answers)
    following = iter(states.split(1))
    made.perturb_func = lambda *_, **named: next(following)
    return made.attribute(torch.ones(1, states.shape[1]), n_samples=len(states)).flatten()


@pytest.mark.parametrize("network", ["ours", "foreign"])
@pytest.mark.parametrize("name", ["slime", "kernel-shap"])
def test_weights_equal_captums_for_the_same_states(trained: Trained, name: str, network: str) -> None:
    model = trained.model if network == "ours" else Network.around(drawn(normed()), FRONTEND)
    clip, asked = noise(1)[0], []
    sounds = blocks(FRONTEND, clip, 4, 6).sounds

    def one(state: Tensor) -> Tensor:
        """Answer one state after the other, by the sum of what is there."""
        logits = model.network(FRONTEND(state.double() @ sounds, clip)).detach()  # [1, C]
        return logits[:, 1] - torch.cat([logits[:, :1], logits[:, 2:]], dim=1).logsumexp(dim=1)

    answers = lime.answering(model, clip, 1, sounds, torch.zeros_like(sounds))
    search = lime.METHODS[name][-1](200, 1.0)
    found = search(lambda states: asked.append(states) or answers(states), len(sounds), generator()).weights
    expected = captums(one, asked[0], name).double()
    # It solves in single precision, and its KernelSHAP lets the clip and none of it weigh a million for infinity.
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


# Explanations


@pytest.mark.parametrize("name", ["slime", "kernel-shap"])
def test_the_block_that_the_model_hears_has_the_weight_and_is_what_sounds(name) -> None:
    masks, clips = tiles(FRONTEND.grid, 4, 6), noise(2)
    parts = explain(listening(inside(masks[[9]])), name, clips, samples=200, top=1)
    shares = torch.einsum("bft,mft->bm", parts.maps[:, 0, 0].abs(), masks.double())
    assert (shares[:, 9] / shares.sum(dim=1) > 0.8).all()
    assert torch.allclose(parts.maps[0, 0, 0][masks[9]].diff(), torch.zeros(1, dtype=torch.float64), atol=1e-9)
    for clip, sound in zip(clips, parts.sounds[:, 0], strict=True):
        assert torch.allclose(sound, blocks(FRONTEND, clip, 4, 6).sounds[9])
    assert parts.checks["parts"] == 24
    assert 0 < parts.checks["unexplained"] < 0.1


def test_the_stem_that_the_model_hears_has_the_weight_and_is_what_sounds() -> None:
    stems = noise(3)
    cells = tiles(FRONTEND.grid, 4, 1)
    masks = torch.stack([cells[0], cells[1], cells[3]]).double()
    stems = FRONTEND.istft(FRONTEND.lift(masks) * FRONTEND.stft(stems))  # one band each
    clip = stems.sum(dim=0, keepdim=True)
    parts = explain(listening(cells[[1]]), "audiolime-stems", clip, stems[None], pieces=1, top=1)
    assert torch.allclose(parts.sounds[0, 0], stems[1], atol=1e-6)
    weights = torch.einsum("ft,mft->m", parts.maps[0, 0, 0], masks)
    assert float(weights[1] / weights.abs().sum()) > 0.9


def test_what_a_separator_lost_is_found_in_what_it_left() -> None:
    cells = tiles(FRONTEND.grid, 4, 1)
    masks = torch.stack([cells[0], cells[1], cells[3]]).double()
    bands = FRONTEND.istft(FRONTEND.lift(masks) * FRONTEND.stft(noise(3)))
    clip = bands.sum(dim=0, keepdim=True)
    separated = bands[[0, 2]]  # without the band that the model hears
    parts = explain(listening(cells[[1]]), "audiolime-folder", clip, separated[None], pieces=1, top=1)
    assert torch.allclose(parts.sounds[0, 0], bands[1], atol=1e-6)
    assert parts.checks["parts"] == 3


def test_only_positive_parts_sound() -> None:
    sounds, weights = torch.eye(4, dtype=torch.float64), torch.tensor([0.5, -2.0, 1.0, 0.1], dtype=torch.float64)
    assert lime.heard(sounds, weights, 2).tolist() == [1, 0, 1, 0]
    assert lime.heard(sounds, weights, 4).tolist() == [1, 0, 1, 1]
    assert lime.heard(sounds, -weights.abs(), 4).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", [name for name in lime.METHODS if "training" not in method_of(name).needs])
def test_silence_is_explained_by_nothing_and_so_are_silent_ends(name) -> None:
    clips = noise(2)
    clips[0] = 0
    clips[1, 3000:] = 0
    parts = explain(
        listening(tiles(FRONTEND.grid, 1, 1)), name, clips, clips[:, None], samples=20, segments=4, pieces=2
    )
    assert not parts.maps[0].any()
    assert not parts.sounds[0].any()
    assert parts.maps[1, 0, 0, :, :10].sum() > 10 * parts.maps[1, 0, 0, :, -10:].abs().sum()


def test_lime_misses_a_cause_that_a_conjunction_hides_and_taking_one_part_away_does_not() -> None:
    """Planted causes are missed where random selections nearly never hold all of them (Praher et al. 2021)."""
    masks, clips = tiles(FRONTEND.grid, 4, 6), noise(4)
    causes = torch.tensor([0, 2, 5, 7, 9, 12, 14, 17, 19, 22])
    planted = torch.zeros(24, dtype=torch.bool)
    planted[causes] = True
    model = listening(masks[causes])

    def found(weights: Tensor) -> float:
        """Chance that a cause weighs more than what is none, over clips."""
        return float((weights[:, planted, None] > weights[:, None, ~planted]).double().mean())

    def weighed(name: str) -> Tensor:
        return torch.einsum("bft,mft->bm", explain(model, name, clips).maps[:, 0, 0], masks.double())

    sounds = [blocks(FRONTEND, clip, 4, 6).sounds for clip in clips]
    answers = [lime.answering(model, clip, 1, on, 0 * on) for clip, on in zip(clips, sounds, strict=True)]
    without = torch.stack([asked(1 - torch.eye(24).long()) for asked in answers])  # [B, 24]
    assert found(-without) == 1
    assert found(weighed("slime")) < 0.7
    assert found(weighed("kernel-shap")) > 0.95  # which also asks for nearly all of the clip


def test_a_front_end_that_nobody_has_placed_is_refused_in_its_own_words(trained: Trained) -> None:
    class Unplaced(type(FRONTEND)):
        def lift(self, masks: Tensor) -> Tensor:
            raise EarmarkError("where its cells lie is not known")

    unplaced: Frontend = Unplaced(**dataclasses.asdict(FRONTEND))
    with pytest.raises(EarmarkError, match="where its cells lie"):
        explain(replace(trained.model, frontend=unplaced), "slime", noise(1))

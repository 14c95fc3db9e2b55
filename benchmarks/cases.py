"""What is measured, case by case: each gives rows for ``latest.json`` and the table."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import attributions, baselines, inputs, measure
from earmark.explainers import base as explainers
from earmark.explainers import lime
from earmark.explainers.base import Batch
from earmark.explainers.subspaces import drsa, info
from earmark.explainers.subspaces.basis import Subspaces, random_orthogonal
from earmark.explainers.subspaces.decompose import decomposed
from earmark.job import Job
from earmark.lrp import attributor
from earmark.lrp.rules import from_config
from earmark.metrics.flipping import _tie_order, schedule, thesis_table
from earmark.metrics.masking import log_odds
from earmark.metrics.scores import CLIPS
from earmark.models import base as models
from earmark.models.base import Network
from earmark.plan import config
from earmark.sound.kinds import from_settings
from earmark.sound.logmel import LogMel
from earmark.sound.masks import render
from earmark.stages import generate

K = 4
PUBLISHED_RUNS, PUBLISHED_STEPS = 3, 5000
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where and how much to measure.

    Attributes
    ----------
    device : torch.device
        Of both sides.
    limits : mapping
        The device's ``flops`` and ``bytes`` per second.
    quick : bool
        Small sizes: to see that everything runs.
    full : bool
        Also run the published fit at D = 128 to its end.
    stored : mapping
        Published objectives of earlier runs, by case and fingerprint of the pairs.
    threads : int
        Of the CPU.
    """

    device: torch.device
    limits: Mapping[str, float]
    quick: bool = False
    full: bool = False
    stored: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 2

    @property
    def size(self) -> inputs.Size:
        """The network that is explained."""
        return inputs.SYNTHETIC if self.quick else inputs.GTZAN

    def median(self, *calls: Callable[[], Any]) -> list[float]:
        """Median seconds of calls run in turn."""
        return measure.medians(list(calls), self.device, repeats=2 if self.quick else measure.REPEATS)


@functools.cache
def _trained(size: inputs.Size) -> Network:
    """Train on the CPU, once: every device gets the same weights."""
    return inputs.model(size, steps=100)


def _model(size: inputs.Size, device: torch.device) -> Network:
    model = _trained(size)
    return replace(model, network=copy.deepcopy(model.network).requires_grad_(False).to(device))


def _row(
    setting: Setting,
    name: str,
    ours: float,
    *,
    required: str,
    met: bool,
    published: float | None = None,
    agreement: str = "",
    agrees: bool = True,
    flops: float = 0.0,
    traffic: float = 0.0,
    note: str = "",
    **more: Any,
) -> Row:
    """Put a case's figures together; the floor is what its arithmetic or its memory traffic must take."""
    floors = {"arithmetic": flops / setting.limits["flops"], "memory": traffic / setting.limits["bytes"]}
    bound = max(floors, key=lambda kind: floors[kind])
    return {
        "name": name,
        "ours_s": ours,
        "published_s": published,
        "ratio": published / ours if published else None,
        "required": required,
        "met": bool(met and agrees),
        "agreement": agreement,
        "agrees": bool(agrees),
        "floor_s": floors[bound],
        "floor": bound,
        "times_floor": ours / floors[bound] if floors[bound] else None,
        "note": note,
        **more,
    }


# Subspaces


def _fit(activations: torch.Tensor, contexts: torch.Tensor) -> Subspaces:
    """Fit as the workflow does."""
    settings = config.fill({})["explainers"]["drsa"]
    return drsa.fit(
        activations,
        contexts,
        K,
        n_restarts=settings["restarts"],
        max_iterations=settings["max_iterations"],
        tolerance=settings["tolerance"],
    )


@contextmanager
def _counted() -> Iterator[list[float]]:
    """Count the floating-point operations of the objective's evaluations: four products of pairs and basis."""
    counts: list[float] = []
    original = drsa.SoftMinimum.evaluated

    def evaluated(problem: drsa.SoftMinimum, bases: torch.Tensor) -> Any:
        counts.append(8.0 * len(bases) * problem.n_pairs * bases.shape[-1] ** 2)
        return original(problem, bases)

    drsa.SoftMinimum.evaluated = evaluated  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        drsa.SoftMinimum.evaluated = original  # type: ignore[method-assign]


def published_objective(activations: torch.Tensor, contexts: torch.Tensor, runs: int, steps: int) -> float:
    """Best objective of the published procedure on normalised pairs."""
    best = 0.0
    for run in range(runs):
        generator = torch.Generator().manual_seed(run)
        basis = random_orthogonal(activations.shape[1], generator).to(activations)
        for _ in range(steps):
            basis = baselines.drsa_step(activations, contexts, basis, K)
        best = max(best, float(drsa.objective(activations, contexts, basis, K)))
    return best


def _fitted(setting: Setting, name: str, size: inputs.Size, run_to_end: bool) -> Row:
    layer = "conv5"
    activations, contexts = (part.to(setting.device) for part in inputs.pairs(_trained(size), size, layer))
    normalised = drsa.normalise(activations), drsa.normalise(contexts)
    n_pairs, n_channels = activations.shape
    start = random_orthogonal(n_channels, torch.Generator().manual_seed(0)).to(activations)
    block = 10 if n_channels > 64 else 100
    reached = [start]

    def steps() -> None:
        for _ in range(block):
            reached[0] = baselines.drsa_step(*normalised, reached[0], K)

    found = []
    per_block, ours = setting.median(steps, lambda: found.append(_fit(activations, contexts)))
    with _counted() as counts:
        _fit(activations, contexts)
    runs, length = (1, 200) if setting.quick else (PUBLISHED_RUNS, PUBLISHED_STEPS)
    key = f"{name}: {float(normalised[0].double().sum()):.6g} {float(normalised[1].double().sum()):.6g}"
    objective = published_objective(*normalised, runs, length) if run_to_end else setting.stored.get(key)
    published = PUBLISHED_RUNS * PUBLISHED_STEPS * per_block / block
    if objective is None:
        agreement = f"objective {found[-1].objective:.5f}; the published run to its end (--full) was not made"
    else:
        agreement = f"objective {found[-1].objective:.5f}, published {objective:.5f}"
    limit = 0.060 if n_channels > 64 else 0.004
    slow = per_block / block > limit
    return _row(
        setting,
        f"DRSA fit, N {n_pairs}, D {n_channels}, K {K}",
        ours,
        required=">= 50x, objective >= published",
        met=published / ours >= 50 and objective is not None,
        published=published,
        agreement=agreement,
        agrees=objective is None or found[-1].objective >= objective,
        flops=sum(counts),
        note=f"published: 3 x 5000 steps of {1e3 * per_block / block:.2f} ms"
        + (" (TOO SLOW A BASELINE)" if slow else ""),
        objective=found[-1].objective,
        published_objective=objective,
        published_key=key,
        step_s=per_block / block,
    )


def drsa_fits(setting: Setting) -> list[Row]:
    """Fit subspaces at the sizes of both of the thesis's data sets."""
    rows = [_fitted(setting, "synthetic", inputs.SYNTHETIC, run_to_end=True)]
    if not setting.quick:
        rows.append(_fitted(setting, "gtzan", inputs.GTZAN, run_to_end=setting.full))
    return rows


def info_fits(setting: Setting) -> list[Row]:
    """Fit subspaces that tell places apart, on one thread; ten classes are ten such fits."""
    cases = [
        ("25 600 places, five starts", inputs.SYNTHETIC, "conv3", 100, 1, 3.0),
        ("240 clips, ten classes", inputs.GTZAN, "conv4", 240, 10, 120.0),
        ("240 clips, ten classes", inputs.GTZAN, "conv5", 240, 10, None),
        ("64 clips, ten classes", inputs.GTZAN, "conv3", 64, 10, None),
    ]
    torch.set_num_threads(1)
    try:
        return [_info_fit(setting, *case) for case in (cases[:1] if setting.quick else cases)]
    finally:
        torch.set_num_threads(setting.threads)


def _info_fit(
    setting: Setting, name: str, size: inputs.Size, layer: str, count: int, n_classes: int, limit: float | None
) -> Row:
    grids = [part.to(setting.device) for part in inputs.grids(_trained(size), size, layer, count)]
    found: list[Subspaces] = []
    (once,) = measure.medians([lambda: found.append(_info(*grids))], setting.device, repeats=2)
    _, n_channels, height, width = grids[0].shape
    took = n_classes * once
    return _row(
        setting,
        f"info fit, {name}, D {n_channels}, {height} x {width}, K {K}, one core",
        took,
        required="reported" if limit is None else f"<= {limit:.0f} s",
        met=limit is None or took <= limit,
        agreement=f"{found[-1].objective:.4f} nats; "
        f"{sum(len(course) - 1 for course in found[-1].history)} evaluations on all places",
    )


def _info(activations: torch.Tensor, contexts: torch.Tensor) -> Subspaces:
    """Fit as the workflow does."""
    settings = config.fill({})["explainers"]["info"]
    return info.fit(
        activations,
        contexts,
        K,
        n_restarts=settings["restarts"],
        neighbourhood=settings["neighbourhood"],
        max_iterations=settings["max_iterations"],
        tolerance=settings["tolerance"],
    )


# Heatmaps


def _explained(setting: Setting, count: int) -> tuple[Network, torch.Tensor, torch.Tensor]:
    clips, targets = inputs.clips(setting.size, count, seed=5)
    return _model(setting.size, setting.device), clips.to(setting.device), targets.to(setting.device)


def _floor(network: nn.Sequential, clips: torch.Tensor, layer: str, n_maps: int) -> dict[str, float]:
    """Count what heatmaps must take: two passes forward (layer and rule), one down to the layer, one per map below.

    A pass through a convolution multiplies and adds each weight at each place, and writes and reads its outputs.
    """
    flops = traffic = 0.0
    below, x = True, clips[:1]
    with torch.no_grad():
        for name, module in network.named_children():
            x = module(x)
            if isinstance(module, nn.Conv2d | nn.Linear):
                passes = 2 + (n_maps if below else 1)
                places = x[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
                flops += passes * 2.0 * module.weight.numel() * places * len(clips)
                traffic += passes * 2.0 * x.element_size() * x.numel() * len(clips)
            below = below and name != layer
    return {"flops": flops, "traffic": traffic}


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def heatmaps(setting: Setting) -> list[Row]:
    """Explain clips by K concepts at every layer, and by ten classes' concepts at once."""
    model, *all_clips = _explained(setting, 4)
    n_classes = 10
    rows = []
    for layer in [f"conv{number}" for number in range(1, 6)]:
        all_bases = inputs.bases(model.layers[layer], K, n_classes)
        for count, chosen, required in ((4, all_bases[:1], 6), (2, all_bases, 10)):
            clips, targets = (part[:count] for part in all_clips)
            arguments = clips, targets, layer
            sets = f", {len(chosen)} classes' concepts" if len(chosen) > 1 else ""
            theirs: list[torch.Tensor] = []
            ours: list[torch.Tensor] = []

            def published(chosen=chosen, theirs=theirs, arguments=arguments) -> None:
                theirs[:] = [
                    baselines.concept_heatmaps(model.network, *arguments, basis, setting.size.rules) for basis in chosen
                ]

            def library(chosen=chosen, ours=ours, arguments=arguments) -> None:
                ours[:] = decomposed(model, *arguments, chosen, setting.size.rules)

            slow, fast = setting.median(published, library)
            error = max(_relative(one, other[:, 1:]) for one, other in zip(ours, theirs, strict=True))
            rows.append(
                _row(
                    setting,
                    f"heatmaps at {layer}, K {K}{sets}, {count} clips",
                    fast,
                    required=f">= {required}x, maps equal to 1e-5",
                    met=slow / fast >= required,
                    published=slow,
                    agreement=f"largest difference {error:.1e} of the largest value",
                    agrees=error <= 1e-5,
                    **_floor(model.network, clips, layer, K * len(chosen)),
                )
            )
    return rows


def memory(setting: Setting) -> list[Row]:
    """Peak memory of a class's row of the cross-class matrix, for few clips and for three times as many."""
    layer, few = "conv4", 8 if setting.quick else CLIPS
    model, clips, targets = _explained(setting, 3 * few)
    all_bases = inputs.bases(model.layers[layer], K, 10)
    patch = setting.size.patch

    def row(count: int) -> None:
        for part in range(0, count, few):
            batch = clips[part : part + few], targets[part : part + few]
            thesis_table(model, *batch, decomposed(model, *batch, layer, all_bases, setting.size.rules), patch)

    row(few)
    took = measure.seconds(lambda: row(few), setting.device)
    small, large = (measure.peak_memory(functools.partial(row, count), setting.device) for count in (few, 3 * few))
    return [
        _row(
            setting,
            f"a row of the cross-class matrix, {few} clips",
            took,
            required="memory independent of the number of clips",
            met=large <= 1.2 * small + 2**26,
            agreement=f"peak {small / 2**20:.0f} MB; {3 * few} clips: {large / 2**20:.0f} MB",
            note="heatmaps and flipping, batch after batch as stage `cross` does",
            **_floor(model.network, clips[:few], layer, 10 * K),
        )
    ]


# Gradients


def waveforms(setting: Setting) -> list[Row]:
    """Explain clips of 8000 samples in time and frequency, beside one forward and one backward pass of the network."""
    return [_waveforms(setting, name) for name in (["audionet-s"] if setting.quick else ["audionet-s", "audionet"])]


def _waveforms(setting: Setting, name: str) -> Row:
    block = config.fill({"model": {"architecture": name}})
    frontend, rules, count = from_settings(block["frontend"]), from_config(block), 8 if setting.quick else 100
    layers = {key: block["model"][key] for key in ("filters", "dense")} | {"weight_std": 0.1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.build(name, n_classes=10, input_shape=frontend.shape[1:], **layers)
    network = network.eval().requires_grad_(False).to(setting.device)
    for parameter in (parameter for key, parameter in network.named_parameters() if key.endswith("bias")):
        parameter.zero_()  # so that all of the logit arrives
    model = Network.around(network, frontend, tuple(map(str, range(10))))
    generator = torch.Generator().manual_seed(1)
    clips = frontend(torch.randn(count, frontend.clip_samples, generator=generator)).to(setting.device)
    targets = (torch.arange(count) % 10).to(setting.device)

    def passes() -> None:
        for batch, wanted in attributor.batches(clips, targets):
            entered = batch.clone().requires_grad_()
            torch.autograd.grad(network(entered).gather(1, wanted.view(-1, 1)).sum(), entered)

    maps: list[torch.Tensor] = []
    once, ours = setting.median(passes, lambda: maps.append(attributor.heatmaps(model, clips, targets, rules)))
    logits = model.logits(clips).gather(1, targets.view(-1, 1))[:, 0]
    error = _relative(maps[-1].sum(dim=(1, 2, 3)), logits)
    return _row(
        setting,
        f"heatmaps of {name}, {count} clips of {frontend.clip_samples} samples",
        ours,
        required="<= 3x one forward and backward pass, sums equal to 1e-4",
        met=ours <= 3 * once,
        agreement=f"largest difference {error:.1e} of the largest logit",
        agrees=error <= 1e-4,
        note=f"{ours / once:.1f} x a forward and backward pass, {once:.2f} s",
    )


def gradient_maps(setting: Setting) -> list[Row]:
    """Explain clips by gradients at many places for each, against captum, by the quicker of its ways to cut batches."""
    size, count = inputs.SYNTHETIC, 10 if setting.quick else 100
    model = _model(size, setting.device)
    clips, targets = (part.to(setting.device) for part in inputs.clips(size, count, seed=5))
    others = inputs.clips(size, 50, seed=6)[0].to(setting.device)
    timed = attributions.pairs(model, clips, targets, others)
    # In single precision a rounding decides now and then which cell of a pool is the largest, on either side.
    exact = replace(model, network=copy.deepcopy(model.network).double())
    compared = attributions.pairs(exact, clips[:10].double(), targets[:10], others.double())
    return [
        _gradient_row(setting, model.network, clips, pair, like.alike())
        for pair, like in zip(timed, compared, strict=True)
    ]


def _gradient_row(
    setting: Setting,
    network: nn.Sequential,
    clips: torch.Tensor,
    pair: attributions.Pair,
    alike: tuple[torch.Tensor, torch.Tensor],
) -> Row:
    fast, *slow = setting.median(pair.ours, *pair.theirs)
    error = _relative(*alike)
    floor = _floor(network, clips, "", 0)  # a pass forward and one back
    return _row(
        setting,
        f"{pair.name}, {pair.places} places, {len(clips)} clips",
        fast,
        required=">= 2x captum, maps equal to 1e-5",
        met=min(slow) / fast >= 2,
        published=min(slow),
        agreement=f"largest difference {error:.1e} of the largest value",
        agrees=error <= 1e-5,
        flops=pair.places * floor["flops"],
        traffic=pair.places * floor["traffic"],
        note=f"in double precision; captum as it comes: {max(slow) / fast:.1f}x",
    )


# Patch flipping


def flipping(setting: Setting) -> list[Row]:
    """Score one matrix of 10 x 10 cells: clips of ten classes under ten sets of heatmaps."""
    per_row, n_sets, patch = (1 if setting.quick else 2), 10, setting.size.patch
    model, clips, targets = _explained(setting, 10 * per_row)
    layer = "conv4"
    chosen = inputs.bases(model.layers[layer], K, n_sets)
    maps = decomposed(model, clips, targets, layer, chosen, setting.size.rules)
    ties = _tie_order(range(per_row), (setting.size.side // patch) ** 2).to(setting.device)
    results: dict[str, torch.Tensor] = {}

    def published() -> None:
        scores = [
            [
                baselines.thesis_score(model.network, clip, int(target), cell[i], patch, ties[i % per_row])
                for cell in maps
            ]
            for i, (clip, target) in enumerate(zip(clips, targets, strict=True))
        ]
        results["published"] = torch.tensor(scores)

    def library(model: Network = model) -> None:
        rows = [slice(start, start + per_row) for start in range(0, len(clips), per_row)]
        results["ours"] = torch.cat(
            [thesis_table(model, clips[row], targets[row], [cell[row] for cell in maps], patch).cpu() for row in rows]
        )

    slow, fast = setting.median(published, library)
    error = float((results["ours"] - results["published"]).abs().max())
    evaluated = _inputs_evaluated(model, library)
    theirs = len(clips) * n_sets * len(schedule(ties.shape[1]))
    forward = _floor(model.network, clips[:1], "", 0)  # two passes
    return [
        _row(
            setting,
            f"patch flipping, 10 x 10 cells of {per_row} clips",
            fast,
            required=">= 5x, scores equal to 1e-5",
            met=slow / fast >= 5,
            published=slow,
            agreement=f"largest difference {error:.1e}",
            agrees=error <= 1e-5,
            flops=evaluated * forward["flops"] / 2,
            traffic=evaluated * forward["traffic"] / 2,
            note=f"{evaluated} inputs evaluated; published {theirs}",
        )
    ]


def _inputs_evaluated(model: Network, call: Callable[[Network], Any]) -> int:
    sizes: list[int] = []
    network = copy.deepcopy(model.network)
    network.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    call(replace(model, network=network))
    return sum(sizes)


# Surrogates


def surrogates(setting: Setting) -> list[Row]:
    """Explain clips by 1000 states of 24 blocks, by ridge regression and by KernelSHAP."""
    samples = 100 if setting.quick else 1000
    sizes = ((inputs.SYNTHETIC, ">= 10x, weights equal to 1e-4"), (inputs.GTZAN, "reported, weights equal to 1e-4"))
    return [
        _surrogate(setting, name, peer, size, required, samples)
        for size, required in sizes[: 1 if setting.quick else 2]
        for name, peer in (("slime", baselines.lime), ("kernel-shap", baselines.kernel_shap))
    ]


def _surrogate(
    setting: Setting, name: str, peer: Callable[..., torch.Tensor], size: inputs.Size, required: str, samples: int
) -> Row:
    """Compare one method with captum's, on the states that it draws and through the same sounds."""
    model = _model(size, setting.device)
    settings = config.fill({"explainers": {"lime": {"samples": samples}}})
    frontend, (clip,) = model.frontend, inputs.waveforms(1, model.frontend.clip_samples).to(setting.device)
    target = torch.zeros(1, dtype=torch.long, device=setting.device)
    batch = Batch(np.arange(1), clip.unsqueeze(0), frontend(clip.unsqueeze(0)), target, clip.new_empty(1, 0, 0))
    explainer = explainers.build(name, model, "input", settings, None, 0)
    cut, _, search = lime.METHODS[name]
    sounds = cut(frontend, lime.Clip(clip, batch.stems[0], 0), settings["explainers"]["lime"]).sounds
    answering = lime.answering(model, clip, 0, sounds, torch.zeros_like(sounds))
    asked: list[torch.Tensor] = []

    def recorded(states: torch.Tensor) -> torch.Tensor:
        asked.append(states)
        return answering(states)

    expected = search(samples, 1.0)(recorded, len(sounds), torch.Generator().manual_seed(0)).weights

    def one(state: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return log_odds(model.network(frontend(state.to(sounds) @ sounds, clip)), target)

    theirs: list[torch.Tensor] = []
    slow, fast = setting.median(lambda: theirs.append(peer(one, asked[0])), lambda: explainer(batch))
    error = _relative(theirs[-1].to(expected), expected)
    floor = _floor(model.network, batch.inputs, "", 0)  # two passes
    return _row(
        setting,
        f"{name}, {samples} states of {len(sounds)} blocks, {size.side} x {size.side}",
        fast,
        required=required,
        met=slow / fast >= 10 or required.startswith("reported"),
        published=slow,
        agreement=f"largest difference {error:.1e} of the largest weight",
        agrees=error <= 1e-4,
        flops=samples * floor["flops"] / 2,
        traffic=samples * floor["traffic"] / 2,
        note="published: captum, one state after the other",
    )


# Sound


def sound(setting: Setting) -> list[Row]:
    """Turn sound into log-mel spectrograms, on one core, and concepts into sound."""
    frontend = LogMel(16000, 800, 360, n_mels=128, n_frames=128)  # GTZAN's (thesis A.1)
    if setting.device.type != "cpu":
        return []  # both run on the CPU in the workflow
    batch = inputs.waveforms(16, frontend.clip_samples)
    torch.set_num_threads(1)
    (took,) = setting.median(lambda: frontend(batch))
    torch.set_num_threads(setting.threads)
    speed = len(batch) * frontend.clip_seconds / took
    frames = len(batch) * frontend.n_frames
    transform = 2.5 * frontend.n_fft * torch.log2(torch.tensor(float(frontend.n_fft))).item()
    front = _row(
        setting,
        f"front end, {len(batch)} clips of {frontend.clip_seconds:.2f} s, one core",
        took,
        required=">= 500x real time per core",
        met=speed >= 500,
        agreement=f"{speed:.0f}x real time",
        # the limits are those of all threads: one core has its share
        flops=setting.threads * frames * (transform + 2 * frontend.n_mels * frontend.spectrum_bins),
        traffic=frames * 4.0 * (frontend.hop + 6 * frontend.spectrum_bins + 2 * frontend.n_mels),
    )
    generator = torch.Generator().manual_seed(6)
    maps = torch.randn(K, frontend.n_mels, frontend.n_frames, generator=generator)
    (took,) = setting.median(lambda: render(frontend, batch[0], maps.sum(dim=0), maps))
    cells = frontend.spectrum_bins * frontend.n_frames
    concepts = _row(
        setting,
        f"sonification, K {K}, {frontend.clip_seconds:.2f} s",
        took,
        required="<= 20 ms",
        met=took <= 0.020,
        agreement=f"{1e3 * took:.1f} ms",
        flops=K * 2.0 * frontend.n_mels * cells + (K + 1) * frontend.n_frames * transform,
        traffic=4.0 * K * cells * 6,
    )
    return [front, concepts]


# Music


def band(setting: Setting) -> list[Row]:
    """Generate the band's tracks, as many of each style, once: it takes as long as many repeats."""
    if setting.device.type != "cpu":
        return []
    tracks = 3 if setting.quick else 10
    block = {"source": "band", "band": {"tracks_per_style": tracks, "artists": 10}}
    sections = {**config.fill(block), "seed": 0, "torch_threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        job = Job("generate", Path(folder), "band", sections, processes=setting.threads)
        took = measure.seconds(lambda: generate.run(job), setting.device)
    return [
        _row(
            setting,
            f"{10 * tracks} tracks of the band, 30 s each, with stems",
            took,
            required="100 tracks in < 120 s",
            met=took < 1.2 * 10 * tracks,
            agreement=f"{took / tracks / 10:.2f} s per track",
        )
    ]


# Growth


def growth(setting: Setting) -> list[Row]:
    """Measure how time grows with each size; a row per size, its points in ``points``."""
    return [*_evaluation_growth(setting), *_heatmap_growth(setting)]


def _grown(setting: Setting, name: str, xs: list[int], call: Callable[[int], Callable[[], Any]], power: float) -> Row:
    """Time a call at growing sizes and compare the growth with the arithmetic's, ``x ** power``."""
    times = setting.median(*(call(x) for x in xs))
    demanded = (xs[-1] / xs[0]) ** power
    grown = times[-1] / times[0]
    return _row(
        setting,
        f"growth with {name}, {xs[0]} to {xs[-1]}",
        times[-1],
        required="no worse than the arithmetic",
        # a fifth for the noise of short measurements
        met=grown <= 1.2 * demanded,
        agreement=f"time x {grown:.1f}, arithmetic x {demanded:.0f}",
        points=[list(point) for point in zip(xs, times, strict=True)],
        axis=name,
        power=power,
    )


def _evaluation_growth(setting: Setting) -> list[Row]:
    def evaluation(n_pairs: int, n_channels: int, n_subspaces: int) -> Callable[[], Any]:
        first, second = (drsa.normalise(part) for part in inputs.simulated_pairs(n_pairs, n_channels))
        problem = drsa.SoftMinimum(first.to(setting.device), second.to(setting.device), n_subspaces)
        start = random_orthogonal(n_channels, torch.Generator().manual_seed(0)).to(setting.device)
        return lambda: problem.points(start.expand(4, -1, -1).contiguous())

    def places(clips: int, n_channels: int, n_subspaces: int) -> Callable[[], Any]:
        vectors = (drsa.normalise(part) for part in inputs.simulated_pairs(256 * clips, n_channels))
        grids = [part.view(clips, 16, 16, n_channels).movedim(3, 1).to(setting.device) for part in vectors]
        problem = info.Places(grids[0], grids[1], n_subspaces, 3)
        start = random_orthogonal(n_channels, torch.Generator().manual_seed(0)).to(setting.device)
        return lambda: problem.points(start.expand(5, -1, -1).contiguous())

    scale = 4 if setting.quick else 1
    pairs = [n // scale for n in (2400, 4800, 9600, 19200, 38400)]
    return [
        _grown(setting, "pairs N (D 64, K 4), one iteration of a fit", pairs, lambda n: evaluation(n, 64, 4), 1),
        _grown(
            setting,
            "channels D (K 4), one iteration of a fit",
            [32, 64, 128, 256],
            lambda d: evaluation(9600 // scale, d, 4),
            2,
        ),
        _grown(
            setting,
            "subspaces K (D 64), one iteration of a fit",
            [2, 4, 8, 16],
            lambda k: evaluation(9600 // scale, 64, k),
            0,
        ),
        _grown(
            setting,
            "clips of a 16 x 16 grid (D 64, K 4), one iteration of an info fit",
            [clips // scale for clips in (16, 32, 64, 128)],
            lambda clips: places(clips, 64, 4),
            1,
        ),
        _grown(
            setting,
            "channels D (K 4), one iteration of an info fit",
            [32, 64, 128, 256],
            lambda d: places(32 // scale, d, 4),
            2,
        ),
        _grown(
            setting,
            "subspaces K (D 64), one iteration of an info fit",
            [2, 4, 8, 16],
            lambda k: places(32 // scale, 64, k),
            1,
        ),
    ]


def _heatmap_growth(setting: Setting) -> list[Row]:
    model, clips, targets = _explained(setting, 16)
    layer = "conv4"
    n_channels = model.layers[layer]

    def explanation(n_clips: int, n_subspaces: int, n_classes: int) -> Callable[[], Any]:
        chosen = inputs.bases(n_channels, n_subspaces, n_classes)
        arguments = model, clips[:n_clips], targets[:n_clips], layer, chosen, setting.size.rules
        return lambda: decomposed(*arguments)

    return [
        _grown(setting, "clips (K 4), heatmaps", [2, 4, 8, 16], lambda n: explanation(n, 4, 1), 1),
        _grown(setting, "concepts K, heatmaps of 2 clips", [2, 4, 8, 16], lambda k: explanation(2, k, 1), 1),
        _grown(setting, "classes (K 4), heatmaps of 2 clips", [1, 2, 4, 8], lambda c: explanation(2, 4, c), 1),
    ]


# Equality of devices


def devices(setting: Setting) -> list[Row]:
    """Compare a GPU's results with the CPU's."""
    if setting.device.type == "cpu":
        return []
    cpu = torch.device("cpu")
    found = {device: _results(setting, device) for device in (cpu, setting.device)}
    return [
        _row(
            setting,
            f"{name}: GPU and CPU alike",
            took,
            required="equal to 1e-4",
            met=True,
            agreement=f"largest difference {error:.1e} of the largest value",
            agrees=error <= 1e-4,
        )
        for name, (took, error) in {
            name: (value[1], _relative(value[0], found[cpu][name][0])) for name, value in found[setting.device].items()
        }.items()
    ]


def _results(setting: Setting, device: torch.device) -> dict[str, tuple[torch.Tensor, float]]:
    """Compute one of each kind of result on a device: values on the CPU, and seconds."""
    size, layer = setting.size, "conv4"
    model = _model(size, device)
    clips, targets = (part.to(device) for part in inputs.clips(size, 8, seed=5))
    chosen = inputs.bases(model.layers[layer], K, 1)
    activations, contexts = (part.to(device) for part in inputs.pairs(_trained(size), size, layer))
    maps = decomposed(model, clips, targets, layer, chosen, size.rules)
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "DRSA objective": lambda: torch.tensor(_fit(activations, contexts).objective),
        "heatmaps": lambda: decomposed(model, clips, targets, layer, chosen, size.rules)[0],
        "flipping scores": lambda: thesis_table(model, clips, targets, maps, size.patch),
    }
    results = {}
    for name, call in calls.items():
        value = call().cpu()
        results[name] = value, measure.seconds(call, device)
    return results


CASES: dict[str, Callable[[Setting], list[Row]]] = {
    "drsa": drsa_fits,
    "info": info_fits,
    "heatmaps": heatmaps,
    "waveforms": waveforms,
    "gradients": gradient_maps,
    "memory": memory,
    "flipping": flipping,
    "lime": surrogates,
    "sound": sound,
    "band": band,
    "growth": growth,
    "devices": devices,
}

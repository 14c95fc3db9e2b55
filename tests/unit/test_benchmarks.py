"""The benchmark's baselines do what the library does, and its table renders."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from benchmarks import baselines, cases, measure, report, workflow

from earmark.explainers.subspaces import drsa
from earmark.explainers.subspaces.baselines import random
from earmark.explainers.subspaces.basis import random_orthogonal
from earmark.explainers.subspaces.decompose import concept_heatmaps
from earmark.explainers.subspaces.rotations import polar
from earmark.lrp import attributor
from earmark.metrics.flipping import _tie_order, schedule, thesis_table
from earmark.plan import config

CPU = torch.device("cpu")


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3"])
def test_published_heatmaps_are_the_librarys(trained, layer: str) -> None:
    rules = dataclasses.replace(trained.rules, context="ratio")
    chosen = random(trained.network.get_submodule(layer).out_channels, 4, seed=0)
    arguments = trained.inputs[:3], trained.targets[:3], layer, chosen, rules
    published = baselines.concept_heatmaps(trained.network, *arguments)
    ours = concept_heatmaps(trained.model, *arguments)
    scale = published.abs().max()
    assert (published[:, 1:] - ours).abs().max() <= 1e-9 * scale
    standard = attributor.heatmaps(trained.model, *arguments[:2], rules)
    # without a context where nothing is active, the concepts' sum is all that copy 0 can keep
    assert (published[:, 0] - standard).abs().max() <= 1e-9 * scale
    assert not any(module._forward_hooks or module._backward_hooks for module in trained.network.modules())


def test_published_flipping_gives_the_librarys_scores(trained) -> None:
    inputs, targets = trained.inputs[:4], trained.targets[:4]
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(4, 3, 1, 32, 32, generator=generator) for _ in range(2)]
    table = thesis_table(trained.model, inputs, targets, maps, 8)
    ties = _tie_order(range(4), 16)
    for column, several in enumerate(maps):
        for clip in range(4):
            score = baselines.thesis_score(
                trained.network, inputs[clip], int(targets[clip]), several[clip], 8, ties[clip]
            )
            assert float(table[clip, column]) == pytest.approx(score, abs=1e-9)


def test_no_input_is_evaluated_twice(trained) -> None:
    inputs, targets = trained.inputs[:2], trained.targets[:2]
    maps = torch.randn(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def evaluated(sets: int) -> int:
        return cases._inputs_evaluated(
            trained.model, lambda model: thesis_table(model, inputs, targets, [maps] * sets, 8)
        )

    assert evaluated(1) == evaluated(5) <= 2 * len(schedule(16))


def test_published_step_climbs_the_librarys_objective() -> None:
    generator = torch.Generator().manual_seed(0)
    activations = drsa.normalise(torch.randn(300, 8, generator=generator, dtype=torch.float64).clamp_min(0))
    contexts = drsa.normalise(torch.randn(300, 8, generator=generator, dtype=torch.float64) + activations)
    basis = random_orthogonal(8, generator)
    expected = basis.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drsa.objective(activations, contexts, expected, 4), expected)
    stepped = baselines.drsa_step(activations, contexts, basis, 4)
    assert torch.allclose(stepped, polar(basis + gradient), atol=1e-8)
    reached = cases.published_objective(activations, contexts, runs=2, steps=100)
    assert drsa.fit(activations, contexts, 4).objective >= reached * (1 - 1e-6)


def test_the_benchmark_fits_by_the_configurations_settings() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(200, 8, generator=generator) for _ in range(2)]
    settings = config.fill({})["explainers"]["drsa"]
    options = {"max_iterations": settings["max_iterations"], "tolerance": settings["tolerance"]}
    expected = drsa.fit(*pairs, cases.K, n_restarts=settings["restarts"], **options)
    assert torch.equal(cases._fit(*pairs).basis, expected.basis)


def test_memory_and_time_are_measured() -> None:
    assert measure.peak_memory(lambda: torch.ones(2**24), CPU) > 2**25
    assert measure.seconds(lambda: sum(range(1000)), CPU) > 0


def test_table_and_page_render() -> None:
    setting = cases.Setting(CPU, {"flops": 1e11, "bytes": 1e10})
    rows = [
        cases._row(setting, "fit", 0.5, required=">= 50x", met=True, published=30.0, agreement="as high", flops=1e9),
        cases._row(setting, "maps", 2e-5, required=">= 6x", met=True, agrees=False, note="of noise"),
    ]
    assert not rows[1]["met"], "what does not agree does not count"
    machine = {"device": "a CPU", "cores": 2, "threads": 2, "versions": {"torch": "2"}, "limits": setting.limits}
    figures = {"cpu": {"machine": machine, "rows": {"drsa": rows}}, "gpu": None}
    page = report.page(figures)
    assert "| fit | 30.0 s | 500 ms | 60.0x | >= 50x | yes | as high | 10 ms (arithmetic) | 50.0 |" in page
    assert "| maps |  | 20 µs |  | >= 6x | **no** | of noise |  |  |" in page
    assert "| fit | not measured |" in page
    assert "100 Gflop/s, 10 GB/s" in page


def test_growth_is_drawn(tmp_path) -> None:
    setting = cases.Setting(CPU, {"flops": 1e11, "bytes": 1e10}, quick=True)
    row = cases._grown(setting, "numbers", [10, 100], lambda x: lambda: sum(range(x)), 1)
    assert [x for x, _ in row["points"]] == [10, 100]
    report.plot_growth([row], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_the_cost_of_a_run_is_summed_stage_by_stage(tmp_path) -> None:
    (tmp_path / ".snakemake/log").mkdir(parents=True)
    (tmp_path / ".snakemake/log/run.log").write_text("2 of 2 steps (100%) done\nElapsed time: 1:02:03.5\n")
    for k, seconds, memory in ((2, 1.5, "600"), (4, 2.5, "700.6"), (8, 0.1, "NA")):
        path = tmp_path / f"logs/data/main/conv1/drsa/K~{k}/fit.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t{memory}\n")
    found = workflow.costs(tmp_path)
    assert found == {"wall_s": 3723.5, "stages": {"fit": {"jobs": 3, "seconds": 4.1, "memory_mb": 700.6}}}
    before = {"wall_s": 4000, "stages": {"oracle": {"jobs": 1, "seconds": 9, "memory_mb": 5}}}
    assert report.stages(before, found).splitlines() == [
        "| stage | jobs | | seconds | | most MB | |",
        "|---|---|---|---|---|---|---|",
        "| | before | after | before | after | before | after |",
        "| fit |  | 3 |  | 4 |  | 701 |",
        "| oracle | 1 |  | 9 |  | 5 |  |",
        "| **all** | 1 | 3 | 9 | 4 | 5 | 701 |",
        "| **on the clock** | | | **4000** | **3724** | | |",
    ]
    assert report.stages(before, found, found).splitlines()[3] == "| fit |  | 3 | 3 |  | 4 | 4 |  | 701 | 701 |"


def test_a_run_that_did_not_end_is_no_benchmark(tmp_path) -> None:
    (tmp_path / ".snakemake/log").mkdir(parents=True)
    (tmp_path / ".snakemake/log/run.log").write_text("killed")
    with pytest.raises(SystemExit, match="did not come to its end"):
        workflow.costs(tmp_path)

"""Which jobs a call leads to, seen by dry-runs."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.workflow.conftest import ROOT, Called, new_project
from tests.workflow.conftest import TINY as ONE_K

BLOCK = ONE_K["datasets"]["synthetic"]
TINY = ONE_K | {"datasets": {"synthetic": BLOCK | {"grid": BLOCK["grid"] | {"k": [2, 4]}}}}
CHAIN = {"generate": 1, "ingest": 1, "train": 1, "predict": 1}
CHOICE = {**CHAIN, "choose": 1}


@pytest.fixture
def project(shared):
    """Return a project whose grid has two K."""
    shared.configure(TINY)
    return shared


@pytest.fixture(scope="module")
def usual(shared):
    """Return what a plain call would run."""
    shared.configure(TINY)
    return shared.plan()


def test_a_plain_call_builds_the_grid(usual):
    assert usual == {
        **CHOICE,
        "collect_synthetic": 2,
        "fit_synthetic": 2 * 3 * 2,
        "explain_synthetic": 2 * 3 * 2 + 2,
        "picture_synthetic": 2 * 2 + 1,
        "sonify_synthetic": 2 * 2,
        "score": 2 * 3 * 2 + 2,
        "cross": 2 * 2,
        "ablate": 1,
        "objects": 2 * 3 * 2 + 1,
        "composites": 1,
        "compare": 1,
        "draw": 1,
        "report": 1,
    }


def test_a_fork_says_what_a_process_of_its_own_says(project):
    command = [sys.executable, "-m", "snakemake", "--configfile", "changes.yaml", "--dry-run"]
    done = subprocess.run(command, cwd=project.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    apart, forked = Called(done.returncode, done.stdout), project.snakemake("--dry-run")
    assert (apart.status, apart.jobs) == (forked.status, forked.jobs)
    commands = [
        sorted(re.findall(r"^Shell command: earmark .*", called.output, re.MULTILINE)) for called in (apart, forked)
    ]
    assert len(commands[0]) == sum(apart.jobs.values())
    assert commands[0] == commands[1]


def test_the_configuration_as_it_comes(project):
    project.configure({})
    block = yaml.safe_load((ROOT / "config.yaml").read_text())["datasets"]["synthetic"]
    grid, crossed = block["grid"], ["info", "drsa", "random~0"]  # two methods, and a control
    combinations = len(grid["layers"]) * len(grid["methods"]) * len(grid["k"])
    jobs = project.plan()
    assert jobs["collect_synthetic"] == len(grid["layers"])
    assert jobs["fit_synthetic"] == combinations
    assert jobs["score"] == jobs["objects"] + 1 == combinations + 2
    assert jobs["cross"] == len(grid["layers"]) * len(crossed) * len(grid["k"])
    assert "composites" not in jobs


@pytest.mark.parametrize(
    ("target", "jobs"),
    [
        ("manifest.csv", {"generate": 1, "ingest": 1}),
        ("cv3/metrics.json", CHAIN),
        ("main/composites.csv", {**CHOICE, "composites": 1}),
        ("cv3/history.csv", {"generate": 1, "ingest": 1, "train": 1}),
        ("cv3/chosen.csv", CHOICE),
        ("main/conv3/pairs/class2.safetensors", {**CHAIN, "collect_synthetic": 1}),
        ("main/conv3/pca/K~8/class1/fit.json", {**CHAIN, "collect_synthetic": 1, "fit_synthetic": 1}),
        ("main/conv3/info/K~8/class1/fit.json", {**CHAIN, "collect_synthetic": 1, "fit_synthetic": 1}),
        ("main/input/standard/K~1/class1/heatmaps.safetensors", {**CHOICE, "explain_synthetic": 1}),
        ("main/input/noise~3/K~1/class1/heatmaps.png", {**CHOICE, "explain_synthetic": 2, "picture_synthetic": 1}),
        (
            "main/conv4/pca/K~4/class2/heatmaps.png",
            {**CHOICE, "collect_synthetic": 1, "fit_synthetic": 1, "explain_synthetic": 2, "picture_synthetic": 1},
        ),
        (
            "main/conv4/drsa/K~4/class1/sounds",
            {**CHOICE, "collect_synthetic": 1, "fit_synthetic": 1, "explain_synthetic": 2, "sonify_synthetic": 1},
        ),
        (
            "main/conv1/random~5/K~2/scores.csv",
            {**CHOICE, "collect_synthetic": 1, "fit_synthetic": 1, "explain_synthetic": 2, "score": 1},
        ),
        (
            "main/conv1/dsa/K~2/cross_class.csv",
            {**CHOICE, "collect_synthetic": 1, "fit_synthetic": 1, "explain_synthetic": 1, "cross": 1},
        ),
        (
            "main/conv1/oracle/K~2/objects.csv",
            {**CHOICE, "collect_synthetic": 1, "fit_synthetic": 3, "objects": 1},
        ),
        ("main/ablation.csv", {**CHOICE, "ablate": 1}),
    ],
)
def test_a_path_pulls_its_chain_only(project, target, jobs):
    assert project.plan(f"results/synthetic/{target}") == jobs


def test_what_is_fitted_does_not_depend_on_the_clips_that_are_chosen(project):
    fitted = {"collect_synthetic": 2, "fit_synthetic": 2 * 3 * 2}
    assert project.plan("--omit-from", "choose") == {**CHAIN, **fitted}


def test_stability_is_made_where_it_is_asked_for(project):
    block = TINY["datasets"]["synthetic"] | {"stability": {"methods": ["drsa"]}}
    project.configure(TINY | {"datasets": {"synthetic": block}})
    jobs = project.plan()
    assert jobs["stability"] == 2 * 2  # layers, K
    assert jobs["train"] == 1


def test_several_networks_are_explained_scored_and_compared(project):
    block = TINY["datasets"]["synthetic"] | {"networks": 3}
    project.configure(TINY | {"datasets": {"synthetic": block}})
    jobs = project.plan()
    assert jobs["train"] == jobs["predict"] == jobs["choose"] == jobs["ablate"] == 3
    assert jobs["fit_synthetic"] == 3 * 2 * 3 * 2  # networks, layers, methods, K
    assert jobs["objects"] == 3 * (1 + 2 * 3 * 2)
    assert jobs["agree"] == 2 * 2  # layers, K
    assert jobs["compare"] == 1
    assert jobs["cross"] == 2 * 2  # of the explained network alone
    assert project.plan("results/synthetic/net1/conv4/drsa/K~4/scores.csv")["train"] == 1


def test_what_the_model_shall_hear_is_explained_for_it_alone(usual, project):
    block = TINY["datasets"]["synthetic"]
    asked = {**block["evaluate"], "masking": ["standard", "drsa", "noise~0", "noise~1"]}
    project.configure(TINY | {"datasets": {"synthetic": block | {"evaluate": asked}}})
    jobs = project.plan()
    assert jobs["mask"] == 2 * 2 + 3  # DRSA at every layer and K
    assert jobs["explain_synthetic"] == usual["explain_synthetic"] + 1  # noise~1
    assert "mask" not in usual


def test_maps_are_tried_where_it_is_asked_for_and_need_no_explanation(usual, project):
    block = TINY["datasets"]["synthetic"]
    asked = {**block["evaluate"], "sanity": ["standard", "drsa", "other-clip", "oracle-stems"]}
    project.configure(TINY | {"datasets": {"synthetic": block | {"evaluate": asked}}})
    jobs = project.plan()
    assert jobs["sanity"] == 2 * 2 + 3  # DRSA at every layer and K
    assert jobs == {**usual, "sanity": jobs["sanity"]}
    alone = project.plan("results/synthetic/main/input/other-clip/K~1/sanity.csv")
    assert alone == {**CHOICE, "sanity": 1}


def test_contaminated_clips_are_explained_where_it_is_asked_for_and_need_the_other_data_set_s_clips_alone(
    usual, project
):
    block = TINY["datasets"]["synthetic"]
    asked = {**block["evaluate"], "outside": ["standard", "drsa", "other-clip"], "outside_speech": "voices"}
    project.configure(TINY | {"run": ["synthetic"], "datasets": {"synthetic": block | {"evaluate": asked}}})
    jobs = project.plan()
    assert jobs["outside"] == 2 * 2 + 2  # DRSA at every layer and K
    assert jobs["generate"] == jobs["ingest"] == 2 and jobs["train"] == 1
    alone = project.plan("results/synthetic/main/input/other-clip/K~1/outside.csv")
    assert alone == {**CHOICE, "generate": 2, "ingest": 2, "outside": 1}
    assert {**usual, "outside": jobs["outside"], "generate": 2, "ingest": 2} == jobs


def test_what_is_trained_is_trained_once_for_explanations_and_tables(usual, project):
    block = TINY["datasets"]["synthetic"]
    grid = {**block["grid"], "methods": [*block["grid"]["methods"], "lmac-ft"]}
    heard = {**block["evaluate"], "masking": ["lmac"]}
    project.configure(TINY | {"datasets": {"synthetic": block | {"grid": grid, "evaluate": heard}}})
    jobs, alone = project.plan(), project.plan("results/synthetic/main/trained/lmac-ft/history.csv")
    assert jobs["learn"] == 2  # fine-tuning goes on from the other
    assert alone == {**CHAIN, "learn": 2}
    explained = project.plan("results/synthetic/main/input/lmac/K~1/masking.csv")
    assert explained == {**CHOICE, "learn": 1, "explain_synthetic": 2, "mask": 1}
    assert "learn" not in usual


def test_an_interpreter_is_trained_once_for_all_that_rests_on_it(usual, project):
    block = TINY["datasets"]["synthetic"]
    asked = {**block["evaluate"], "fidelity": ["l2i", "l2i-by-design"], "masking": ["l2i-parts"]}
    grid = {**block["grid"], "methods": [*block["grid"]["methods"], "l2i-parts"]}
    project.configure(TINY | {"datasets": {"synthetic": block | {"evaluate": asked, "grid": grid}}})
    jobs = project.plan()
    assert (jobs["learn"], jobs["imitate"]) == (2, 2)
    assert jobs["explain_synthetic"] == usual["explain_synthetic"] + 2  # at no layer, for both K
    assert jobs["mask"] == 2
    project.configure(TINY)
    alone = project.plan("results/synthetic/main/input/l2i-parts/K~3/class1/heatmaps.png")
    assert alone == {**CHOICE, "learn": 1, "explain_synthetic": 2, "picture_synthetic": 1}


def test_samples_are_flipped_where_it_is_asked_for_and_a_network_hears_them(project):
    waves = {"source": "voices", "model": {"architecture": "audionet-s"}, "grid": {"layers": ["conv5"]}}
    project.configure({"run": ["waves"], "datasets": {"waves": waves | {"evaluate": {"flips": [0.01, 0.1]}}}})
    asked = project.plan()
    assert asked["flip"] == 1
    alone = project.plan("results/waves/main/flipped.csv")
    assert alone == {**CHOICE, "explain_waves": 1, "flip": 1}
    project.configure({"run": ["waves"], "datasets": {"waves": waves}})
    assert asked == {**project.plan(), "flip": 1}
    refused = project.snakemake("--dry-run", "results/synthetic/main/flipped.csv")
    assert "there is no flipped.csv" in refused.output


def test_clips_are_scaled_where_it_is_asked_for_and_need_no_explanation(usual, project):
    block = TINY["datasets"]["synthetic"]
    asked = {**block["evaluate"], "scaling": {"class1": 1.5}}
    project.configure(TINY | {"datasets": {"synthetic": block | {"evaluate": asked}}})
    assert project.plan() == {**usual, "scale": 1}
    assert project.plan("results/synthetic/main/scaled") == {**CHOICE, "scale": 1}
    wrong = {**block["evaluate"], "scaling": {"class3": 1.5}}
    project.configure(TINY | {"datasets": {"synthetic": block | {"evaluate": wrong}}})
    assert "earmark: config: datasets.synthetic.evaluate.scaling names class3, which is no class" in (
        project.snakemake("--dry-run").output
    )


def test_another_network_listens_where_it_is_asked_for(project):
    """It need not be one that a plain call builds; whatever changes it makes its guesses stale."""
    blocks = {
        "wave": {"extends": "voices", "model": {"architecture": "audionet-s"}, "evaluate": {"listener": "voices"}}
    }
    project.configure({"run": ["wave"], "datasets": blocks})
    target = "results/wave/main/listened.csv"
    shown = project.snakemake("--dry-run", target)
    assert shown.jobs == {"generate": 2, "ingest": 2, "train": 2, "predict": 1, "listen": 1}
    (inputs,) = re.findall(r"listen to wave/main\nReason: .* updated by another job: (.*)", shown.output)
    assert {f"results/voices/{name}" for name in ("main/model.safetensors", "clips.csv")} <= set(inputs.split(", "))
    assert project.plan("results/wave/tables/listening.csv")["listen"] == 1
    assert project.plan("results/wave/main/key.csv") == {**CHAIN, "blind": 1}
    blocks["wave"]["evaluate"]["listener"] = None
    project.configure({"run": ["wave"], "datasets": blocks})
    assert "listen" not in project.plan("results/wave/tables/listening.csv")
    assert "evaluate.listener must name the data set" in project.snakemake("--dry-run", target).output
    blocks["wave"]["evaluate"]["listener"] = "band"
    blocks["wave"]["frontend"] = {"sample_rate": 16000, "n_samples": 16000}
    project.configure({"run": ["wave"], "datasets": blocks})
    assert (
        "earmark: config: datasets.wave.evaluate.listener = band has 10 classes and wave 10, which must be the same"
        in (project.snakemake("--dry-run").output)
    )


def test_cross_validation_adds_a_training_per_fold(project):
    project.configure({"datasets": {"synthetic": {"cross_validation": True}}})
    assert project.plan()["train"] == 11


@pytest.mark.parametrize(("example", "trainings"), [("spoken-digits", 1), ("spoken-digits-by-speaker", 5)])
def test_examples_only_need_their_recordings(digits, example, trainings):
    digits.configure(yaml.safe_load((ROOT / f"examples/{example}.yaml").read_text()))
    jobs = digits.plan()
    assert jobs["train"] == trainings
    assert jobs["ingest"] == 1
    assert "generate" not in jobs
    called = digits.snakemake("--dry-run", f"results/{example}/main/conv4/drsa/K~4/class1/fit.json")
    assert "there is no class1; allowed: scores.csv" in called.output


def test_the_study_compares_rules_and_variants(project):
    example = yaml.safe_load((ROOT / "examples/study.yaml").read_text())
    project.configure(example)
    jobs = project.plan()
    assert jobs["composites"] == 5  # every model may prefer rules of its own
    assert jobs["train"] == 6 + 4  # six networks alike, and four models
    assert jobs["compare"] == 5
    assert len(example["datasets"]["synthetic"]["composites"]["candidates"]) == 8


def test_gtzan_is_some_hundred_jobs(project):
    """150 fits of `info` and of DRSA, as many sets of heatmaps and 15 matrices of each, and the baselines.

    A job serves all classes.
    """
    genres = yaml.safe_load((ROOT / "config.yaml").read_text())["datasets"]["gtzan"]["expected"]["classes"]
    for genre in genres:
        for number in range(100):
            path = project.folder / f"recordings/gtzan/genres_original/{genre}/{genre}.{number:05d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for example in ("gtzan", "gtzan-batch-norm"):
        project.configure(yaml.safe_load((ROOT / f"examples/{example}.yaml").read_text()))
        assert project.plan() == {
            "ingest": 1,
            "train": 11,
            "predict": 11,
            "choose": 1,
            f"collect_{example}": 5,
            f"fit_{example}": 5 * 6 * 3,
            f"explain_{example}": 5 * 6 * 3 + 2,
            f"picture_{example}": 5 * 3 + 1,
            f"sonify_{example}": 5 * 3,
            "score": 5 * 6 * 3 + 2,
            "cross": 5 * 3 * 3,
            "compare": 1,
            "draw": 1,
            "report": 1,
        }


def test_the_band_needs_nothing_from_outside(project):
    project.configure(yaml.safe_load((ROOT / "examples/band.yaml").read_text()))
    jobs = project.plan()
    assert (jobs["generate"], jobs["train"], jobs["collect_band"]) == (1, 1, 3)


def test_voices_need_nothing_and_have_folds_by_file_as_well(project):
    speakers = "".join(f"speaker{number + 1:02d},{number // 2 % 4}\n" for number in range(24))
    (project.folder / "folds.csv").write_text(f"group,fold\n{speakers}")
    by_sex = {"extends": "voices", "voices": {"labels": "sex"}, "folds": "folds.csv", "cross_validation": True}
    project.configure({"run": ["voices", "by-sex"], "datasets": {"by-sex": by_sex}})
    jobs = project.plan()
    assert (jobs["generate"], jobs["train"], jobs["collect_voices"]) == (2, 1 + 5, 3)
    (project.folder / "folds.csv").write_text("group,fold\nspeaker01,0\n")
    assert "earmark: The file of folds 'folds.csv' has 1 fold; 3 to 10 are" in project.snakemake("--dry-run").output


def test_networks_that_hear_the_same_voices_are_compared_where_it_is_asked_for(project):
    grid = {"layers": ["conv4"], "methods": ["drsa", "random~0"], "k": [4]}
    spectra = {"extends": "voices", "grid": grid}
    waves = {
        "source": "voices",
        "model": {"architecture": "audionet-s"},
        "grid": {**grid, "layers": ["conv5", "conv6"]},
    }
    waves["evaluate"] = {"beside": ["spectra"]}
    project.configure({"run": ["waves"], "datasets": {"spectra": spectra, "waves": waves}})
    jobs = project.plan("results/waves/main/beside.csv")
    assert jobs["relate"] == 1
    assert jobs["generate"] == jobs["train"] == jobs["choose"] == 2
    assert (jobs["explain_waves"], jobs["explain_spectra"]) == (2 * 2 + 1, 2 + 1)  # layers, methods; the standard maps
    jobs = project.plan()
    assert (jobs["relate"], jobs["compare"], jobs["objects"]) == (1, 1, 1 + 2 * 2 + 2)  # of the others for their stems
    project.configure({"run": ["waves"], "datasets": {"waves": {**waves, "evaluate": {"beside": ["band"]}}}})
    assert "earmark: config: datasets.waves.evaluate.beside names band, " in project.snakemake("--dry-run").output


def test_audiomnist_needs_its_recordings_only(project):
    root = project.folder / "recordings/AudioMNIST/data"
    for speaker in range(1, 61):
        for digit in range(10):
            path = root / f"{speaker:02d}/{digit}_{speaker:02d}_0.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    women = (12, 26, 28, 36, 43, 47, 52, 56, 57, 58, 59, 60)
    told = {f"{speaker:02d}": {"gender": "female" if speaker in women else "male"} for speaker in range(1, 61)}
    (root / "audioMNIST_meta.txt").write_text(json.dumps(told))
    project.configure(yaml.safe_load((ROOT / "examples/audiomnist.yaml").read_text()))
    assert project.plan()["train"] == (1 + 5) + (1 + 4)
    (root / "audioMNIST_meta.txt").unlink()
    assert "earmark: The file 'recordings/AudioMNIST/data/audioMNIST_meta.txt' tells who is female" in (
        project.snakemake("--dry-run").output
    )


def test_a_variant_has_rules_of_its_own(project):
    project.configure({"run": ["wide"], "datasets": {"wide": {"extends": "synthetic", "model": {"filters": [16] * 5}}}})
    assert project.plan("results/wide/main/conv1/drsa/K~16/class1/fit.json")["fit_wide"] == 1


def test_a_stage_is_given_its_own_sections_and_the_gpus_that_are_there(project):
    target = "results/synthetic/main/model.safetensors"
    shown = project.snakemake("--dry-run", target).output
    command = next(line for line in shown.splitlines() if "earmark train" in line)
    assert "--gpu 0 " in command
    sections = re.search(r"--config '(.*)' >", command)
    assert set(yaml.safe_load(sections[1])) == {"seed", "torch_threads", "frontend", "model", "augment", "train"}
    assert "--gpu 1 " in project.snakemake("--dry-run", "--resources", "gpu=1", "--", target).output


def test_reading_the_workflow_imports_nothing_heavy(tmp_path):
    """Modules of these names that fail on import stand in the way of every rule file."""
    project = new_project(tmp_path / "project")
    for name in ("torch", "torchaudio", "librosa", "soundfile", "sklearn", "zennit"):
        (project.folder / "src" / f"{name}.py").write_text("raise RuntimeError('imported while parsing')\n")
    assert project.plan()["compare"] == 1


def test_reading_the_workflow_runs_nothing_of_the_user_s(project):
    for cls in ("robin", "wren"):
        for number in range(3):
            path = project.folder / f"birds/{cls}/{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for name in ("my_net.py", "my_input.py"):
        (project.folder / name).write_text("raise RuntimeError('run while parsing')\n")
    block = {
        "source": "folder",
        "root": "birds",
        "model": {"network": "my_net.py:build", "classes": ["robin", "wren"], "layers": {"late": "features.7"}},
        "frontend": {"kind": "module", "module": "my_input.py:build", "n_samples": 8000},
    }
    project.configure({"run": ["mine"], "datasets": {"mine": block}})
    assert project.plan()["adopt"] == 1


def test_a_cross_validation_counts_on_the_folds_of_the_groups_and_says_so_to_every_training(digits):
    block = {"root": "recordings/spoken-digits", "group": "_([a-z]+)_", "cross_validation": True}
    for changes, folds in ((block, 4), (block | {"folds": 3}, 3)):
        digits.configure({"run": ["spoken-digits"], "datasets": {"spoken-digits": changes}})
        called = digits.snakemake("--dry-run")
        assert called.jobs["train"] == 1 + folds
        assert re.findall(r"earmark train .* --folds (\d)", called.output) == [str(folds)] * (1 + folds)

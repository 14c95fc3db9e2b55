"""Explainers beside controls, heard by the model: asked for by one key, after everything else is there."""

import csv

import pytest

from tests.unit.page.test_files import read, sound
from tests.workflow.conftest import TINY

ASKED = ["standard", "drsa", "gradcam", "input-x-gradient", "audiolime-stems", "energy", "cells~0", "oracle-stems"]
ASKED += ["l2i", "l2i-parts"]
FEW = 7
"""Clips of both classes together that audiolime explains."""


@pytest.fixture(scope="module")
def compared(complete, tmp_path_factory):
    """The tiny grid with what was asked for on top."""
    project = complete.copy(tmp_path_factory.mktemp("masking") / "project")
    block = TINY["datasets"]["synthetic"]
    asked = {
        **block["evaluate"],
        "masking": ASKED,
        "budgets": [0.1, 0.3, 0.6],
        "sanity": ["input-x-gradient"],
        "sanity_clips": 3,
        "outside": ["energy", "oracle-stems"],
        "outside_clips": 5,
        "fidelity": ["l2i"],
        "scaling": {"class2": 1.5},
    }
    learned = {"components": 8, "channels": 8, "clips": 40, "epochs": 2}
    small = {**block["explainers"], "lime": {"samples": 64}, "l2i": learned}
    explain = {**block["explain"], "expensive": FEW}
    grid = {**block["grid"], "layers": ["conv4"], "k": [4]}
    changed = block | {"evaluate": asked, "explainers": small, "grid": grid, "explain": explain}
    changed["listening_test"] = {"clips": 4}
    project.configure(TINY | {"datasets": {"synthetic": changed}})
    wanted = [f"results/synthetic/{name}" for name in ("tables/masking.csv", "figures", "report/index.html")]
    called = project.snakemake("--cores", "2", *wanted)
    assert called.status == 0, called.output
    return project, called


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_nothing_but_what_was_asked_for_is_made(compared):
    _, called = compared
    assert called.jobs["mask"] == len(ASKED)
    assert called.jobs["explain_synthetic"] == len(ASKED) - 2  # the standard heatmap and DRSA are there
    assert called.jobs["sanity"] == called.jobs["scale"] == 1
    assert called.jobs["outside"] == 2
    assert called.jobs["learn"] == called.jobs["imitate"] == 1  # l2i-parts explains by what l2i learned
    assert not {"train", "fit_synthetic", "objects"} & set(called.jobs)


def test_explanations_stand_side_by_side_on_the_page_as_they_were_heard(compared):
    project, _ = compared
    main, files = (project.folder / "results/synthetic" / name for name in ("main", "report/files"))
    entries = {one["id"]: one for one in read(files, "data")["explanations"]}
    assert set(entries) == {name.partition("~")[0] for name in ASKED} - {"drsa", "gradcam"} | {
        "drsa at conv4, K = 4",
        "gradcam at conv4, K = 1",
    }
    gains = [one["gain"] for one in entries.values() if one["gain"] is not None]
    assert gains == sorted(gains, reverse=True)
    clip = read(files, "beside/class1")["clips"][0]
    names = [sound["name"] for sound in clip["sounds"]]
    assert names[0] == "input" and set(names[1:]) <= set(entries) and {"energy", "cells", "oracle-stems"} <= set(names)
    samples = {one["name"]: one["gain"] * sound(files, one["key"])[0] for one in clip["sounds"] if one["key"]}
    shown = {one["id"]: one for one in clip["shown"]}
    for name, at in (("energy", "input/energy"), ("cells", "input/cells~0"), ("standard", "input/standard")):
        scored = next(
            row
            for row in rows(main / at / "K~1/masking.csv")
            if (row["cls"], row["clip"], row["budget"]) == ("class1", str(clip["clip"]), "0.3")
        )
        assert shown[name]["logodds_in"] == pytest.approx(float(scored["logodds_in"]), rel=1e-4)
        share = (samples[name] ** 2).sum() / (samples["input"] ** 2).sum()
        assert share == pytest.approx(float(scored["energy"]), abs=0.03)


def test_people_get_what_the_model_heard_and_nothing_else_is_made_for_them(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    called = project.snakemake("--cores", "1", "results/synthetic/listening-test.csv")
    assert called.status == 0 and called.jobs == {"export": 1}, called.output
    key = rows(results / "listening-test.csv")
    explained = {"drsa", "gradcam", "input-x-gradient", "audiolime-stems", "oracle-stems", "l2i", "l2i-parts"}
    assert {row["condition"] for row in key} == explained | {"standard", "cells~0", "rest", "reference"}
    assert len(key) == 4 * 11 and {row["cls"] for row in key} == {"class1", "class2"}
    assert all((results / "listening-test" / row["file"]).is_file() for row in key)
    assert {row["licence"] for row in rows(results / "listening-test/licences.csv")} == {"CC0-1.0"}
    assert project.plan("results/synthetic/listening-test") == {}
    wrong = project.snakemake("--dry-run", "results/synthetic/listening-test/index.html")
    assert "listening-test is made as a whole" in wrong.output


def test_whoever_knows_the_sounds_beats_whoever_draws_lots(compared):
    project, _ = compared
    found = {
        row["method"]: float(row["estimate"])
        for row in rows(project.folder / "results/synthetic/tables/masking.csv")
        if (row["metric"], row["cls"]) == ("srg", "all") and row["estimate"]
    }
    assert set(found) == {name.partition("~")[0] for name in ASKED}
    assert found["standard"] > found["cells"] < found["oracle-stems"]


def test_an_expensive_method_explains_a_few_clips_that_all_others_have_too(compared):
    project, _ = compared
    main = project.folder / "results/synthetic/main/input"
    heard = {
        method: {(row["cls"], row["clip"]) for row in rows(main / f"{method}/K~1/masking.csv")}
        for method in ("audiolime-stems", "energy")
    }
    assert len(heard["audiolime-stems"]) == FEW
    assert heard["audiolime-stems"] < heard["energy"]
    counted = {
        (row["method"], row["metric"]): int(row["n"])
        for row in rows(project.folder / "results/synthetic/tables/masking.csv")
        if row["cls"] == "all"
    }
    for metric in ("srg", "srg - energy", "srg - cells"):
        assert counted["audiolime-stems", metric] == FEW
    assert counted["energy", "srg"] == counted["gradcam", "srg - energy"] == len(heard["energy"]) > FEW


def test_the_budgets_are_those_that_were_asked_for(compared):
    project, _ = compared
    found = rows(project.folder / "results/synthetic/main/input/energy/K~1/masking.csv")
    assert {row["budget"] for row in found} == {"0.1", "0.3", "0.6", "1"}


def test_costs_are_those_of_the_clips_that_were_explained(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    per_clip = {
        (row["method"], row["metric"]): (float(row["estimate"]), int(row["n"]))
        for row in rows(results / "tables/cost.csv")
        if row["cls"] == "all" and row["metric"] != "training"  # which is of no clip
    }
    assert {method for method, _ in per_clip} == {name.partition("~")[0] for name in ASKED}
    assert all(spent > 0 for (_, metric), (spent, _) in per_clip.items() if metric == "seconds")
    assert per_clip["energy", "passes"][0] == 0
    assert per_clip["input-x-gradient", "passes"][0] == 2
    assert per_clip["drsa", "backward"][0] == 4
    assert per_clip["audiolime-stems", "forward"][0] > 60
    gallery = 2 * TINY["datasets"]["synthetic"]["explain"]["gallery"]  # clips with all objects, which nobody scores
    assert per_clip["audiolime-stems", "passes"][1] == FEW + gallery
    told = (results / "tables/cost.md").read_text()
    assert "| input | audiolime-stems |" in told


def test_truth_is_told_where_the_stems_are_known(compared):
    project, _ = compared
    truths = rows(project.folder / "results/synthetic/main/input/oracle-stems/K~1/truth.csv")
    known = [float(row["auc"]) for row in truths if row["auc"]]
    assert known and sum(known) / len(known) > 0.9


def test_a_method_without_parts_lies_at_its_layer_once(compared):
    project, _ = compared
    assert (project.folder / "results/synthetic/main/conv4/gradcam/K~1/masking.csv").exists()
    refused = project.snakemake("--dry-run", "results/synthetic/main/conv4/gradcam/K~4/masking.csv")
    assert "there is no K~4; allowed: K~1/" in refused.output


def test_the_figure_and_the_tables_for_people_are_there(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    assert (results / "figures/masking.png").exists()
    assert (results / "figures/cost.png").exists()
    told = (results / "tables/masking.md").read_text()
    assert "## Whom to believe" in told and "audiolime-stems" in told
    checks = {row["check"] for row in rows(results / "main/input/input-x-gradient/K~1/sanity.csv")}
    assert {"network", "class", "noise", "shift"} <= checks


def test_an_interpreter_is_heard_whole_and_in_parts_and_compared_with_the_network(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    assert len(rows(results / "main/trained/l2i/history.csv")) == 2
    for place in ("l2i/K~1", "l2i-parts/K~4"):
        heard = [row for row in rows(results / f"main/input/{place}/masking.csv") if row["budget"] == "native"]
        assert heard and all(0 <= float(row["energy"]) < 1.1 for row in heard)
    orders = rows(results / "main/input/l2i-parts/K~4/masking_concepts.csv")
    whole = [row for row in orders if row["count"] == "4"]
    assert whole
    for row in whole:  # all parts together are the clip
        assert float(row["logodds_in"]) == pytest.approx(float(row["logodds"]), abs=1e-2)
    told = {row["metric"] for row in rows(results / "tables/fidelity.csv")}
    assert {"fidelity", "removed_ff", "removed_ff others", "removed_ff - others"} <= told
    assert {row["component"] for row in rows(results / "tables/components.csv")} == set(map(str, range(1, 9)))
    assert (results / "figures/components_l2i.png").exists()


def test_scaled_clips_are_answered_and_heard(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    told = {
        row["condition"]: float(row["estimate"])
        for row in rows(results / "tables/scaling.csv")
        if (row["cls"], row["metric"]) == ("class2", "scaled_accuracy")
    }
    assert list(told) == ["as it is", "there and back", "scaled", "scaled away"]
    (answered,) = [row for row in rows(results / "main/confusion.csv") if row["true"] == "class2"]
    assert told["as it is"] == pytest.approx(
        int(answered["class2"]) / (int(answered["class1"]) + int(answered["class2"]))
    )
    assert (results / "figures/scaling.png").exists() and (results / "figures/frequency.png").exists()
    sounds = {row["file"] for row in rows(results / "main/scaled_sounds.csv")}
    assert {f"scaled/class2/000/{name}.wav" for name in ("as-it-is", "scaled")} <= sounds
    assert project.snakemake("--dry-run", "results/synthetic/main/scaled").jobs == {}


def test_clips_are_contaminated_and_found_by_who_knows_them(compared):
    project, _ = compared
    results = project.folder / "results/synthetic"
    known = rows(results / "main/input/oracle-stems/K~1/outside_clips.csv")
    assert {row["condition"] for row in known} == {"clean", "mixture", "white"}  # no other data set was named
    assert {row["cls"] for row in known} == {"class1", "class2"} and len(known) <= 3 * 2 * 5
    told = [float(row["source_auc"]) for row in known if row["source_auc"]]
    assert told and min(told) > 0.9
    found = {
        (row["condition"], row["method"])
        for row in rows(results / "tables/outside.csv")
        if (row["metric"], row["cls"]) == ("fid_in at 0.3", "all") and row["estimate"]
    }
    assert ("clean", "energy") in found and ("clean", "oracle-stems") in found


def test_concepts_are_added_one_by_one(compared):
    project, _ = compared
    added = rows(project.folder / "results/synthetic/main/conv4/drsa/K~4/masking_concepts.csv")
    of_clip = [row for row in added if (row["cls"], row["clip"]) == (added[0]["cls"], added[0]["clip"])]
    assert [row["count"] for row in of_clip] == ["1", "2", "3", "4"]
    assert sorted(row["concept"] for row in of_clip) == ["1", "2", "3", "4"]

# How good the explanations are, clip by clip: rules that are alike but for what they read and write.

SEEN = {"index": INDEX, "logmel": LOGMEL, "model": f"{MODEL}/model.safetensors"}
HEARD = {"clips": f"{DATASET}/clips.npy", "stems": f"{DATASET}/stems.npy", "chosen": CHOSEN}
EXPLAINED = {  # what a method asks for to explain clips of a data set
    "fitted": fitted(),
    "stems": needing("stems", f"{DATASET}/stems.npy"),
    "separated": needing("separated", f"{DATASET}/separated.npy"),
    "predictions": needing("training", PREDICTIONS),
}
STANDARDS = of_classes(STANDARD_MAPS)
SUBSPACES = of_classes(f"{METHOD}/{{cls}}/subspaces.safetensors")
AT_MODEL = "{wildcards.dataset}/{wildcards.split}"
AT_METHOD = f"{AT_MODEL}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"

EVALUATIONS = {  # stage: what it reads beside SEEN, what it writes, where there is such a rule, minutes, message
    "score": (
        {"heatmaps": of_classes(f"{METHOD}/{{cls}}/heatmaps.safetensors"), "standard": STANDARDS},
        [f"{METHOD}/scores.csv"],
        {},
        60,
        f"Scoring {AT_METHOD}",
    ),
    "mask": (
        {
            "clips": f"{DATASET}/clips.npy",
            "stems": of_stems("stems.npy"),
            "predictions": PREDICTIONS,
            "heatmaps": of_classes(f"{METHOD}/{{cls}}/heatmaps.safetensors"),
            "standard": STANDARDS,
        },
        # Snakemake compares folders by their dates alone, which a copy changes: what they hold is listed beside it.
        [
            *(f"{METHOD}/{name}" for name in targets.MASKING_FILES),
            f"{METHOD}/masked.csv",
            directory(f"{METHOD}/masked"),
        ],
        {},
        120,
        f"Listening to {AT_METHOD} alone",
    ),
    "sanity": (
        {
            "clips": f"{DATASET}/clips.npy",
            "chosen": CHOSEN,
            **EXPLAINED,
        },
        [f"{METHOD}/sanity.csv"],
        {},
        120,
        f"Comparing maps of {AT_METHOD} with those that must differ, and must not",
    ),
    "outside": (
        {
            "clips": f"{DATASET}/clips.npy",
            "chosen": CHOSEN,
            "predictions": PREDICTIONS,
            "fitted": fitted(),
            "speech": lambda wildcards: (
                expand([*INDEX, LOGMEL, f"{DATASET}/clips.npy"], dataset=speech(wildcards.dataset))
                if speech(wildcards.dataset)
                else []
            ),
        },
        [f"{METHOD}/{name}" for name in targets.OUTSIDE_FILES],
        {},
        240,
        f"Explaining contaminated clips by {AT_METHOD}",
    ),
    "imitate": (
        {"clips": f"{DATASET}/clips.npy", "predictions": PREDICTIONS, "learned": fitted()},
        [f"{LEARNED}/{name}" for name in targets.IMITATED_FILES],
        {"method": pattern(methods(lambda one: one.answers))},
        60,
        f"Comparing the answers of {{wildcards.method}} with those of {AT_MODEL}",
    ),
    "flip": (
        {"clips": f"{DATASET}/clips.npy", "standard": STANDARDS},
        [f"{MODEL}/{name}" for name in targets.FLIPPED_FILES],
        {"dataset": one_of(ON_SAMPLES)},
        60,
        f"Flipping samples of clips of {AT_MODEL}",
    ),
    "cross": (
        {"subspaces": SUBSPACES, "standard": STANDARDS},
        [f"{METHOD}/{name}" for name in targets.CROSS_FILES],
        {"method": pattern(methods(lambda one: one.has_basis))},
        120,
        f"Crossing classes of {AT_METHOD}",
    ),
    "ablate": (
        HEARD,
        [f"{MODEL}/ablation.csv"],
        {"dataset": one_of(STEMS)},
        60,
        f"Removing sound objects from clips of {AT_MODEL}",
    ),
    "objects": (
        {**EXPLAINED, **HEARD},
        [f"{METHOD}/objects.csv"],
        {"dataset": one_of(STEMS)},
        60,
        f"Matching {AT_METHOD} with sound objects",
    ),
    "scale": (
        {"clips": f"{DATASET}/clips.npy", "predictions": PREDICTIONS, "chosen": CHOSEN},
        # Snakemake compares folders by their dates alone, which a copy changes: what they hold is listed beside it.
        [f"{MODEL}/scaled.csv", f"{MODEL}/scaled_sounds.csv", directory(f"{MODEL}/scaled")],
        {},
        60,
        f"Scaling the frequencies of test clips of {AT_MODEL}",
    ),
    "composites": (
        {"chosen": CHOSEN},
        [f"{MODEL}/{name}" for name in targets.COMPOSITES_FILES],
        {},
        60,
        f"Comparing LRP rules on {AT_MODEL}",
    ),
    "agree": (
        {
            "models": lambda wildcards: expand(
                f"{MODEL}/{{name}}",
                dataset=wildcards.dataset,
                split=networks(wildcards.dataset),
                name=("model.safetensors", "chosen.csv"),
            ),
            "heatmaps": lambda wildcards: expand(
                f"{METHOD}/{{cls}}/heatmaps.safetensors",
                dataset=wildcards.dataset,
                split=networks(wildcards.dataset),
                layer=wildcards.layer,
                method=with_basis(wildcards.dataset),
                k=wildcards.k,
                cls=CLASSES[wildcards.dataset],
            ),
        },
        [f"{MODEL}/{{layer}}/{AGREEMENT}/K~{{k}}.csv"],
        {"split": "main"},
        120,
        f"Comparing the networks of {{wildcards.dataset}} at {{wildcards.layer}}, K = {{wildcards.k}}",
    ),
    "relate": (
        {
            "clips": f"{DATASET}/clips.npy",
            "chosen": CHOSEN,
            "others": lambda wildcards: of_others(
                wildcards.dataset, *INDEX, LOGMEL, f"{DATASET}/clips.npy", f"{MODEL}/model.safetensors", CHOSEN
            ),
            "heatmaps": lambda wildcards: [
                path
                for other in others(wildcards.dataset)
                for path in in_both(wildcards.dataset, other, f"{METHOD}/{{cls}}/heatmaps.safetensors")
            ],
        },
        [f"{MODEL}/{name}" for name in targets.BESIDE_FILES],
        {"split": "main", "dataset": one_of(filter(others, CLASSES))},
        240,
        "Comparing the network of {wildcards.dataset} with those of other data sets",
    ),
    "listen": (
        {
            "clips": f"{DATASET}/clips.npy",
            "predictions": PREDICTIONS,
            "listener": lambda wildcards: expand(
                [*INDEX, LOGMEL, f"{DATASET}/clips.npy", f"{MODEL}/model.safetensors"],
                dataset=listener(wildcards.dataset),
                split=wildcards.split,
            ),
        },
        [f"{MODEL}/{name}" for name in targets.LISTENER_FILES],
        {"dataset": one_of(filter(listener, CLASSES)), "split": "main"},
        60,
        f"Letting another network listen to {AT_MODEL}",
    ),
    "blind": (
        {"clips": f"{DATASET}/clips.npy", "predictions": PREDICTIONS},
        [directory(f"{MODEL}/stimuli"), f"{MODEL}/key.csv"],
        {},
        60,
        f"Writing sounds and pictures of {AT_MODEL} for people to guess by",
    ),
    "stability": (
        {
            "predictions": PREDICTIONS,
            "pairs": of_classes(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors"),
            "subspaces": SUBSPACES,
        },
        [f"{METHOD}/{name}" for name in targets.STABILITY_FILES],
        {"method": pattern(methods(lambda one: one.refits))},
        240,
        f"Refitting {AT_METHOD}",
    ),
}


for stage, (read, written, existing, minutes, doing) in EVALUATIONS.items():

    rule:
        name:
            stage
        input:
            **SEEN,
            **read,
            code=code_of(stage),
        output:
            written,
        log:
            record(stage, "log"),
        benchmark:
            record(stage, "tsv")
        wildcard_constraints:
            **existing,
        group:
            "concepts-{layer}-{method}" if stage == "score" else None
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, stage)
        resources:
            mem_mb=growing(4000),
            runtime=growing(minutes),
            gpu=1,
        params:
            job=job(stage),
            config=config_of(stage),
        message:
            doing
        shell:
            call("gpu")

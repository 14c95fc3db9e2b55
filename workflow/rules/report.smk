# What it all comes to: tables and figures of a data set.


rule compare:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        truth=of_generated("stems.npy", "truth.json"),
        models=lambda wildcards: expand(
            f"{MODEL}/{{name}}",
            dataset=wildcards.dataset,
            split=datasets.splits(planned_folds(wildcards.dataset)),
            name=["history.csv", "metrics.json", "confusion.csv"],
        ),
        chosen=lambda wildcards: expand(CHOSEN, dataset=wildcards.dataset, split="main"),
        scores=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/scores.csv", maps_of_input=methods.INPUT_METHODS),
        heatmaps=lambda wildcards: grid(
            wildcards.dataset, f"{METHOD}/{{cls}}/heatmaps.safetensors", maps_of_input=methods.INPUT_METHODS
        ),
        fits=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/{{cls}}/fit.json"),
        cross=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/cross_class.csv", f"{METHOD}/cross_class_clips.csv"],
            config["datasets"][wildcards.dataset]["evaluate"]["cross"],
        ),
        objects=lambda wildcards: with_stems(
            wildcards.dataset,
            [
                *grid(wildcards.dataset, f"{METHOD}/objects.csv", maps_of_input=["standard"]),
                *expand(f"{MODEL}/ablation.csv", dataset=wildcards.dataset, split="main"),
            ],
        ),
        composites=lambda wildcards: composites_of(wildcards.dataset),
        stability=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/{name}" for name in targets.STABILITY_FILES],
            config["datasets"][wildcards.dataset]["stability"]["methods"],
        ),
        code=code("stages.compare"),
    output:
        tables=of(f"{DATASET}/tables/{{name}}", name=targets.TABLES),
        figures=directory(f"{DATASET}/figures"),
    log:
        "logs/{dataset}/compare.log",
    benchmark:
        "logs/{dataset}/compare.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "compare")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        config=config_of("compare"),
    message:
        "Comparing the explanations of {wildcards.dataset}"
    shell:
        "earmark compare --dataset {wildcards.dataset} --split main --config {params.config:q} > {log} 2>&1"

# What it all comes to: tables and figures of a data set.


rule compare:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        truth=of_stems("truth.json"),
        models=lambda wildcards: expand(
            f"{MODEL}/{{name}}",
            dataset=wildcards.dataset,
            split=[*networks(wildcards.dataset), *datasets.splits(planned_folds(wildcards.dataset))[1:]],
            name=("metrics.json", "confusion.csv"),
        ),
        chosen=lambda wildcards: expand(CHOSEN, dataset=wildcards.dataset, split=networks(wildcards.dataset)),
        scores=lambda wildcards: grid(
            wildcards.dataset, f"{METHOD}/scores.csv", beside=always(), splits=networks(wildcards.dataset)
        ),
        heatmaps=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/{{cls}}/heatmaps.safetensors", beside=always()),
        fits=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/{{cls}}/fit.json", with_basis(wildcards.dataset)),
        cross=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/cross_class_clips.csv",
            crossed(wildcards.dataset),
        ),
        objects=lambda wildcards: with_stems(
            wildcards.dataset,
            [
                *grid(
                    wildcards.dataset,
                    f"{METHOD}/objects.csv",
                    beside=[STANDARD],
                    splits=networks(wildcards.dataset),
                ),
                *expand(f"{MODEL}/ablation.csv", dataset=wildcards.dataset, split=networks(wildcards.dataset)),
            ],
        ),
        composites=lambda wildcards: composites_of(wildcards.dataset),
        stability=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/{name}" for name in targets.STABILITY_FILES],
            config["datasets"][wildcards.dataset]["stability"]["methods"],
        ),
        agreement=lambda wildcards: agreements(wildcards.dataset),
        masking=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/{name}" for name in targets.MASKING_FILES],
            config["datasets"][wildcards.dataset]["evaluate"]["masking"],
        ),
        cost=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/cost.csv",
            config["datasets"][wildcards.dataset]["evaluate"]["masking"],
        ),
        learned=lambda wildcards: learned(
            wildcards.dataset, *(name for name in targets.LEARNED_FILES if name.endswith(".csv"))
        ),
        sanity=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/sanity.csv",
            config["datasets"][wildcards.dataset]["evaluate"]["sanity"],
        ),
        outside=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/{name}" for name in targets.OUTSIDE_FILES],
            config["datasets"][wildcards.dataset]["evaluate"]["outside"],
        ),
        fidelity=lambda wildcards: expand(
            f"{LEARNED}/{{name}}",
            dataset=wildcards.dataset,
            split="main",
            method=config["datasets"][wildcards.dataset]["evaluate"]["fidelity"],
            name=targets.IMITATED_FILES,
        ),
        flips=lambda wildcards: flips_of(wildcards.dataset),
        scaling=lambda wildcards: scaled(wildcards.dataset),
        beside=lambda wildcards: related(wildcards.dataset),
        others=lambda wildcards: of_others(wildcards.dataset, *INDEX, f"{DATASET}/clips.npy", LOGMEL),
        objects_of_others=lambda wildcards: objects_beside(wildcards.dataset),
        listened=lambda wildcards: (
            f"{DATASET}/main/listened.csv".format(**wildcards) if listener(wildcards.dataset) else []
        ),
        code=code("stages.compare"),
    output:
        [
            report(
                f"{DATASET}/tables/{name}",
                caption="../report/table.rst",
                category="{dataset}",
                subcategory="Tables",
                labels={"table": name},
            )
            for name in targets.TABLES
        ],
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
        job=job("compare", split="main"),
        config=config_of("compare"),
    message:
        "Comparing the explanations of {wildcards.dataset}"
    shell:
        call()


rule draw:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        truth=of_stems("stems.npy", "truth.json"),
        tables=of(f"{DATASET}/tables/{{name}}", name=[name for name in targets.TABLES if name.endswith(".csv")]),
        models=lambda wildcards: expand(
            f"{MODEL}/{{name}}",
            dataset=wildcards.dataset,
            split=datasets.splits(planned_folds(wildcards.dataset)),
            name=["confusion.csv", *history(wildcards.dataset)],
        ),
        heatmaps=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/{{cls}}/heatmaps.safetensors",
            shown(config["datasets"][wildcards.dataset]["grid"]["methods"]),
            beside=[STANDARD],
        ),
        fits=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/{{cls}}/fit.json", with_basis(wildcards.dataset)),
        cross=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/cross_class.csv",
            crossed(wildcards.dataset),
        ),
        learned=lambda wildcards: learned(wildcards.dataset, "history.csv"),
        code=code("stages.draw"),
    output:
        report(
            directory(f"{DATASET}/figures"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="Figures",
            labels={"figure": "{figure}"},
        ),
        # Snakemake compares folders by their dates alone, which a copy changes: what they hold is compared instead.
        contents=f"{DATASET}/figures.csv",
    log:
        "logs/{dataset}/draw.log",
    benchmark:
        "logs/{dataset}/draw.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "draw")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        job=job("draw", split="main"),
        config=config_of("draw"),
    message:
        "Drawing the figures of {wildcards.dataset}"
    shell:
        call()


rule report:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        model=f"{DATASET}/main/model.safetensors",
        answers=[f"{DATASET}/main/{name}" for name in ("predictions.csv", "metrics.json", "chosen.csv")],
        user=lambda wildcards: of_network(wildcards) if wildcards.dataset in ADOPTED else [],
        heatmaps=lambda wildcards: grid(
            wildcards.dataset,
            f"{METHOD}/{{cls}}/heatmaps.safetensors",
            [*sonified(wildcards.dataset), *shown(config["datasets"][wildcards.dataset]["grid"]["methods"])],
            beside=[STANDARD],
        ),
        sounds=lambda wildcards: grid(wildcards.dataset, f"{METHOD}/sounds.csv", sonified(wildcards.dataset)),
        masked=lambda wildcards: grid(
            wildcards.dataset,
            [f"{METHOD}/{{cls}}/heatmaps.safetensors", f"{METHOD}/masking.csv", f"{METHOD}/masked.csv"],
            config["datasets"][wildcards.dataset]["evaluate"]["masking"],
        ),
        figures=f"{DATASET}/figures.csv",
        tracks=lambda wildcards: of_tracks(wildcards.dataset),
        tables=of(f"{DATASET}/tables/{{name}}", name=[name for name in targets.TABLES if name.endswith(".csv")]),
        page=page(),
        code=code("stages.report"),
    output:
        page=f"{DATASET}/report/index.html",
        files=report(
            directory(f"{DATASET}/report/files"),
            htmlindex="index.html",
            caption="../report/page.rst",
            category="{dataset}",
            subcategory="Page",
            labels={"page": "see and hear the concepts"},
        ),
    log:
        "logs/{dataset}/report.log",
    benchmark:
        "logs/{dataset}/report.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "report")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        job=job("report", split="main"),
        config=config_of("report"),
        beside=[name for name in config["run"] if name in CLASSES],
    message:
        "Making the page of {wildcards.dataset}"
    shell:
        call("beside")


rule export:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        masked=lambda wildcards: rated(wildcards.dataset),
        page=[*page(), *page("kit")],
        code=code("stages.export"),
    output:
        kit=directory(f"{DATASET}/listening-test"),
        key=f"{DATASET}/listening-test.csv",
    log:
        "logs/{dataset}/export.log",
    benchmark:
        "logs/{dataset}/export.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "export")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        job=job("export", split="main"),
        config=config_of("export"),
    message:
        "Making the listening test of {wildcards.dataset}"
    shell:
        call()

# Heatmaps of concepts, pictures and sounds of them, of clips and of whole recordings. One rule per data set, as in subspaces.smk.


for dataset, classes in CLASSES.items():

    rule:
        name:
            f"explain_{dataset}"
        input:
            index=of(INDEX, dataset=dataset),
            logmel=of(LOGMEL, dataset=dataset),
            model=of(f"{MODEL}/model.safetensors", dataset=dataset),
            chosen=of(CHOSEN, dataset=dataset),
            clips=heard(f"results/{dataset}/clips.npy", dataset),
            stems=needing("stems", f"results/{dataset}/stems.npy", dataset),
            separated=needing("separated", f"results/{dataset}/separated.npy", dataset),
            predictions=needing("training", of(PREDICTIONS, dataset=dataset), dataset),
            fitted=fitted(dataset),
            standard=sums(of(STANDARD_MAPS, dataset=dataset), dataset),
            code=code_of("explain"),
        output:
            ensure(of(f"{METHOD}/{{cls}}/heatmaps.safetensors", dataset=dataset, cls=classes), non_empty=True),
            cost=of(f"{METHOD}/cost.csv", dataset=dataset),
        log:
            record("explain", "log", dataset=dataset),
        benchmark:
            record("explain", "tsv", dataset=dataset)
        group:
            "concepts-{layer}-{method}"
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "explain")
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
            gpu=1,
        params:
            job=job("explain", dataset=dataset),
            config=config_of("explain", dataset),
        message:
            f"Explaining {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            call("gpu")

    for stage, written, doing in (
        ("picture", of(f"{METHOD}/{{cls}}/heatmaps.png", dataset=dataset, cls=classes), "Drawing"),
        (
            "sonify",
            [
                *directory(of(f"{METHOD}/{{cls}}/sounds", dataset=dataset, cls=classes)),
                # Snakemake compares folders by their dates alone, which a copy changes: what they hold is compared instead.
                *of(f"{METHOD}/sounds.csv", dataset=dataset),
            ],
            "Rendering",
        ),
    ):

        rule:
            name:
                f"{stage}_{dataset}"
            input:
                index=of(INDEX, dataset=dataset),
                clips=f"results/{dataset}/clips.npy",
                logmel=of(LOGMEL, dataset=dataset),
                heatmaps=of(f"{METHOD}/{{cls}}/heatmaps.safetensors", dataset=dataset, cls=classes),
                standard=of(STANDARD_MAPS, dataset=dataset, cls=classes),
                code=code(f"stages.{stage}"),
            output:
                written,
            log:
                record(stage, "log", dataset=dataset),
            benchmark:
                record(stage, "tsv", dataset=dataset)
            group:
                "sounds-{layer}"
            conda:
                "../../envs/earmark.yaml"
            threads: stages.threads(config, stage)
            resources:
                mem_mb=growing(4000),
                runtime=growing(60),
            params:
                job=job(stage, dataset=dataset),
                config=config_of(stage, dataset),
            message:
                f"{doing} {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
            shell:
                call()

    rule:
        name:
            f"track_{dataset}"
        input:
            index=of(INDEX, dataset=dataset),
            logmel=of(LOGMEL, dataset=dataset),
            clips=f"results/{dataset}/clips.npy",
            model=of(f"{MODEL}/model.safetensors", dataset=dataset),
            predictions=of(PREDICTIONS, dataset=dataset),
            fitted=fitted(dataset),
            page=page(),
            code=code_of("track"),
        output:
            directory(of(TRACKED, dataset=dataset)),
        log:
            record("track", "log", dataset=dataset),
        benchmark:
            record("track", "tsv", dataset=dataset)
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "track")
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
            gpu=1,
        params:
            job=job("track", dataset=dataset),
            recording=recording_of(dataset),
            config=config_of("track", dataset),
        message:
            f"Explaining the track {{wildcards.track}} by {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            call("gpu")

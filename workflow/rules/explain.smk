# Heatmaps and sounds of concepts. One rule per data set, as in subspaces.smk.


for dataset, classes in CLASSES.items():

    rule:
        name:
            f"explain_{dataset}"
        input:
            index=of(INDEX, dataset=dataset),
            logmel=of(LOGMEL, dataset=dataset),
            model=of(f"{MODEL}/model.safetensors", dataset=dataset),
            chosen=of(CHOSEN, dataset=dataset),
            subspaces=below_input(of(f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset), dataset),
            code=code("stages.explain"),
        output:
            ensure(of(f"{METHOD}/{{cls}}/heatmaps.safetensors", dataset=dataset, cls=classes), non_empty=True),
            of(f"{METHOD}/{{cls}}/heatmaps.png", dataset=dataset, cls=classes),
        log:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/explain.log",
        benchmark:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/explain.tsv"
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
            config=config_of("explain", dataset),
            dataset=dataset,
        message:
            f"Explaining {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            "earmark explain --dataset {params.dataset} --split {wildcards.split} --layer {wildcards.layer}"
            " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
            " --config {params.config:q} > {log} 2>&1"

    rule:
        name:
            f"sonify_{dataset}"
        input:
            index=of(INDEX, dataset=dataset),
            clips=f"results/{dataset}/clips.npy",
            logmel=of(LOGMEL, dataset=dataset),
            heatmaps=of(f"{METHOD}/{{cls}}/heatmaps.safetensors", dataset=dataset, cls=classes),
            standard=of(
                f"{METHOD}/{{cls}}/heatmaps.safetensors",
                dataset=dataset,
                layer=INPUT_LAYER,
                method="standard",
                k=1,
                cls=classes,
            ),
            code=code("stages.sonify"),
        output:
            directory(of(f"{METHOD}/{{cls}}/sounds", dataset=dataset, cls=classes)),
        log:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/sonify.log",
        benchmark:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/sonify.tsv"
        group:
            "sounds-{layer}"
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "sonify")
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            config=config_of("sonify", dataset),
            dataset=dataset,
        message:
            f"Rendering {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            "earmark sonify --dataset {params.dataset} --split {wildcards.split} --layer {wildcards.layer}"
            " --method {wildcards.method} --k {wildcards.k} --config {params.config:q} > {log} 2>&1"

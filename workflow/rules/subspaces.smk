# What a layer knows of each class, and its division into concepts.
# One job serves all classes of a data set, each an output of its own; hence one rule per data set.


for dataset, classes in CLASSES.items():

    rule:
        name:
            f"collect_{dataset}"
        input:
            index=of(INDEX, dataset=dataset),
            logmel=of(LOGMEL, dataset=dataset),
            model=of(f"{MODEL}/model.safetensors", dataset=dataset),
            predictions=of(PREDICTIONS, dataset=dataset),
            code=code("stages.collect"),
        output:
            ensure(of(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors", dataset=dataset, cls=classes), non_empty=True),
        log:
            f"logs/{dataset}/{{split}}/{{layer}}/collect.log",
        benchmark:
            f"logs/{dataset}/{{split}}/{{layer}}/collect.tsv"
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "collect")
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
            gpu=1,
        params:
            config=config_of("collect", dataset),
            dataset=dataset,
        message:
            f"Collecting pairs at {dataset}/{{wildcards.split}}/{{wildcards.layer}}"
        shell:
            "earmark collect --dataset {params.dataset} --split {wildcards.split} --layer {wildcards.layer}"
            " --gpu {resources.gpu} --config {params.config:q} > {log} 2>&1"

    rule:
        name:
            f"fit_{dataset}"
        input:
            classes=f"results/{dataset}/classes.csv",
            pairs=of(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors", dataset=dataset, cls=classes),
            code=code("stages.fit"),
        output:
            ensure(of(f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset, cls=classes), non_empty=True),
            of(f"{METHOD}/{{cls}}/fit.json", dataset=dataset, cls=classes),
        log:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/fit.log",
        benchmark:
            f"logs/{dataset}/{{split}}/{{layer}}/{{method}}/K~{{k}}/fit.tsv"
        wildcard_constraints:
            method=FITTED_METHOD.pattern,
        group:
            "concepts-{layer}-{method}"
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "fit")
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
            gpu=1,
        params:
            config=config_of("fit", dataset),
            dataset=dataset,
        message:
            f"Fitting {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            "earmark fit --dataset {params.dataset} --split {wildcards.split} --layer {wildcards.layer}"
            " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
            " --config {params.config:q} > {log} 2>&1"

    if dataset in STEMS:

        rule:
            name:
                f"oracle_{dataset}"
            input:
                index=of(INDEX, dataset=dataset),
                clips=f"results/{dataset}/clips.npy",
                stems=f"results/{dataset}/stems.npy",
                logmel=of(LOGMEL, dataset=dataset),
                model=of(f"{MODEL}/model.safetensors", dataset=dataset),
                predictions=of(PREDICTIONS, dataset=dataset),
                pairs=of(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors", dataset=dataset, cls=classes),
                starts=of(
                    f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset, method=fitted(dataset), cls=classes
                ),
                code=code("stages.oracle"),
            output:
                ensure(
                    of(f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset, method=ORACLE, cls=classes),
                    non_empty=True,
                ),
                of(f"{METHOD}/{{cls}}/fit.json", dataset=dataset, method=ORACLE, cls=classes),
            log:
                f"logs/{dataset}/{{split}}/{{layer}}/{ORACLE}/K~{{k}}/oracle.log",
            benchmark:
                f"logs/{dataset}/{{split}}/{{layer}}/{ORACLE}/K~{{k}}/oracle.tsv"
            group:
                f"concepts-{{layer}}-{ORACLE}"
            conda:
                "../../envs/earmark.yaml"
            threads: stages.threads(config, "oracle")
            resources:
                mem_mb=growing(4000),
                runtime=growing(120),
                gpu=1,
            params:
                config=config_of("oracle", dataset),
                dataset=dataset,
                starts=fitted(dataset),
            message:
                f"Searching the oracle of {dataset}/{{wildcards.split}}/{{wildcards.layer}}/K~{{wildcards.k}}"
            shell:
                "earmark oracle --dataset {params.dataset} --split {wildcards.split} --layer {wildcards.layer}"
                " --k {wildcards.k} --gpu {resources.gpu} --starts {params.starts:q}"
                " --config {params.config:q} > {log} 2>&1"

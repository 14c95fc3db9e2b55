# What a layer knows of each class, and its division into concepts; and interpreters, which learn to explain the model.
# One job serves all classes of a data set, each an output of its own; hence one rule per data set. An interpreter is one.


rule learn:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        predictions=PREDICTIONS,
        stems=needing("stems", f"{DATASET}/stems.npy"),
        start=lambda wildcards: [
            f"{LEARNED}/model.safetensors".format(**{**wildcards, "method": name})
            for name in filter(None, [method_of(wildcards.method).starts_from])
        ],
        code=code_of("learn"),
    output:
        [f"{LEARNED}/{name}" for name in targets.LEARNED_FILES],
    log:
        record("learn", "log"),
    benchmark:
        record("learn", "tsv")
    wildcard_constraints:
        method=pattern(methods(lambda one: one.learns)),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "learn")
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
        gpu=1,
    params:
        job=job("learn"),
        config=config_of("learn"),
    message:
        "Training {wildcards.method} to explain {wildcards.dataset}/{wildcards.split}"
    shell:
        call("gpu")


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
            record("collect", "log", dataset=dataset),
        benchmark:
            record("collect", "tsv", dataset=dataset)
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, "collect")
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
            gpu=1,
        params:
            job=job("collect", dataset=dataset),
            config=config_of("collect", dataset),
        message:
            f"Collecting pairs at {dataset}/{{wildcards.split}}/{{wildcards.layer}}"
        shell:
            call("gpu")

    rule:
        name:
            f"fit_{dataset}"
        input:
            classes=f"results/{dataset}/classes.csv",
            pairs=of(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors", dataset=dataset, cls=classes),
            clips=where(
                lambda method: method.fitted_to in ("clips", "stems"),
                of([*INDEX, LOGMEL, f"{MODEL}/model.safetensors", PREDICTIONS], dataset=dataset),
                dataset,
            ),
            stems=where(
                lambda method: method.fitted_to == "stems",
                [
                    *of([f"{DATASET}/clips.npy", f"{DATASET}/stems.npy"], dataset=dataset),
                    *(of(f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset, method=starts(dataset))),
                ],
                dataset,
            ),
            code=code_of("fit"),
        output:
            ensure(of(f"{METHOD}/{{cls}}/subspaces.safetensors", dataset=dataset, cls=classes), non_empty=True),
            of(f"{METHOD}/{{cls}}/fit.json", dataset=dataset, cls=classes),
        log:
            record("fit", "log", dataset=dataset),
        benchmark:
            record("fit", "tsv", dataset=dataset)
        wildcard_constraints:
            method=pattern(methods(lambda one: one.has_basis and (one.fitted_to != "stems" or dataset in STEMS))),
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
            job=job("fit", dataset=dataset),
            config=config_of("fit", dataset),
            starts=lambda wildcards, dataset=dataset: (
                starts(dataset) if method_of(wildcards.method).fitted_to == "stems" else []
            ),
        message:
            f"Fitting {dataset}/{{wildcards.split}}/{{wildcards.layer}}/{{wildcards.method}}/K~{{wildcards.k}}"
        shell:
            call("starts", "gpu")

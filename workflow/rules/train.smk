# The classifier that is explained, and one per fold where cross-validation is asked for.


rule train:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        code=code("stages.train"),
    output:
        model=ensure(f"{MODEL}/model.safetensors", non_empty=True),
        metrics=f"{MODEL}/metrics.json",
        history=f"{MODEL}/history.csv",
        confusion=f"{MODEL}/confusion.csv",
    log:
        "logs/{dataset}/{split}/train.log",
    benchmark:
        "logs/{dataset}/{split}/train.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "train")
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,
        # Told to the job as a resource: how many there are is no parameter that could make a model stale.
        folds=lambda wildcards: planned_folds(wildcards.dataset),
    params:
        config=config_of("train"),
    message:
        "Training the model {wildcards.dataset}/{wildcards.split}"
    shell:
        "earmark train --dataset {wildcards.dataset} --split {wildcards.split} --gpu {resources.gpu}"
        " --folds {resources.folds} --config {params.config:q} > {log} 2>&1"

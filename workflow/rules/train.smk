# The classifier that is explained, and one per fold where cross-validation is asked for.


rule train:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        code=code("train"),
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
    threads: plan.threads(config, "train")
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        gpu=1,
    params:
        config=config_of("train"),
    message:
        "Training the model {wildcards.dataset}/{wildcards.split}"
    shell:
        "earmark train --dataset {wildcards.dataset} --split {wildcards.split} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"

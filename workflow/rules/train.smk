# The classifier that is explained, trained here or adopted, and one per fold where cross-validation is asked for; what it
# answers to every clip, and, by its answers, which clips are looked at.


localrules:
    choose,


rule train:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        code=of_architecture,
    output:
        model=ensure(f"{MODEL}/model.safetensors", non_empty=True),
        history=f"{MODEL}/history.csv",
    log:
        record("train", "log"),
    benchmark:
        record("train", "tsv")
    wildcard_constraints:
        dataset=one_of(TRAINED),
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
        job=job("train"),
        config=config_of("train"),
    message:
        "Training the model {wildcards.dataset}/{wildcards.split}"
    shell:
        call("folds", "gpu")


rule adopt:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        logmel=LOGMEL,
        network=of_network,
        code=code("stages.adopt"),
    output:
        model=ensure(f"{MODEL}/model.safetensors", non_empty=True),
        layers=f"{MODEL}/layers.csv",
    log:
        record("adopt", "log"),
    benchmark:
        record("adopt", "tsv")
    wildcard_constraints:
        dataset=one_of(ADOPTED),
        split="main",
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "adopt")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        job=job("adopt"),
        config=config_of("adopt"),
    message:
        "Adopting the network of {wildcards.dataset}"
    shell:
        call()


rule predict:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        history=lambda wildcards: [f"{MODEL}/{name}" for name in history(wildcards.dataset)],
        code=code("stages.predict"),
    output:
        predictions=PREDICTIONS,
        metrics=f"{MODEL}/metrics.json",
        confusion=f"{MODEL}/confusion.csv",
    log:
        record("predict", "log"),
    benchmark:
        record("predict", "tsv")
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "predict")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
    params:
        job=job("predict"),
        config=config_of("predict"),
    message:
        "Evaluating the model {wildcards.dataset}/{wildcards.split}"
    shell:
        call("gpu")


rule choose:
    input:
        index=INDEX,
        stems=of_stems("stems.npy"),
        predictions=PREDICTIONS,
        code=code("stages.choose"),
    output:
        CHOSEN,
    log:
        record("choose", "log"),
    benchmark:
        record("choose", "tsv")
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "choose")
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        job=job("choose"),
        config=config_of("choose"),
    message:
        "Choosing clips of {wildcards.dataset}/{wildcards.split}"
    shell:
        call()

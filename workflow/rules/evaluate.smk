# How good the explanations are, clip by clip.


rule score:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        heatmaps=of_classes(f"{METHOD}/{{cls}}/heatmaps.safetensors"),
        standard=of_classes(STANDARD_MAPS),
        code=code("stages.score"),
    output:
        f"{METHOD}/scores.csv",
    log:
        record("score", "log"),
    benchmark:
        record("score", "tsv")
    group:
        "concepts-{layer}-{method}"
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "score")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
    params:
        config=config_of("score"),
    message:
        "Scoring {wildcards.dataset}/{wildcards.split}/{wildcards.layer}/{wildcards.method}/K~{wildcards.k}"
    shell:
        call("score")


rule cross:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        subspaces=of_classes(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        standard=of_classes(STANDARD_MAPS),
        code=code_of("cross"),
    output:
        matrix=f"{METHOD}/cross_class.csv",
        clips=f"{METHOD}/cross_class_clips.csv",
    log:
        record("cross", "log"),
    benchmark:
        record("cross", "tsv")
    wildcard_constraints:
        method=pattern(methods(lambda one: one.has_basis)),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "cross")
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=1,
    params:
        config=config_of("cross"),
    message:
        "Crossing classes of {wildcards.dataset}/{wildcards.split}/{wildcards.layer}/{wildcards.method}/K~{wildcards.k}"
    shell:
        call("cross")


rule ablate:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        stems=f"{DATASET}/stems.npy",
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        chosen=CHOSEN,
        code=code("stages.ablate"),
    output:
        f"{MODEL}/ablation.csv",
    log:
        record("ablate", "log"),
    benchmark:
        record("ablate", "tsv")
    wildcard_constraints:
        dataset=one_of(STEMS),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "ablate")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
    params:
        config=config_of("ablate"),
    message:
        "Removing sound objects from clips of {wildcards.dataset}/{wildcards.split}"
    shell:
        call("ablate")


rule objects:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        stems=f"{DATASET}/stems.npy",
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        chosen=CHOSEN,
        fitted=fitted(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        code=code_of("objects"),
    output:
        f"{METHOD}/objects.csv",
    log:
        record("objects", "log"),
    benchmark:
        record("objects", "tsv")
    wildcard_constraints:
        dataset=one_of(STEMS),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "objects")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
    params:
        config=config_of("objects"),
    message:
        "Matching {wildcards.dataset}/{wildcards.split}/{wildcards.layer}/{wildcards.method}/K~{wildcards.k} with sound objects"
    shell:
        call("objects")


rule composites:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        chosen=CHOSEN,
        code=code("stages.composites"),
    output:
        scores=f"{MODEL}/composites.csv",
        curves=f"{MODEL}/composites_curves.csv",
    log:
        record("composites", "log"),
    benchmark:
        record("composites", "tsv")
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "composites")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=1,
    params:
        config=config_of("composites"),
    message:
        "Comparing LRP rules on {wildcards.dataset}/{wildcards.split}"
    shell:
        call("composites")


rule stability:
    input:
        index=INDEX,
        logmel=LOGMEL,
        predictions=PREDICTIONS,
        pairs=of_classes(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors"),
        model=f"{MODEL}/model.safetensors",
        subspaces=of_classes(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        others=of_other_splits([f"{MODEL}/model.safetensors", f"{METHOD}/{{cls}}/subspaces.safetensors"]),
        code=code_of("stability"),
    output:
        of(f"{METHOD}/{{name}}", name=targets.STABILITY_FILES),
    log:
        record("stability", "log"),
    benchmark:
        record("stability", "tsv")
    wildcard_constraints:
        method=pattern(methods(lambda one: one.fitted_to == "pairs")),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "stability")
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=1,
    params:
        config=config_of("stability"),
    message:
        "Refitting {wildcards.dataset}/{wildcards.split}/{wildcards.layer}/{wildcards.method}/K~{wildcards.k}"
    shell:
        call("stability")

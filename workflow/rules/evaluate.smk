# How good the explanations are, clip by clip.


rule score:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        heatmaps=of_classes(f"{METHOD}/{{cls}}/heatmaps.safetensors"),
        standard=of_classes(f"{MODEL}/{INPUT_LAYER}/standard/K~1/{{cls}}/heatmaps.safetensors"),
        code=code("stages.score"),
    output:
        f"{METHOD}/scores.csv",
    log:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/score.log",
    benchmark:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/score.tsv"
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
        "earmark score --dataset {wildcards.dataset} --split {wildcards.split} --layer {wildcards.layer}"
        " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"


rule cross:
    input:
        index=INDEX,
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        subspaces=of_classes(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        standard=of_classes(f"{MODEL}/{INPUT_LAYER}/standard/K~1/{{cls}}/heatmaps.safetensors"),
        code=code("stages.cross"),
    output:
        matrix=f"{METHOD}/cross_class.csv",
        clips=f"{METHOD}/cross_class_clips.csv",
    log:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/cross.log",
    benchmark:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/cross.tsv"
    wildcard_constraints:
        layer=r"conv\d+",
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
        "earmark cross --dataset {wildcards.dataset} --split {wildcards.split} --layer {wildcards.layer}"
        " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"


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
        "logs/{dataset}/{split}/ablate.log",
    benchmark:
        "logs/{dataset}/{split}/ablate.tsv"
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
        "earmark ablate --dataset {wildcards.dataset} --split {wildcards.split} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"


rule objects:
    input:
        index=INDEX,
        clips=f"{DATASET}/clips.npy",
        stems=f"{DATASET}/stems.npy",
        logmel=LOGMEL,
        model=f"{MODEL}/model.safetensors",
        chosen=CHOSEN,
        subspaces=below_input(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        code=code("stages.objects"),
    output:
        f"{METHOD}/objects.csv",
    log:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/objects.log",
    benchmark:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/objects.tsv"
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
        "earmark objects --dataset {wildcards.dataset} --split {wildcards.split} --layer {wildcards.layer}"
        " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"


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
        "logs/{dataset}/{split}/composites.log",
    benchmark:
        "logs/{dataset}/{split}/composites.tsv"
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
        "earmark composites --dataset {wildcards.dataset} --split {wildcards.split} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"


rule stability:
    input:
        index=INDEX,
        logmel=LOGMEL,
        predictions=PREDICTIONS,
        pairs=of_classes(f"{MODEL}/{{layer}}/pairs/{{cls}}.safetensors"),
        model=f"{MODEL}/model.safetensors",
        subspaces=of_classes(f"{METHOD}/{{cls}}/subspaces.safetensors"),
        others=of_other_splits([f"{MODEL}/model.safetensors", f"{METHOD}/{{cls}}/subspaces.safetensors"]),
        code=code("stages.stability"),
    output:
        of(f"{METHOD}/{{name}}", name=targets.STABILITY_FILES),
    log:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/stability.log",
    benchmark:
        "logs/{dataset}/{split}/{layer}/{method}/K~{k}/stability.tsv"
    wildcard_constraints:
        layer=r"conv\d+",
        method=FITTED_METHOD.pattern,
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
        "earmark stability --dataset {wildcards.dataset} --split {wildcards.split} --layer {wildcards.layer}"
        " --method {wildcards.method} --k {wildcards.k} --gpu {resources.gpu}"
        " --config {params.config:q} > {log} 2>&1"

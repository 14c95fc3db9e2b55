# From recordings to clips and their spectrograms.


localrules:
    generate,


rule generate:
    input:
        code=code("generate"),
        source=lambda wildcards: code(config["datasets"][wildcards.dataset]["source"]),
    output:
        index=f"{DATASET}/generated.csv",
        stems=ensure(f"{DATASET}/stems.npy", non_empty=True),
        truth=f"{DATASET}/truth.json",
        recordings=directory(f"{DATASET}/generated"),
    log:
        "logs/{dataset}/generate.log",
    benchmark:
        "logs/{dataset}/generate.tsv"
    wildcard_constraints:
        dataset=one_of(STEMS),
    conda:
        "../../envs/earmark.yaml"
    threads: plan.threads(config, "generate")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        config=config_of("generate"),
    message:
        "Generating the recordings of {wildcards.dataset}"
    shell:
        "earmark generate --dataset {wildcards.dataset} --processes {threads} --config {params.config:q} > {log} 2>&1"


rule ingest:
    input:
        recordings=of_generated("generated.csv"),
        code=code("ingest"),
    output:
        index=INDEX,
        clips=ensure(f"{DATASET}/clips.npy", non_empty=True),
        logmel=ensure(LOGMEL, non_empty=True),
    log:
        "logs/{dataset}/ingest.log",
    benchmark:
        "logs/{dataset}/ingest.tsv"
    conda:
        "../../envs/earmark.yaml"
    threads: plan.threads(config, "ingest")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        config=config_of("ingest"),
        recordings=lambda wildcards: plan.fingerprint(config["datasets"][wildcards.dataset]),
    message:
        "Reading the recordings of {wildcards.dataset}"
    shell:
        "earmark ingest --dataset {wildcards.dataset} --config {params.config:q} > {log} 2>&1"

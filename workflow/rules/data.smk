# From recordings to clips and their spectrograms.


localrules:
    generate,


rule generate:
    input:
        code=code("stages.generate"),
        source=lambda wildcards: code(KINDS[config["datasets"][wildcards.dataset]["source"]].module),
    output:
        index=f"{DATASET}/generated.csv",
        stems=ensure(f"{DATASET}/stems.npy", non_empty=True),
        truth=f"{DATASET}/truth.json",
        recordings=directory(f"{DATASET}/generated"),
    log:
        record("generate", "log"),
    benchmark:
        record("generate", "tsv")
    wildcard_constraints:
        dataset=one_of(GENERATED),
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "generate")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        job=job("generate"),
        config=config_of("generate"),
    message:
        "Generating the recordings of {wildcards.dataset}"
    shell:
        call("processes")


rule ingest:
    input:
        recordings=of_generated("generated.csv"),
        frontend=of_frontend,
        code=code("stages.ingest"),
    output:
        index=INDEX,
        clips=ensure(f"{DATASET}/clips.npy", non_empty=True),
        logmel=ensure(LOGMEL, non_empty=True),
    log:
        record("ingest", "log"),
    benchmark:
        record("ingest", "tsv")
    conda:
        "../../envs/earmark.yaml"
    threads: stages.threads(config, "ingest")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        job=job("ingest"),
        # A function that takes `output` is not compared: the same recordings may lie elsewhere.
        config=lambda wildcards, output: stages.stage_config(config, wildcards.dataset, "ingest"),
        compared=lambda wildcards: stages.compared_config(config, wildcards.dataset, "ingest"),
        recordings=lambda wildcards: datasets.fingerprint(
            config["datasets"][wildcards.dataset], DIGESTS / f"{wildcards.dataset}.json"
        ),
    message:
        "Reading the recordings of {wildcards.dataset}"
    shell:
        call()


for stage, kind, there, written in (
    ("gather", stems.STEMS, [dataset for dataset in STEMS if dataset not in GENERATED], targets.STEM_FILES),
    ("borrow", stems.SEPARATED, SEPARATED, targets.SEPARATED_FILES),
):

    rule:
        name:
            stage
        input:
            index=INDEX,
            clips=f"{DATASET}/clips.npy",
            logmel=LOGMEL,
            code=code(f"stages.{stage}"),
        output:
            ensure([f"{DATASET}/{name}" for name in written], non_empty=True),
        log:
            record(stage, "log"),
        benchmark:
            record(stage, "tsv")
        wildcard_constraints:
            dataset=one_of(there),
        conda:
            "../../envs/earmark.yaml"
        threads: stages.threads(config, stage)
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            job=job(stage),
            # As for `ingest`.
            config=lambda wildcards, output, stage=stage: stages.stage_config(config, wildcards.dataset, stage),
            compared=lambda wildcards, stage=stage: stages.compared_config(config, wildcards.dataset, stage),
            files=lambda wildcards, kind=kind: stems.fingerprint(
                config["datasets"][wildcards.dataset], kind, DIGESTS / f"{wildcards.dataset}.{kind.key}.json"
            ),
        message:
            f"Reading the {kind.title} of {{wildcards.dataset}}"
        shell:
            call()

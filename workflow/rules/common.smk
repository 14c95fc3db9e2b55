# What all rules share: the checked configuration, the classes, and helpers for inputs, params and resources.
import functools
import gc
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.io import _IOFile
from snakemake.resources import Resources
from snakemake.settings.types import DeploymentMethod

SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))

from earmark.errors import EarmarkError
from earmark.plan import datasets, foreign, machine, stages, stems, targets, tracks
from earmark.plan.architectures import architecture_of
from earmark.plan.code import files
from earmark.plan.config import validate
from earmark.plan.generated import KINDS, has_separated, has_stems, is_generated
from earmark.plan.methods import (
    adopts,
    always,
    by_ear,
    hears_samples,
    in_common,
    learner_of,
    learners,
    method_of,
    methods,
    pattern,
    shown,
)
from earmark.plan.sentences import choices
from earmark.store import artifacts
from earmark.store.layout import AGREEMENT, INPUT_LAYER, STANDARD

# Snakemake's own modules stay to the end. Looked through for garbage at every plan, and when Python ends, they take a
# quarter of the time of a call.
gc.freeze()


def checked(function, *arguments):
    """Call a function; a mistake of the user's ends Snakemake with its one sentence."""
    try:
        return function(*arguments)
    except EarmarkError as error:
        sys.exit(f"earmark: {error}")


for path in workflow.configfiles:
    checked(targets.check_configuration_file, str(path), os.getcwd())
config = checked(validate, config)
TRACK = checked(tracks.asked, os.environ, config)
if TRACK:
    checked(targets.check_target, config, TRACK, os.getcwd())
for dataset in config["run"]:
    checked(datasets.fold_count, config["datasets"][dataset])
    checked(stems.check, config["datasets"][dataset])
    checked(datasets.explained, config, dataset)
    checked(datasets.check_scaling, config, dataset)
    checked(datasets.check_beside, config, dataset)
    checked(datasets.check_listener, config, dataset)
    checked(datasets.check_outside, config, dataset)
    checked(tracks.check, config, dataset)


def per_rule(option, settings):
    """Yield each rule with what a profile or the command line sets for its stage, and then for itself."""
    rules_of = {stage: [stage, *(f"{stage}_{dataset}" for dataset in config["datasets"])] for stage in stages.STAGES}
    unknown = set(settings).difference(*rules_of.values())
    if unknown:
        name = min(unknown)
        raise EarmarkError(f"{option}: there is no rule {name}{choices(name, rules_of)}")
    for stage, names in rules_of.items():
        for name in names:
            given = [settings[key] for key in dict.fromkeys((stage, name)) if key in settings]
            if given:
                yield name, given


def merged(option, settings):
    """Map rules to all resources that are set for them."""
    return {
        name: Resources({resource: value for one in given for resource, value in one.items()})
        for name, given in per_rule(option, settings)
    }


def last(option, settings):
    """Map rules to what is set for them, or for their stage."""
    return {name: given[-1] for name, given in per_rule(option, settings)}


amounts = workflow.resource_settings
amounts.overwrite_resources = checked(merged, "--set-resources", amounts.overwrite_resources)
amounts.overwrite_threads = checked(last, "--set-threads", amounts.overwrite_threads)


CLASSES = datasets.known_classes(config)  # {data set: slugs}; a data set whose recordings are not there has no rules
GENERATED = [dataset for dataset in CLASSES if is_generated(config["datasets"][dataset])]
STEMS = [dataset for dataset in CLASSES if has_stems(config["datasets"][dataset])]
SEPARATED = [dataset for dataset in CLASSES if has_separated(config["datasets"][dataset])]
ON_SAMPLES = [dataset for dataset in CLASSES if hears_samples(config["datasets"][dataset])]
RULES = stages.rules_of(CLASSES)  # {stage: names}


def check_targets(asked):
    """Check what the call asks for, and take names of stages for those of their rules."""
    for target in asked.targets:
        checked(targets.check_target, config, target, os.getcwd())
    options = {"--until": (asked, "until"), "--omit-from": (asked, "omit_from"), "--forcerun": (asked, "forcerun")}
    options["--prioritize"] = (workflow.scheduling_settings, "prioritytargets")
    for option, (settings, name) in options.items():
        found = checked(stages.named_rules, RULES, option, getattr(settings, name, ()))
        for path in found.difference(*RULES.values()):
            checked(targets.check_target, config, path, os.getcwd())
        if found:
            setattr(settings, name, found)


def limit_resources():
    """Unless the call says otherwise, jobs of this machine share the memory that it has, and compute on its CPUs."""
    for name, amount in (("mem_mb", machine.memory()), ("gpu", 0)):
        if name not in workflow.global_resources:
            workflow.register_resource(name, amount)


def after_a_look(prepare):
    """Return a function that readies Snakemake for planning after a look at the call, unknown while rules are read."""

    @functools.wraps(prepare)
    def look_and_prepare(*arguments, **options):
        check_targets(workflow.dag_settings)
        if workflow.group_settings.overwrite_groups:
            groups = checked(last, "--groups", workflow.group_settings.overwrite_groups)
            workflow.group_settings.overwrite_groups = groups
        if workflow.nodes is None and workflow.is_main_process:
            limit_resources()
        if workflow.executor_plugin is not None and not workflow.dryrun:
            for dataset in config["run"]:
                checked(artifacts.check_writable, Path("results"), dataset)
        return prepare(*arguments, **options)

    return look_and_prepare


workflow._prepare_dag = after_a_look(workflow._prepare_dag)


# Where a rate limits how many jobs start, Snakemake looks for jobs again a second after each look, which soon takes half a
# core (snakemake/snakemake#3744). Jobs of this machine wait for cores, not for a rate.
onstart:
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def once_per_content(checksum):
    """Return a checksum of files that is computed once for as long as a file keeps its size and date."""
    known = {}

    @functools.wraps(checksum)
    async def found(file, threshold=None, force=False, algorithm=None):
        try:
            state = os.stat(file.file)
        except OSError:
            return await checksum(file, threshold, force, algorithm)
        key = (
            os.path.abspath(file.file),
            state.st_ino,
            state.st_size,
            state.st_mtime_ns,
            threshold,
            force,
            algorithm or "sha256",
        )
        if key not in known:
            known[key] = await checksum(file, threshold, force, algorithm)
        return known[key]

    return found


# After a job Snakemake reads each of its inputs again for each of its outputs, and starts nothing meanwhile
# (snakemake/snakemake#4240).
_IOFile.checksum = once_per_content(_IOFile.checksum)


DATASET = "results/{dataset}"
MODEL = "results/{dataset}/{split}"
PREDICTIONS = f"{MODEL}/predictions.csv"
CHOSEN = f"{MODEL}/chosen.csv"
PAGE = (".html", ".css", ".js")
METHOD = "results/{dataset}/{split}/{layer}/{method}/K~{k}"
LEARNED = f"{MODEL}/trained/{{method}}"
TRACKED = f"{METHOD}/tracks/{{track}}"
STANDARD_MAPS = f"{MODEL}/{INPUT_LAYER}/{STANDARD}/K~1/{{cls}}/heatmaps.safetensors"
INDEX = [f"{DATASET}/{name}" for name in ("manifest.csv", "classes.csv", "clips.csv")]
LOGMEL = f"{DATASET}/logmel.safetensors"
# Digests of recordings that were read, a file per data set, beside the records of Snakemake.
DIGESTS = Path(".snakemake/recordings")


ADOPTED = [dataset for dataset in CLASSES if adopts(config["datasets"][dataset])]
TRAINED = [dataset for dataset in CLASSES if dataset not in ADOPTED]


def of_architecture(wildcards):
    """List the files that a training runs: those of the architecture's module too."""
    return code("stages.train", architecture_of(config["datasets"][wildcards.dataset]).module)


def of_network(wildcards):
    """List the files of the user's that an adopted network is made from."""
    model = config["datasets"][wildcards.dataset]["model"]
    weights = [os.path.expanduser(model["weights"])] if model["weights"] else []
    return [*checked(foreign.sources, model["network"], "model.network"), *weights]


def of_frontend(wildcards):
    """List the files of the user's that a front end is made from."""
    made = config["datasets"][wildcards.dataset]["frontend"].get("module")
    return checked(foreign.sources, made, "frontend.module") if made else []


def recording_of(dataset):
    """Return a params function: a digest of a track, since names of recordings hold what no input of a rule may."""
    block = config["datasets"][dataset]
    return lambda wildcards: checked(
        tracks.digest_of, block, wildcards.track, DIGESTS / f"{dataset}.track.{wildcards.track}.json"
    )


def history(dataset):
    """Name the learning curve of a model, which an adopted one has not."""
    return [] if dataset in ADOPTED else ["history.csv"]


def one_of(names):
    """Return a wildcard constraint that only the given names meet."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(CLASSES),
    split=r"main|cv\d|net[1-9]\d*",
    layer=r"[A-Za-z0-9_.]+",
    method=pattern(methods()),
    k=r"\d+",
    track=r"[a-z0-9][a-z0-9-]*",


# Jobs run the package beside this file, by the Python that runs Snakemake or by that of the conda environment or the
# container, and report their progress on the terminal although their output goes to the log.
elsewhere = {DeploymentMethod.CONDA, DeploymentMethod.APPTAINER}
own_python = elsewhere.isdisjoint(workflow.deployment_settings.deployment_method)
shell.prefix(
    "set -euo pipefail; "
    + (f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; " if own_python else "")
    + f"export PYTHONPATH={shlex.quote(str(SOURCE))}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    'earmark() {{ python -m earmark "$@"; }}; '
    "exec 3>&2; export EARMARK_PROGRESS_FD=3; "
)


@functools.cache
def code(*modules):
    """List the files that modules below the package run, such as ``stages.fit``: an edit of one makes results stale."""
    return [os.path.relpath(path) for path in files(*modules)]


def page(*below):
    """List the files that every page has, or those of a page of its own, in a folder below."""
    folder = SOURCE.joinpath("earmark", "page", *below)
    return [os.path.relpath(path) for path in sorted(folder.iterdir()) if path.suffix in PAGE]


def code_of(stage):
    """Return an input function: the files that a stage runs, and the methods that it explains by."""

    def run(wildcards):
        explainers = stages.STAGES[stage].methods(wildcards.get("method"))
        return code(f"stages.{stage}", *(one.module for one in explainers))

    return run


def config_of(stage, dataset=None):
    """Return a params function: the sections of the configuration that a stage, and its method, use, as JSON."""

    def sections(wildcards):
        name = dataset or wildcards.dataset
        track = tracks.named(config["datasets"][name])[wildcards.track] if "track" in wildcards.keys() else None
        return stages.stage_config(config, name, stage, wildcards.get("method"), track)

    return sections


GIVEN = {
    "gpu": "{resources.gpu}",
    "folds": "{resources.folds}",
    "processes": "{threads}",
    "starts": "{params.starts:q}",
    "beside": "{params.beside:q}",
}
"""Options that are no coordinates of results, and what a rule knows them by."""


def job(stage, **known):
    """Return a param: the stage and its coordinates, known or wildcards.

    A param, because Snakemake evaluates a rule's command anew when a job runs: what a loop over rules sets would be the
    last by then.
    """
    names = ("dataset", *(name for name in stages.STAGES[stage].coordinates if name not in GIVEN))
    return " ".join([stage, *(f"--{name} {known.get(name, f'{{{name}}}')}" for name in names)])


def call(*options):
    """Return a rule's command: its job, some of the options in `GIVEN` and its configuration."""
    given = "".join(f" --{name} {GIVEN[name]}" for name in options)
    return f"earmark {{params.job}}{given} --config {{params.config:q}} > {{log}} 2>&1"


def record(stage, ending, dataset="{dataset}"):
    """Return where a rule's log, or what it cost, lies: under the names of its results."""
    places = {"split": "{split}", "layer": "{layer}", "method": "{method}", "k": "K~{k}", "track": "tracks/{track}"}
    taken = [place for name, place in places.items() if name in stages.STAGES[stage].coordinates]
    return os.path.join("logs", dataset, *taken, f"{stage}.{ending}")


def of(pattern, **known):
    """Fill in some wildcards of a path and leave the others."""
    return expand(pattern, **known, allow_missing=True)


def of_classes(pattern):
    """Return an input function: a path with {cls} for every class of the data set."""
    return lambda wildcards: expand(pattern, cls=CLASSES[wildcards.dataset], **wildcards)


def of_generated(*names):
    """Return an input function: files that only generated data have."""
    return lambda wildcards: [f"results/{wildcards.dataset}/{name}" for name in names if wildcards.dataset in GENERATED]


def of_stems(*names):
    """Return an input function: files that only data sets have whose sound objects are known."""
    return lambda wildcards: with_stems(wildcards.dataset, [f"results/{wildcards.dataset}/{name}" for name in names])


def with_stems(dataset, paths):
    """Return the paths if the data set's sound objects are known, else none."""
    return paths if dataset in STEMS else []


def where(holds, paths, dataset=None):
    """Return an input function: paths with wildcards, {cls} among them, for methods of which something holds."""

    def filled(wildcards):
        known = {"cls": CLASSES[dataset or wildcards.dataset], **wildcards}
        return expand(paths, **known) if holds(method_of(wildcards.method)) else []

    return filled


def fitted(dataset=None):
    """Return an input function: what a method was fitted to each class, or what it learned; nothing for others."""

    def filled(wildcards):
        method = method_of(wildcards.method)
        known = {"cls": CLASSES[dataset or wildcards.dataset], "dataset": dataset, **wildcards}
        if method.is_trained:
            return expand(f"{LEARNED}/model.safetensors", **{**known, "method": learner_of(wildcards.method)})
        return expand(f"{METHOD}/{{cls}}/subspaces.safetensors", **known) if method.has_basis else []

    return filled


def sums(paths, dataset=None):
    """Return an input function: standard heatmaps, for methods whose parts sum to them."""
    return where(lambda method: method.propagates, paths, dataset)


def needing(what, paths, dataset=None):
    """Return an input function: files of what some methods ask for."""
    return where(lambda method: what in method.needs, paths, dataset)


def heard(paths, dataset=None):
    """Return an input function: waveforms, for methods that hear them."""
    return where(lambda method: method.hears, paths, dataset)


def starts(dataset):
    """List the methods of a data set's grid whose bases a search that knows the stems starts from."""
    found = map(method_of, names := config["datasets"][dataset]["grid"]["methods"])
    return [name for name, one in zip(names, found) if one.has_basis and one.fitted_to != "stems"]


def growing(amount):
    """Return a resource that grows when a job is tried again."""
    return lambda wildcards, attempt: amount * attempt


def grid(dataset, pattern, names=None, beside=(), splits=("main",)):
    """List a path for every method of a data set's grid, or some of it, and for methods beside it, in some splits.

    Methods that work at a layer have one for every layer, and every K if they give parts; the others one.
    """
    block = config["datasets"][dataset]["grid"]
    names = list(dict.fromkeys([*beside, *(block["methods"] if names is None else names)]))
    known = {"dataset": dataset, "split": splits, "cls": CLASSES[dataset]}
    found = []
    for name in names:
        method = method_of(name)
        layers = block["layers"] if method.layered else INPUT_LAYER
        found += expand(pattern, layer=layers, method=name, k=method.counts(block["k"]), **known)
    return found


def networks(dataset):
    """List the splits of a data set's networks, the explained one first."""
    return datasets.networks(config["datasets"][dataset])


def with_basis(dataset):
    """List the methods of a data set's grid that are fitted to each class."""
    return [name for name in config["datasets"][dataset]["grid"]["methods"] if method_of(name).has_basis]


def crossed(dataset):
    """List the methods whose subspaces are tried on other classes, where there are others."""
    return config["datasets"][dataset]["evaluate"]["cross"] if len(CLASSES[dataset]) > 1 else []


@functools.cache
def planned_folds(dataset):
    """Return how many folds the cross-validation counts on, the same from the plan to the last job; 0 without it."""
    return datasets.planned_folds(config, dataset)


def composites_of(dataset):
    """List the comparison of LRP rules, if a data set names candidates."""
    asked = config["datasets"][dataset]["composites"]["candidates"]
    return expand(f"{MODEL}/{{name}}", dataset=dataset, split="main", name=targets.COMPOSITES_FILES if asked else ())


def flips_of(dataset):
    """List what is answered while samples are 0, if a data set names shares of them."""
    asked = config["datasets"][dataset]["evaluate"]["flips"]
    return expand(f"{MODEL}/{{name}}", dataset=dataset, split="main", name=targets.FLIPPED_FILES if asked else ())


def scaled(dataset):
    """List what is answered to a data set's scaled clips, if classes are to be scaled."""
    asked = config["datasets"][dataset]["evaluate"]["scaling"]
    return expand(f"{MODEL}/scaled.csv", dataset=dataset, split="main") if asked else []


def agreements(dataset):
    """List what compares a data set's networks, if it has several."""
    block = config["datasets"][dataset]["grid"]
    several = networks(dataset)[1:] and with_basis(dataset)
    path = f"{MODEL}/{{layer}}/{AGREEMENT}/K~{{k}}.csv"
    return expand(path, dataset=dataset, split="main", layer=block["layers"], k=block["k"]) if several else []


def others(dataset):
    """List the data sets with whose networks a data set's is compared."""
    return config["datasets"][dataset]["evaluate"]["beside"]


def related(dataset):
    """List what compares a data set's network with those of others, if it names some."""
    return expand(f"{MODEL}/beside.csv", dataset=dataset, split="main") if others(dataset) else []


def of_others(dataset, *patterns):
    """List files of the data sets with whose networks a data set's is compared."""
    return expand(patterns, dataset=others(dataset), split="main") if others(dataset) else []


def in_both(dataset, other, path):
    """List a path of two data sets: for every layer of each, and the methods, K and classes of both."""
    grids = {name: config["datasets"][name]["grid"] for name in (dataset, other)}
    names, ks = in_common(grids[dataset], grids[other])
    known = {
        "split": "main",
        "method": names,
        "k": ks,
        "cls": [cls for cls in CLASSES[dataset] if cls in CLASSES[other]],
    }
    return [
        found for name, grid in grids.items() for found in expand(path, dataset=name, layer=grid["layers"], **known)
    ]


def learned(dataset, *names):
    """List files of the trainings of a data set's methods."""
    trained = learners(config["datasets"][dataset])
    return expand(f"{LEARNED}/{{name}}", dataset=dataset, split="main", method=trained, name=names) if trained else []


def objects_beside(dataset):
    """List what tells whose concepts are the sound objects, of those other data sets whose objects are known too."""
    known = [other for other in others(dataset) if dataset in STEMS and other in STEMS]
    truths = expand(f"{DATASET}/truth.json", dataset=known)
    return truths + [path for other in known for path in in_both(dataset, other, f"{METHOD}/objects.csv")]


def listener(dataset):
    """Name the data set whose network listens to another one's explanations; None where none does."""
    return config["datasets"][dataset]["evaluate"]["listener"]


def rated(dataset):
    """List the sounds that people rate in a data set's listening test."""
    places = by_ear(config["datasets"][dataset]).items()
    known = {"dataset": dataset, "split": "main"}
    return [
        path
        for name, (layer, k) in places
        for path in expand(f"{METHOD}/masked.csv", layer=layer, method=name, k=k, **known)
    ]


def speech(dataset):
    """Name the data set whose clips contaminate another one's; None where none does."""
    return config["datasets"][dataset]["evaluate"]["outside_speech"]


def sonified(dataset):
    """List the methods that are heard: the standard explanation where there are no concepts."""
    block = config["datasets"][dataset]
    parts = any(method_of(name).parts for name in block["grid"]["methods"])
    return block["sonify"]["methods"] if parts else [STANDARD]


def of_tracks(dataset):
    """List the results of a data set's tracks, by the methods that are heard."""
    block = config["datasets"][dataset]
    return grid(dataset, of(TRACKED, track=list(tracks.named(block))), tracks.heard(block)) if block["tracks"] else []


def wanted(dataset):
    """List what a plain call makes of a data set; the rest comes with it."""
    pictures = grid(dataset, f"{METHOD}/{{cls}}/heatmaps.png", sonified(dataset), beside=[STANDARD])
    return expand([*rules.compare.output, *rules.draw.output, *rules.report.output], dataset=dataset) + pictures

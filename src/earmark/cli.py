"""The command line: one sub-command per stage, which the workflow's rule of the same name calls."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import importlib.metadata
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.plan.methods import adopts, methods, spelled
from earmark.plan.stages import STAGES
from earmark.progress import terminal
from earmark.store.layout import INPUT_LAYER, Layout

OPTIONS: dict[str, dict[str, Any]] = {
    "split": {"help": "main, netN or cvN"},
    "layer": {"help": f"a module of the network by its name; {INPUT_LAYER} for methods that know no layer"},
    "method": {"help": ", ".join(spelled(methods()))},
    "k": {"type": int, "help": "number of concepts"},
    "track": {"metavar": "NAME", "help": "a recording of `tracks`, by its name in paths"},
    "starts": {
        "nargs": "*",
        "metavar": "METHOD",
        "default": [],
        "help": "methods whose subspaces the search starts from",
    },
    "folds": {"type": int, "default": 0, "help": "how many the cross-validation counts on; 0: any number"},
    "gpu": {"type": int, "default": 0, "help": "0 computes on the CPU, 1 on the GPU"},
    "beside": {"nargs": "*", "metavar": "DATASET", "default": [], "help": "data sets whose pages this one leads to"},
    "processes": {"type": int, "default": 1, "help": "how many work side by side"},
}


INPUTS = ((1, 64, 64), (1, 16000))
"""Shapes of inputs that a network is tried on: a spectrogram, and a second of sound."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage, or look at a network.

    Parameters
    ----------
    arguments : sequence of str or None
        Command line without the program's name; None takes the process's own.

    Returns
    -------
    int
        Exit status: 0, or 1 after a mistake that one sentence on stderr explains.
    """
    options = vars(_parser().parse_args(arguments))
    call = options.pop("call")
    _log()
    try:
        call(**options)
    except EarmarkError as error:
        _say(f"earmark: {error}")
        return 1
    return 0


def _say(sentence: str) -> None:
    """Print to stderr, or to the terminal where that fails: a full disk has no room for a rule's log either."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        screen = terminal()
        if screen is not None:
            with screen:
                print(sentence, file=screen)


def _log() -> None:
    """Log to stderr, which a rule sends to its log; warnings to the terminal as well."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    screen = terminal()
    if screen is not None:
        aloud = logging.StreamHandler(screen)
        aloud.setLevel(logging.WARNING)
        aloud.setFormatter(logging.Formatter("  warning: %(message)s"))
        logging.getLogger().addHandler(aloud)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="earmark", description="Concept explanations of audio classifiers that you can hear."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    parser.add_argument("--gpus", action=_Gpus, help="show how many GPUs a job can compute on here, 0 or 1, and exit")
    stages = parser.add_subparsers(metavar="STAGE", required=True)
    _add_inspect(stages)
    _add_answers(stages)
    for name, stage in STAGES.items():
        command = stages.add_parser(name, help=stage.what, description=f"{stage.what[0].upper()}{stage.what[1:]}.")
        command.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
        command.add_argument("--dataset", required=True, help="name of the data set")
        for option in stage.coordinates:
            command.add_argument(f"--{option}", required="default" not in OPTIONS[option], **OPTIONS[option])
        command.add_argument("--config", required=True, metavar="JSON", help="sections of the configuration, as JSON")
        command.set_defaults(call=functools.partial(_run, name))
    return parser


def _add_inspect(commands: Any) -> None:
    what = "look at a network of your own: its layers, the rules that fit it, and whether LRP can explain it"
    command = commands.add_parser(
        "inspect",
        help=what,
        description=f"{what[0].upper()}{what[1:]}. It is looked at on noise, or on clips of a data set; exit status 1 "
        "if LRP cannot explain it.",
    )
    command.add_argument(
        "network", nargs="?", help="my_net.py:build or package.module:build, a function that returns a module"
    )
    command.add_argument("--dataset", metavar="NAME", help="take the network, and clips, of this data set instead")
    command.add_argument(
        "--configfile", type=Path, metavar="FILE", help="where the data set stands, merged over config.yaml"
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="safetensors, or a state dict of torch.save")
    command.add_argument(
        "--input",
        type=_shape,
        metavar="SHAPE",
        help="of one input, such as 1x128x128; by default the first of "
        f"{', '.join('x'.join(map(str, shape)) for shape in INPUTS)} that it takes",
    )
    command.add_argument(
        "--outputs",
        choices=["logits", "probabilities"],
        default="logits",
        help="what the network answers with; of probabilities its last sigmoid or softmax is taken off",
    )
    command.set_defaults(call=_inspect)


def _add_answers(commands: Any) -> None:
    what = "say what people know, who guessed by what `blind` wrote, and what they think, who rated what `export` did"
    command = commands.add_parser("answers", help=what, description=f"{what[0].upper()}{what[1:]}.")
    command.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="guesses, one file per listener, and ratings, in any number"
    )
    command.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    command.add_argument("--dataset", required=True, help="name of the data set")
    command.add_argument("--split", default="main", help="whose answers were guessed: main, netN or cvN")
    command.add_argument("--draws", type=int, default=2000, help="resamples behind every interval of guesses")
    command.set_defaults(call=_answers)


def _answers(files: list[Path], results: Path, dataset: str, split: str, draws: int) -> None:
    """Print what guesses and ratings of people come to, and what was left out of them."""
    from earmark.data.ratings import rated
    from earmark.tables import listening
    from earmark.tables.people import ratings

    layout = Layout(results, dataset)
    points = [path for path in files if rated(path)]
    guesses = [path for path in files if path not in points]
    told = [listening.of_people(layout, split, guesses, draws)] if guesses else []
    told += [ratings.of_people(layout, points)] if points else []
    print("\n".join(told), end="")


def _shape(text: str) -> tuple[int, ...]:
    """Read a shape such as 1x128x128."""
    shape = tuple(int(size) for size in text.split("x"))
    if min(shape) < 1:
        raise ValueError(text)
    return shape


def _inspect(
    network: str | None,
    weights: Path | None,
    input: tuple[int, ...] | None,
    outputs: str,
    dataset: str | None,
    configfile: Path | None,
) -> None:
    """Print what LRP can do with a network; PyTorch is imported for this alone."""
    from earmark.lrp.inspection import inspected, written
    from earmark.models import external

    if (network is None) == (dataset is None):
        raise EarmarkError(
            "name either a network, as in my_net.py:build, or a data set that adopts one, with --dataset"
        )
    if dataset is not None:
        adopted, inputs = _of_dataset(dataset, configfile)
    else:
        module = external.load_network(str(network), Path.cwd())
        if weights is not None:
            external.load_weights(module, weights)
        adopted, inputs = external.adopted_on_noise(module, INPUTS if input is None else (input,), outputs)
    found = inspected(adopted.network, inputs)
    print(written(found), end="")
    for remark in adopted.remarks:
        print(f"note: {remark}")
    if found.faults:
        outside = methods(lambda method: method.needs_answers_only)
        others = f"; {', '.join(spelled(outside))} can explain it" if outside else ""
        raise EarmarkError("; ".join(found.faults) + others)


def _of_dataset(name: str, configfile: Path | None) -> Any:
    """Take the network that a data set adopts, and some inputs made of its clips."""
    from earmark.data.dataset import open_dataset
    from earmark.models import external
    from earmark.plan import config

    files = [Path("config.yaml"), *([configfile] if configfile is not None else [])]
    block = config.read(files)["datasets"].get(name)
    if block is None or not adopts(block):
        raise EarmarkError(f"{name} is no data set that adopts a network: model.network of its block names none")
    layout = Layout(Path("results"), name)
    if not layout.logmel.exists():
        raise EarmarkError(f"the recordings of {name} have not been read yet: ask Snakemake for {layout.clip_index}")
    return external.of_dataset(block["model"], open_dataset(layout))


class _Gpus(argparse.Action):
    """Print 1, or 0 and on stderr why, and end."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Try the GPU; PyTorch is imported for this alone."""
        from earmark.models import gpu

        why = gpu.fault()
        if why:
            _say(f"earmark: no GPU to compute on: {why}.")
        print(int(why is None))
        parser.exit()


def _version() -> str:
    try:
        return importlib.metadata.version("earmark")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _run(stage: str, config: str, **coordinates: Any) -> None:
    """Import a stage's module and run it, whatever the environment says of threads and of drawing."""
    sections = _sections(config)
    threads = sections.get("torch_threads")
    if threads is not None:
        # Sums depend on how they are shared out. These are read when a library is loaded, and Snakemake sets the
        # first to its own {threads}, which shrinks with --cores; OpenBLAS never takes more threads than cores.
        os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
    # Figures go to files. A notebook's variable names a way to draw without which Matplotlib does not even load.
    os.environ["MPLBACKEND"] = "Agg"
    # What libraries make when they are loaded stays to the end. Looked through for garbage meanwhile, and again when
    # Python ends, it takes a third of the time of a job that does little.
    gc.disable()
    module = importlib.import_module(f"earmark.stages.{stage}")
    gc.freeze()
    gc.enable()
    if threads is not None and STAGES[stage].torch:
        import torch

        torch.set_num_threads(threads)
    module.run(Job(stage=stage, config=sections, **coordinates))


def _sections(text: str) -> dict[str, Any]:
    """Parse the sections of the configuration that a stage was given."""
    try:
        sections = json.loads(text)
    except json.JSONDecodeError as error:
        raise EarmarkError(f"--config is not JSON: {error}") from error
    if not isinstance(sections, dict):
        raise EarmarkError("--config must be a JSON object")
    return sections

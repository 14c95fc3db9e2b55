"""Stage ``adopt``: check a trained network of the user's on its recordings, and store it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from earmark.data import dataset
from earmark.errors import EarmarkError
from earmark.job import Job
from earmark.lrp.coverage import covered
from earmark.lrp.rules import from_config
from earmark.lrp.suggest import suggested
from earmark.models import base as models
from earmark.models import external
from earmark.models.base import Network
from earmark.models.graph import fused
from earmark.plan.config import AUTO
from earmark.plan.sentences import choices
from earmark.store import artifacts

log = logging.getLogger(__name__)

COLUMNS = ("layer", "module", "channels", "share")


def run(job: Job) -> None:
    """Write ``model.safetensors`` and ``layers.csv``.

    Parameters
    ----------
    job : Job
        Of its configuration: ``model``, ``frontend``, ``seed``.

    Raises
    ------
    EarmarkError
        If the network cannot be had or cannot be explained, answers another number of classes, or lacks a layer that is
        named; one sentence that says what to do.
    """
    source, settings = dataset.of(job), job.config["model"]
    frontend = source.frontend
    taken, inputs = external.of_dataset(settings, source)
    for remark in taken.remarks:
        log.warning("%s", remark)
    model = named(Network.around(taken.network, frontend, [cls.slug for cls in source.classes]), settings)
    model = replace(model, suggested=suggested(fused(taken.network, inputs)[1], frontend.shape))
    shares, fault = explained(model, inputs)
    if fault:
        log.warning("%s", fault)
    models.save_adopted(job.layout.model(job.split), model, settings, job.config["frontend"], job.made)
    modules = {layer: model.names.get(layer, layer) for layer in model.layers}
    rows = [
        (layer, modules[layer], channels, f"{shares[modules[layer]]:.6g}" if modules[layer] in shares else "")
        for layer, channels in model.layers.items()
    ]
    artifacts.write_csv(job.layout.split(job.split) / "layers.csv", COLUMNS, rows, job.made)
    log.info("%s: %d layers can be explained", settings["network"], len(rows))


def explained(model: Network, inputs: torch.Tensor) -> tuple[Mapping[str, float], str | None]:
    """Follow a network's logits of inputs ``[B, *I]`` down by LRP with fitting rules.

    Returns
    -------
    shares : mapping of str to float
        Of the relevance, what goes through each module that can be explained; none where LRP does not cover the
        network.
    fault : str or None
        Why LRP does not account for the logits, in a sentence; None if it does.
    """
    rules = from_config({"lrp": {"rules": AUTO}}).fitted(model.suggested)
    try:
        coverage = covered(model.network, inputs, rules)
    except EarmarkError as error:
        return {}, str(error)
    return coverage.through, coverage.fault()


def named(model: Network, settings: Mapping[str, Any]) -> Network:
    """Give layers the names that the configuration has for them, before all others.

    Raises
    ------
    EarmarkError
        If there is no such module, or it gives nothing with channels.
    """
    names = dict(settings["layers"])
    for short, qualified in names.items():
        if qualified not in model.layers:
            which = choices(qualified, model.layers)
            raise EarmarkError(f"model.layers.{short} names {qualified}, which is no layer of the network{which}")
    own = {short: model.layers[qualified] for short, qualified in names.items()}
    others = {name: channels for name, channels in model.layers.items() if name not in names.values()}
    return replace(model, layers={**own, **others}, names=names, multi_label=settings["task"] == "multi")

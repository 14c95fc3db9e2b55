"""Stage ``ablate``: which sound objects the model uses at all, told by its logit without each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from earmark import artifacts, data, model
from earmark.frontend import Frontend
from earmark.groundtruth import SETS, choose, stems_of
from earmark.layout import Layout
from earmark.progress import Progress
from earmark.train import logits_of

COLUMNS = ("set", "cls", "clip", "path", "group", "object", "logit", "without", "left_out")


def run(results: Path, dataset: str, config: dict[str, Any], *, split: str, gpu: int) -> None:
    """Write ``ablation.csv``: a clip's logit with all its objects, and without each.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``frontend``, ``objects``, ``seed``.
    split : str
        Which model.
    gpu : int
        0: on the CPU.

    Raises
    ------
    EarmarkError
        If the data set has no stems, or no clip of a class is recognised.
    """
    layout = Layout(results, dataset)
    device = model.device(gpu)
    network = model.load(layout.model(split))[0].to(device)
    frontend = Frontend.from_config(config)
    source = data.open_dataset(layout)
    progress = Progress(f"ablate {dataset}/{split}", len(source.classes) * len(SETS))
    rows: list[tuple[Any, ...]] = []
    for done, (which, cls) in enumerate(((which, cls) for which in SETS for cls in source.classes), start=1):
        clips, logits, left_out = choose(network, source, split, which, cls, config, device)
        index = source.clips.iloc[clips]
        for number, (clip, path, group) in enumerate(zip(clips, index["path"], index["group"], strict=True)):
            stems = stems_of(source, [clip])[0]
            reduced = logits_of(network, without(frontend, source.waveforms([clip])[0], stems), device)
            for place in torch.nonzero(stems.abs().amax(dim=1) > 0).squeeze(1).tolist():
                values = float(logits[number]), float(reduced[place, cls.index])
                rows.append((which, cls.slug, clip, path, group, place + 1, *values, left_out))
        progress(done, f"{cls.slug}, {which}")
    artifacts.write_csv(layout.split(split) / "ablation.csv", COLUMNS, rows, artifacts.provenance(config, str(device)))


def without(frontend: Frontend, waveform: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
    """Take each object out of a clip, the rest staying at the level at which the model heard it.

    Parameters
    ----------
    frontend : Frontend
        The model's.
    waveform : torch.Tensor
        ``[S]``.
    stems : torch.Tensor
        ``[O, S]``, at their level in the clip.

    Returns
    -------
    torch.Tensor
        Log-mel spectrograms ``[O, 1, F, T]``, all scaled by the whole clip's peak.
    """
    peak = waveform.abs().max()
    rest = (waveform - stems) / torch.where(peak > 0, peak, 1.0)
    return frontend.compressed(frontend.mel(rest)).unsqueeze(1)

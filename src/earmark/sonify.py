"""Stage ``sonify``: concept heatmaps as sound (thesis 3.3, B.3).

The masks of all concepts share one scale and sum to the mask of the standard explanation; multiplied on the clip's
own complex spectrogram they give sounds that sum to that of the standard explanation, with the clip's phases.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earmark import artifacts, cards, data
from earmark.frontend import Frontend
from earmark.layout import INPUT_LAYER, Layout
from earmark.progress import Progress

log = logging.getLogger(__name__)

PERCENTILE = 90.0
KERNEL_SIZE = 5
KERNEL_SIGMA = 1.0

CARD_COLUMNS = ("concept", "rank", "clip", "path", "relevance", "share")


def blurred(maps: torch.Tensor) -> torch.Tensor:
    """Blur ``[K, F, T]`` by a 5 x 5 Gaussian of sigma 1 (eq. 3.12), edges replicated."""
    offsets = torch.arange(KERNEL_SIZE, dtype=maps.dtype) - KERNEL_SIZE // 2
    profile = torch.exp(-offsets.square() / (2 * KERNEL_SIGMA**2))
    kernel = torch.outer(profile, profile)
    kernel = (kernel / kernel.sum()).view(1, 1, KERNEL_SIZE, KERNEL_SIZE)
    padded = torch.nn.functional.pad(maps.unsqueeze(1), (KERNEL_SIZE // 2,) * 4, mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel).squeeze(1)


def masks(standard: torch.Tensor, heatmaps: torch.Tensor, percentile: float = PERCENTILE) -> torch.Tensor:
    """Turn heatmaps into masks on the mel grid that sum to the mask of the standard heatmap.

    Parameters
    ----------
    standard : torch.Tensor
        ``[F, T]``.
    heatmaps : torch.Tensor
        ``[K, F, T]``.
    percentile : float
        Of the standard heatmap's positive cells; what lies below is not rendered.

    Returns
    -------
    torch.Tensor
        ``[K, F, T]``, non-negative, at most 1; all 0 where the standard heatmap has no positive cell.
    """
    positive = standard.clamp_min(0)
    if not (positive > 0).any():
        return torch.zeros_like(heatmaps)
    threshold = torch.quantile(positive[positive > 0], percentile / 100)
    shape = blurred((positive * (positive >= threshold)).unsqueeze(0))  # [1, F, T]
    shares = blurred(heatmaps.clamp_min(0))  # [K, F, T]
    total = shares.sum(dim=0)
    return shape / shape.max() * torch.where(total > 0, shares / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)


def lifted(frontend: Frontend, mel_masks: torch.Tensor) -> torch.Tensor:
    """Lift masks ``[K, F, T]`` to the bins of the spectrum, ``[K, n_bins, T]``.

    A bin takes the mean of the bands that cover it, weighted by their filters; a bin that no filter covers
    (0 Hz and the Nyquist frequency) takes its neighbour's.
    """
    bank = frontend.filter_bank.to(mel_masks)  # [F, n_bins]
    cover = bank.sum(dim=0)
    covered = torch.nonzero(cover > 0).squeeze(1)
    bins = torch.arange(len(cover))
    nearest = covered[(bins[:, None] - covered).abs().argmin(dim=1)]
    weights = (bank / torch.where(cover > 0, cover, 1.0))[:, nearest]  # [F, n_bins]
    return weights.T @ mel_masks


def render(
    frontend: Frontend,
    waveform: torch.Tensor,
    standard: torch.Tensor,
    heatmaps: torch.Tensor,
    percentile: float = PERCENTILE,
    inverse: str = "additive",
) -> torch.Tensor:
    """Render concepts as sound.

    Parameters
    ----------
    frontend : Frontend
        The one that the heatmaps' inputs were made with.
    waveform : torch.Tensor
        The clip ``[S]``.
    standard : torch.Tensor
        Its standard heatmap ``[F, T]``.
    heatmaps : torch.Tensor
        Its concept heatmaps ``[K, F, T]``.
    percentile : float
        See :func:`masks`.
    inverse : {"additive", "mel-nnls"}
        ``additive`` masks the clip's own spectrum, so that sounds sum to the standard explanation's;
        ``mel-nnls`` inverts the masked mel spectrogram by non-negative least squares (eq. 3.13-3.16).

    Returns
    -------
    torch.Tensor
        ``[K, S]``, at the clip's level.
    """
    mel_masks = masks(standard, heatmaps, percentile)
    return apply_masks(frontend, waveform, mel_masks, inverse)


def apply_masks(
    frontend: Frontend, waveform: torch.Tensor, mel_masks: torch.Tensor, inverse: str = "additive"
) -> torch.Tensor:
    """Filter a clip ``[S]`` by masks ``[K, F, T]`` on the mel grid; sounds ``[K, S]``."""
    spectrum = frontend.stft(waveform.unsqueeze(0))  # [1, n_bins, T]
    if inverse == "mel-nnls":
        magnitudes = _nnls(frontend, mel_masks * frontend.mel(waveform.unsqueeze(0)))
        return frontend.istft(torch.polar(magnitudes, spectrum.angle().expand_as(magnitudes)))
    return frontend.istft(lifted(frontend, mel_masks) * spectrum)


def _nnls(frontend: Frontend, mels: torch.Tensor) -> torch.Tensor:
    """Magnitudes ``[K, n_bins, T]`` whose mel spectrograms come closest to ``[K, F, T]`` (eq. 3.14, 3.15)."""
    from librosa.util import nnls

    bank = frontend.filter_bank.double().numpy()  # [F, n_bins]
    return torch.from_numpy(np.stack([nnls(bank, mel) for mel in mels.double().numpy()])).to(mels.dtype)


def matched(waveforms: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Scale sounds ``[K, S]`` to the reference's RMS (eq. 3.19), peaks limited to the reference's peak.

    A silent sound stays silent.
    """
    rms = waveforms.square().mean(dim=1, keepdim=True).sqrt()
    wanted = reference.square().mean().sqrt()
    peak = float(reference.abs().max())
    return torch.where(rms > 0, waveforms * wanted / rms.clamp_min(1e-12), waveforms).clamp(-peak, peak)


def run(results: Path, dataset: str, config: dict[str, Any], *, split: str, layer: str, method: str, k: int) -> None:
    """Write the folder ``sounds`` of every class.

    Parameters
    ----------
    results, dataset
        Where the results lie.
    config : dict
        ``sonify``, ``frontend``, ``seed``.
    split, layer, method, k
        Coordinates of the heatmaps.
    """
    layout = Layout(results, dataset)
    source = data.open_dataset(layout)
    frontend = Frontend.from_config(config)
    settings = config["sonify"]
    progress = Progress(f"sonify {dataset}/{split}/{layer}/{method}/K~{k}", len(source.classes))
    for done, cls in enumerate(source.classes, start=1):
        folder = layout.concept(split, layer, method, k, cls.slug)
        tensors, _ = artifacts.read_tensors(folder / "heatmaps.safetensors")
        standards, _ = artifacts.read_tensors(
            layout.concept(split, INPUT_LAYER, "standard", 1, cls.slug) / "heatmaps.safetensors"
        )
        standard_of = dict(zip(standards["clips"].tolist(), standards["heatmaps"][:, 0, 0], strict=True))
        with artifacts.replacing_directory(folder / "sounds") as target:
            gallery = write_gallery(target, tensors, standard_of, source, frontend, settings)
            columns = ["folder", "clip", "path", "logit", *(f"relevance{concept + 1}" for concept in range(k))]
            artifacts.write_csv(target / "clips.csv", columns, gallery, artifacts.provenance(config))
            strongest = write_cards(target / "cards", tensors, standard_of, source, frontend, settings)
            artifacts.write_csv(target / "cards.csv", CARD_COLUMNS, strongest, artifacts.provenance(config))
        progress(done, cls.slug)


def write_gallery(
    target: Path,
    tensors: dict[str, torch.Tensor],
    standard_of: dict[int, torch.Tensor],
    source: data.DataSet,
    frontend: Frontend,
    settings: dict[str, Any],
) -> list[list[Any]]:
    """Write a folder ``000``, ``001``, ... per clip of the gallery; the rows of ``clips.csv``."""
    listed = []
    for number, row in enumerate(torch.nonzero(tensors["gallery"]).squeeze(1).tolist()):
        clip = int(tensors["clips"][row])
        waveform = source.waveforms([clip])[0]
        maps = tensors["heatmaps"][row, :, 0]  # [K, F, T]
        sounds = explanation_sounds(frontend, waveform, standard_of[clip], maps, settings)
        write_sounds(target / f"{number:03d}", sounds, frontend.sample_rate)
        path, logit = source.clips["path"].iloc[clip], float(tensors["logits"][row])
        listed.append([f"{number:03d}", clip, path, logit, *maps.sum(dim=(1, 2)).tolist()])
    return listed


def write_cards(
    target: Path,
    tensors: dict[str, torch.Tensor],
    standard_of: dict[int, torch.Tensor],
    source: data.DataSet,
    frontend: Frontend,
    settings: dict[str, Any],
) -> list[list[Any]]:
    """Write each concept in the scored clips in which it weighs most, as ``concept{n}/{rank}``.

    Returns
    -------
    list of list
        The rows of ``cards.csv``, in the order of ``CARD_COLUMNS``. The share is that of the clip's relevance.
    """
    scored = tensors["scored"].bool()
    clips, heatmaps = tensors["clips"][scored].tolist(), tensors["heatmaps"][scored]  # [n, K, 1, F, T]
    relevance = cards.relevances(heatmaps)  # [n, K]
    listed = []
    for concept, places in enumerate(cards.strongest(relevance).tolist()):
        for rank, place in enumerate(places, start=1):
            clip, folder = clips[place], target / f"concept{concept + 1}" / str(rank)
            waveform = source.waveforms([clip])[0]
            mask = masks(standard_of[clip], heatmaps[place, :, 0], settings["percentile"])[concept]
            sound = apply_masks(frontend, waveform, mask.unsqueeze(0), settings["inverse"])[0]
            folder.mkdir(parents=True)
            for name, samples in {"input": waveform, "concept": sound}.items():
                _write_wav(folder / f"{name}.wav", samples, frontend.sample_rate)
            value, total = float(relevance[place, concept]), float(relevance[place].sum())
            listed.append(
                [concept + 1, rank, clip, source.clips["path"].iloc[clip], value, value / total if total else math.nan]
            )
    return listed


def explanation_sounds(
    frontend: Frontend,
    waveform: torch.Tensor,
    standard: torch.Tensor,
    heatmaps: torch.Tensor,
    settings: dict[str, Any],
) -> dict[str, torch.Tensor]:
    """Render a clip's explanation: ``input``, ``standard``, ``concept1`` ... ``conceptK``, ``rest``; each ``[S]``."""
    options = settings["percentile"], settings["inverse"]
    whole = render(frontend, waveform, standard, standard.unsqueeze(0), *options)[0]
    concepts = render(frontend, waveform, standard, heatmaps, *options)
    numbered = {f"concept{number}": sound for number, sound in enumerate(concepts, start=1)}
    return {"input": waveform, "standard": whole, **numbered, "rest": waveform - whole}


def write_sounds(folder: Path, sounds: dict[str, torch.Tensor], sample_rate: int) -> None:
    """Write each sound at its true level, and again at the input's loudness under ``matched``."""
    (folder / "matched").mkdir(parents=True)
    for name, sound in sounds.items():
        _write_wav(folder / f"{name}.wav", sound, sample_rate)
        _write_wav(folder / "matched" / f"{name}.wav", matched(sound.unsqueeze(0), sounds["input"])[0], sample_rate)


def _write_wav(path: Path, sound: torch.Tensor, sample_rate: int) -> None:
    from scipy.io import wavfile  # libsndfile stamps floating-point WAVs with the time

    wavfile.write(path, sample_rate, sound.numpy().astype(np.float32))

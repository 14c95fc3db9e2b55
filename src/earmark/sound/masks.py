"""Heatmaps as masks, and masks as sound (thesis 3.3, B.3).

The masks of all concepts share one scale and sum to the mask of the standard explanation; multiplied on the clip's own
complex spectrogram they give sounds that sum to that of the standard explanation, with the clip's phases.
"""

from __future__ import annotations

import numpy as np
import torch

from earmark.errors import EarmarkError
from earmark.sound.base import Frontend
from earmark.sound.logmel import LogMel

PERCENTILE = 90.0

KERNEL_SIZE = 5

KERNEL_SIGMA = 1.0


def blurred(maps: torch.Tensor) -> torch.Tensor:
    """Blur ``[K, F, T]`` by a 5 x 5 Gaussian of sigma 1 (eq. 3.12), edges replicated."""
    offsets = torch.arange(KERNEL_SIZE, dtype=maps.dtype) - KERNEL_SIZE // 2
    profile = torch.exp(-offsets.square() / (2 * KERNEL_SIGMA**2))
    kernel = torch.outer(profile, profile)
    kernel = (kernel / kernel.sum()).view(1, 1, KERNEL_SIZE, KERNEL_SIZE)
    padded = torch.nn.functional.pad(maps.unsqueeze(1), (KERNEL_SIZE // 2,) * 4, mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel).squeeze(1)


def masks(
    standard: torch.Tensor,
    heatmaps: torch.Tensor,
    percentile: float = PERCENTILE,
    bypass: torch.Tensor | None = None,
) -> torch.Tensor:
    """Turn heatmaps into masks on the grid that sum to the mask of the standard heatmap.

    Parameters
    ----------
    standard : torch.Tensor
        ``[1, F, T]`` or ``[F, T]``.
    heatmaps : torch.Tensor
        ``[K, 1, F, T]`` or ``[K, F, T]``.
    percentile : float
        Of the standard heatmap's positive cells; what lies below is not rendered.
    bypass : torch.Tensor, optional
        What the heatmaps lack of the standard one, ``[1, F, T]`` or ``[F, T]``: it has its share of the mask, which is
        not among those returned.

    Returns
    -------
    torch.Tensor
        ``[K, F, T]``, non-negative, at most 1; all 0 where the standard heatmap has no positive cell.

    Raises
    ------
    EarmarkError
        If the heatmaps have other dimensions, or are not of one size.
    """
    standard, heatmaps = _cells(standard, 2), _cells(heatmaps, 3)
    if heatmaps.shape[1:] != standard.shape:
        raise EarmarkError(f"heatmaps of {list(heatmaps.shape[1:])} cells are no parts of {list(standard.shape)} cells")
    positive = standard[standard > 0]
    if not len(positive):
        return torch.zeros_like(heatmaps)
    shape = outline(standard, torch.quantile(positive, percentile / 100))  # [F, T]
    return shape / shape.max() * portions(heatmaps, None if bypass is None else _cells(bypass, 2))


def outline(standard: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Blur what of a standard heatmap ``[F, T]`` is positive and no less than a threshold: ``[F, T]``, of any scale."""
    positive = standard.clamp_min(0)
    return blurred((positive * (positive >= threshold)).unsqueeze(0))[0]


def portions(heatmaps: torch.Tensor, bypass: torch.Tensor | None = None) -> torch.Tensor:
    """Share cells out among parts ``[K, F, T]``, and `bypass` ``[F, T]``, by what is positive in each, blurred."""
    shares = blurred(heatmaps.clamp_min(0))  # [K, F, T]
    total = shares.sum(dim=0)
    if bypass is not None:
        total = total + blurred(bypass.clamp_min(0).unsqueeze(0))[0]
    return torch.where(total > 0, shares / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)


def _cells(maps: torch.Tensor, n_dims: int) -> torch.Tensor:
    """Drop the channel of maps ``[..., 1, F, T]``, where they have it.

    Raises
    ------
    EarmarkError
        If they do not have `n_dims` dimensions then.
    """
    cells = maps.squeeze(-3) if maps.dim() == n_dims + 1 else maps
    if cells.dim() != n_dims:
        wanted = "[F, T] or [1, F, T]" if n_dims == 2 else "[K, F, T] or [K, 1, F, T]"
        raise EarmarkError(f"heatmaps {list(maps.shape)} cannot be rendered as sound: they must be {wanted}")
    return cells


def render(
    frontend: Frontend,
    waveform: torch.Tensor,
    standard: torch.Tensor,
    heatmaps: torch.Tensor,
    percentile: float = PERCENTILE,
    inverse: str = "additive",
    bypass: torch.Tensor | None = None,
) -> torch.Tensor:
    """Render concepts as sound.

    Parameters
    ----------
    frontend : Frontend
        The one that the heatmaps' inputs were made with.
    waveform : torch.Tensor
        The clip ``[S]``.
    standard : torch.Tensor
        Its standard heatmap, ``[1, F, T]`` or ``[F, T]``.
    heatmaps : torch.Tensor
        Its concept heatmaps, ``[K, 1, F, T]`` or ``[K, F, T]``.
    percentile, bypass
        See :func:`masks`.
    inverse : {"additive", "mel-nnls"}
        ``additive`` masks the clip's own spectrum, so that sounds sum to the standard explanation's;
        ``mel-nnls`` inverts the masked mel spectrogram by non-negative least squares (eq. 3.13-3.16).

    Returns
    -------
    torch.Tensor
        ``[K, S]``, at the clip's level.

    Raises
    ------
    EarmarkError
        If the heatmaps have other dimensions, or there is no mel spectrogram to invert.
    """
    cell_masks = masks(standard, heatmaps, percentile, bypass)
    return apply_masks(frontend, waveform, cell_masks, inverse)


def apply_masks(
    frontend: Frontend, waveform: torch.Tensor, cell_masks: torch.Tensor, inverse: str = "additive"
) -> torch.Tensor:
    """Filter a clip ``[S]`` by masks ``[K, F, T]`` on the heatmaps' grid; sounds ``[K, S]``.

    Raises
    ------
    EarmarkError
        If there is no mel spectrogram to invert.
    """
    spectrum = frontend.stft(waveform.unsqueeze(0))  # [1, n_bins, T]
    if inverse == "mel-nnls":
        if not isinstance(frontend, LogMel):
            raise EarmarkError("mel-nnls inverts mel spectrograms, which this front end does not make; use additive")
        magnitudes = _nnls(frontend, cell_masks * frontend.mel(waveform.unsqueeze(0)))
        return frontend.istft(torch.polar(magnitudes, spectrum.angle().expand_as(magnitudes)))
    return frontend.istft(frontend.lift(cell_masks) * spectrum)


def _nnls(frontend: LogMel, mels: torch.Tensor) -> torch.Tensor:
    """Magnitudes ``[K, n_bins, T]`` whose mel spectrograms come closest to ``[K, F, T]`` (eq. 3.14, 3.15)."""
    from librosa.util import nnls

    bank = frontend.filter_bank.double().numpy()  # [F, n_bins]
    amounts = torch.from_numpy(np.stack([nnls(bank, mel) for mel in mels.double().numpy()])).to(mels.dtype)
    return amounts.sqrt() if frontend.spectrum == "power" else amounts


def matched(waveforms: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Scale sounds ``[K, S]`` to the reference's RMS (eq. 3.19), peaks limited to the reference's peak.

    A silent sound stays silent.
    """
    rms = waveforms.square().mean(dim=1, keepdim=True).sqrt()
    wanted = reference.square().mean().sqrt()
    peak = float(reference.abs().max())
    return torch.where(rms > 0, waveforms * wanted / rms.clamp_min(1e-12), waveforms).clamp(-peak, peak)

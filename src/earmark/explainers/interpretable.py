"""Interpretable parts of a clip: sounds that sum to it, each of which can be taken away by itself.

Parts that are masks on the spectrogram and parts that are sounds of their own, such as stems, are the same thing then:
what is left of a clip is a sum of some of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from earmark.sound.base import Frontend

SILENT = 1e-6
"""Of the clip's peak: what stays below is rounding, and no part."""

FAINT = 1e-10
"""Of the power in a clip's loudest cell: cells that stay below are nobody's."""

ITERATIONS = 100
"""Of the factorisation of a spectrogram."""


@dataclass(frozen=True)
class Decomposition:
    """A clip in d parts; silent ones are left out, since nothing is taken away with them.

    Attributes
    ----------
    sounds : Tensor [d, S]
        They sum to the clip.
    shares : Tensor [d, F, T]
        Of every cell of the front end's grid, how much of it is each part's: they sum to 1, to 0 in cells that are
        nobody's.
    """

    sounds: Tensor
    shares: Tensor

    def densities(self) -> Tensor:
        """Spread every part over its cells: ``[d, F, T]``, each summing to 1."""
        return self.shares / self.shares.sum(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(self.shares.dtype).tiny)


def blocks(frontend: Frontend, clip: Tensor, rows: int, columns: int) -> Decomposition:
    """Cut a clip ``[S]`` into blocks of the front end's grid, as many in frequency and in time (Mishra et al. 2017).

    Raises
    ------
    EarmarkError
        If nobody has said where the grid's cells lie; so do the other ways to cut a clip.
    """
    every = rectangles(frontend, clip, rows, columns)
    kept = audible(every.sounds, clip)
    return Decomposition(every.sounds[kept], every.shares[kept])


def rectangles(frontend: Frontend, clip: Tensor, rows: int, columns: int) -> Decomposition:
    """Cut a clip as :func:`blocks` does, and keep silent ones: something else than silence may stand for them."""
    masks = tiles(frontend.grid, rows, columns).to(clip)  # [d, F, T]
    return Decomposition(frontend.istft(frontend.lift(masks) * frontend.stft(clip.unsqueeze(0))), masks)


def tiles(grid: tuple[int, ...], rows: int, columns: int) -> Tensor:
    """Tile a grid ``(1, F, T)`` by rows x columns rectangles, as equal as can be: bool ``[rows * columns, F, T]``."""
    row, column = (
        torch.arange(cells) * parts // cells for cells, parts in zip(grid[-2:], (rows, columns), strict=True)
    )
    return row[:, None] * columns + column == torch.arange(rows * columns).view(-1, 1, 1)


def pieces(frontend: Frontend, clip: Tensor, sources: Tensor, count: int) -> Decomposition:
    """Cut the sources of a clip into segments of time (Haunschmid et al. 2020).

    Parameters
    ----------
    frontend : Frontend
        What the model hears through.
    clip : Tensor
        ``[S]``.
    sources : Tensor
        Their spectra, complex ``[J, n_bins, n_frames]``.
    count : int
        Segments, of equal length.

    Returns
    -------
    Decomposition
        Sources x segments, and the residual, what the sources lack of the clip.
    """
    segments = frontend.lift(tiles(frontend.grid, 1, count).to(clip))  # [G, n_bins, n_frames]
    sounds = frontend.istft((sources.unsqueeze(1) * segments).flatten(0, 1))  # [J * G, S]
    every = torch.cat([sounds, (clip - sounds.sum(dim=0)).unsqueeze(0)])
    heard = every[audible(every, clip)]
    return Decomposition(heard, shares_of(frontend, heard))


def audible(sounds: Tensor, clip: Tensor) -> Tensor:
    """Tell which of the sounds ``[d, S]`` of a clip ``[S]`` are more than rounding: bool ``[d]``."""
    return sounds.abs().amax(dim=1) > SILENT * clip.abs().max()


def shares_of(frontend: Frontend, sounds: Tensor) -> Tensor:
    """Share the cells of the grid among sounds ``[d, S]`` by their power in them: ``[d, F, T]``."""
    if not len(sounds):
        return sounds.new_zeros(0, *frontend.grid[-2:])
    powers = frontend.energies(sounds)
    total = powers.sum(dim=0)
    return powers / (total + FAINT * total.max())


def harmonic_percussive(frontend: Frontend, clip: Tensor) -> Tensor:
    """Part a clip ``[S]`` into what stays and what strikes, by median filters (Fitzgerald 2010): ``[2, n_bins, T]``."""
    from librosa.decompose import hpss

    spectrum = frontend.stft(clip.unsqueeze(0))  # [1, n_bins, T]
    masks = hpss(spectrum[0].abs().cpu().numpy(), mask=True)
    return torch.stack([torch.as_tensor(mask) for mask in masks]).to(clip) * spectrum


def factors(frontend: Frontend, clip: Tensor, count: int, seed: int) -> Tensor:
    """Part a clip into the components of its magnitude spectrogram (Lee and Seung 1999).

    Parameters
    ----------
    frontend : Frontend
        Whose Fourier transform is used.
    clip : Tensor
        ``[S]``.
    count : int
        Components.
    seed : int
        Of the start.

    Returns
    -------
    Tensor
        Complex ``[J, n_bins, n_frames]``, the clip's spectrum in the proportions of the components.
    """
    from sklearn.decomposition import non_negative_factorization

    spectrum = frontend.stft(clip.unsqueeze(0))  # [1, n_bins, T]
    magnitudes = spectrum[0].abs().cpu().double().numpy()
    atoms, gains, _ = non_negative_factorization(
        magnitudes, n_components=min(count, *magnitudes.shape), tol=0, max_iter=ITERATIONS, random_state=seed % 2**32
    )  # [n_bins, J], [J, T]
    models = torch.einsum("fj,jt->jft", torch.as_tensor(atoms), torch.as_tensor(gains))
    tiny = torch.finfo(models.dtype).tiny
    masks = (models + tiny) / (models + tiny).sum(dim=0)  # equal where there is nothing
    return masks.to(clip) * spectrum


def background(frontend: Frontend, clip: Tensor, generator: torch.Generator) -> Tensor:
    """Draw noise ``[S]`` of a clip's mean power in every bin of the spectrum."""
    noise = frontend.stft(torch.randn(1, len(clip), generator=generator).to(clip))  # [1, n_bins, T]
    wanted, found = (
        spectra.abs().square().mean(dim=2, keepdim=True).sqrt() for spectra in (frontend.stft(clip.unsqueeze(0)), noise)
    )
    return frontend.istft(noise * wanted / found.clamp_min(torch.finfo(found.dtype).tiny))[0]


def replacements(frontend: Frontend, parts: Decomposition, sound: Tensor) -> Tensor:
    """Cut a sound ``[S]`` as a clip is cut: what stands for its parts where they are away, ``[d, S]``."""
    return frontend.istft(frontend.lift(parts.shares) * frontend.stft(sound.unsqueeze(0)))

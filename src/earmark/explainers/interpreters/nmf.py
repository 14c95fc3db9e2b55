"""Dictionaries of spectra: sparse non-negative matrix factorisation of training clips' spectrograms, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from earmark.errors import EarmarkError
from earmark.explainers.interpreters.maskloss import peaks_of
from earmark.seeds import derive
from earmark.sound.base import Frontend

ITERATIONS = 200
"""Updates of dictionary and activations."""

MOST_FRAMES = 20_000
"""Frames that a dictionary is learned from, of all classes together."""

SILENT = 1e-4
"""Of a clip's loudest cell: frames whose loudest cell is not above are silent, and learned from by nobody."""

CHUNK = 64
"""Clips whose spectra are held at once; bounds memory and decides nothing."""

COMPRESSIONS = {"log1p": torch.log1p, "sqrt": torch.sqrt}
"""From magnitudes to what is factorised."""


@dataclass(frozen=True)
class Factors:
    """A factorisation ``X ~ W H``.

    Attributes
    ----------
    dictionary : Tensor [F, K]
        W, columns of norm 1.
    activations : Tensor [K, N]
        H.
    objective : tuple of float
        ``|X - W H|^2 + sparsity |H|_1`` before the first update and after each.
    """

    dictionary: Tensor
    activations: Tensor
    objective: tuple[float, ...]


def factorised(amounts: Tensor, count: int, sparsity: float, seed: int, iterations: int = ITERATIONS) -> Factors:
    """Minimise ``|X - W H|^2 + sparsity |H|_1`` over non-negative W, H, the columns of W of norm 1.

    Multiplicative updates of the objective of the normalised W (Le Roux, Weninger and Hershey 2015, "Sparse NMF -
    half-baked or well done?", for the Euclidean distance): where the norm is put right afterwards only, the sum of H
    grows by what W loses, and the objective with it.

    Parameters
    ----------
    amounts : Tensor [F, N]
        X, not negative.
    count : int
        K.
    sparsity : float
        Weight of the sum of H.
    seed : int
        Of the start.
    iterations : int
        Updates.

    Returns
    -------
    Factors
        In float64, on the CPU.
    """
    given = amounts.detach().cpu().double()
    generator = torch.Generator().manual_seed(derive(seed, "start"))
    tiny = torch.finfo(given.dtype).tiny
    dictionary = _unit(torch.rand(len(given), count, generator=generator, dtype=given.dtype) + 0.1)  # [F, K]
    activations = torch.rand(count, given.shape[1], generator=generator, dtype=given.dtype) + 0.1  # [K, N]
    activations *= given.mean() / (dictionary @ activations).mean().clamp_min(tiny)
    history = [_objective(given, dictionary, activations, sparsity)]
    for _ in range(iterations):
        wanted = dictionary.T @ given  # [K, N]
        activations = activations * wanted / (dictionary.T @ dictionary @ activations + sparsity / 2).clamp_min(tiny)
        up = given @ activations.T  # [F, K]
        down = dictionary @ (activations @ activations.T)  # [F, K]
        raised = up + dictionary * (dictionary * down).sum(dim=0)
        lowered = down + dictionary * (dictionary * up).sum(dim=0)
        dictionary = _unit(dictionary * raised / lowered.clamp_min(tiny))
        history.append(_objective(given, dictionary, activations, sparsity))
    return Factors(dictionary, activations, tuple(history))


def _unit(columns: Tensor) -> Tensor:
    return columns / columns.norm(dim=0).clamp_min(torch.finfo(columns.dtype).tiny)


def _objective(amounts: Tensor, dictionary: Tensor, activations: Tensor, sparsity: float) -> float:
    return float((amounts - dictionary @ activations).square().sum() + sparsity * activations.sum())


def magnitudes(frontend: Frontend, waveforms: Tensor) -> Tensor:
    """Measure the magnitudes of clips ``[B, S]`` at peak 1: ``[B, F, T]``."""
    return frontend.stft(waveforms / peaks_of(waveforms)).abs()


def sounding(magnitudes: Tensor) -> Tensor:
    """Tell which frames of spectra ``[B, F, T]`` are not silent: bool ``[B, T]``."""
    loudest = magnitudes.amax(dim=1)  # [B, T]
    return loudest > SILENT * loudest.amax(dim=1, keepdim=True)


@dataclass(frozen=True)
class Dictionary:
    """Spectra that classes' sounds are made of.

    Attributes
    ----------
    columns : Tensor [F, K]
        Of norm 1, float32, on the CPU.
    classes : tuple of int
        Index of the class that each of the K was learned from.
    level : float
        Root mean square of their activations in the frames that they were learned from.
    """

    columns: Tensor
    classes: tuple[int, ...]
    level: float


def learned(
    frontend: Frontend,
    waveforms: Tensor,
    targets: Tensor,
    *,
    components: int,
    sparsity: float,
    compression: str,
    seed: int,
    where: str,
) -> Dictionary:
    """Learn a dictionary class by class: the components are shared out over the classes, as evenly as can be.

    Parameters
    ----------
    frontend : Frontend
        Whose Fourier transform is used.
    waveforms : Tensor [N, S]
        Training clips.
    targets : Tensor [N]
        Their classes.
    components : int
        K.
    sparsity : float
        See :func:`factorised`.
    compression : {"log1p", "sqrt"}
        Of the magnitudes.
    seed : int
        Of the frames that are drawn, and of the starts.
    where : str
        The section of the configuration that says so.

    Raises
    ------
    EarmarkError
        If there are fewer components than classes, or a class has fewer frames than components.
    """
    present = targets.unique().tolist()
    if components < len(present):
        raise EarmarkError(
            f"{components} components cannot be shared out over {len(present)} classes: set {where}.components to "
            f"{len(present)} or more"
        )
    columns, classes, powers = [], [], []
    for place, cls in enumerate(present):
        count = components // len(present) + (place < components % len(present))
        own = frames(frontend, waveforms[targets == cls], compression, MOST_FRAMES // len(present), derive(seed, cls))
        if own.shape[1] < count:
            raise EarmarkError(
                f"{count} components cannot be learned from {own.shape[1]} frames of a class that are not silent: "
                f"lower {where}.components, or give the class more clips"
            )
        found = factorised(own, count, sparsity, derive(seed, cls))
        columns.append(found.dictionary)
        classes += [cls] * count
        powers.append(found.activations.square().mean())
    level = float(torch.stack(powers).mean().sqrt())
    return Dictionary(torch.cat(columns, dim=1).float(), tuple(classes), level)


def frames(frontend: Frontend, waveforms: Tensor, compression: str, most: int, seed: int) -> Tensor:
    """Draw frames of clips ``[N, S]`` that sound, at random and `most` of them: compressed magnitudes ``[F, n]``."""
    generator = torch.Generator().manual_seed(derive(seed, "frames"))
    found: list[Tensor] = []
    for rows in torch.randperm(len(waveforms), generator=generator).split(CHUNK):
        spectra = magnitudes(frontend, waveforms[rows])  # [b, F, T]
        found.append(spectra.movedim(1, -1)[sounding(spectra)])  # [n, F]
        if sum(map(len, found)) >= 4 * most:  # of so many clips that few frames are neighbours
            break
    every = torch.cat(found)
    return COMPRESSIONS[compression](every[torch.randperm(len(every), generator=generator)[:most]]).T

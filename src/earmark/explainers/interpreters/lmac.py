"""Family ``lmac``: masks that keep what a network answers, decoded from what it computes inside (L-MAC).

Paissan, Ravanelli and Subakan 2024: a decoder turns the outputs of the last convolutions into a mask on the clip's
spectrum, and learns by what the frozen network makes of what passes and of what is held back. It differs from the
published code in what docs/interpreters.md tells.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from earmark.explainers import base
from earmark.explainers.base import BACKGROUND, Batch, Explainer, Learned, Parts
from earmark.explainers.interpreters import learning, maskloss
from earmark.explainers.interpreters.decoder import Decoder, shapes_of, upright
from earmark.explainers.interpreters.learning import LOSS, Material
from earmark.explainers.interpreters.maskloss import Weights
from earmark.metrics.masking import USED, drops, log_odds
from earmark.models.base import Model
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend, require_gradients

LAYERS = 4
"""Convolutions that are looked at, the last ones, where no layers are named."""

WHERE = "explainers.lmac.layers"

CERTAIN = 1e-3
"""How near to 0 and 1 masks come at most where their logarithms are taken, so that none costs infinity."""


class Masks(nn.Module):
    """Decodes hidden maps, from the input up, into a mask ``[B, n_bins, T]`` in (0, 1).

    Parameters
    ----------
    frontend : Frontend
        Of the clips. A linear map from the rows of its grid to the bins of its spectrum is learned, too, from
        :meth:`earmark.sound.base.Frontend.lift` on.
    shapes : sequence of tuple of int
        Of the maps of a clip, see :class:`earmark.explainers.interpreters.decoder.Decoder`.
    width : int
        Channels of the decoder.
    """

    def __init__(self, frontend: Frontend, shapes: Sequence[tuple[int, ...]], width: int) -> None:
        super().__init__()
        _, rows, columns = frontend.grid
        single = torch.eye(rows).unsqueeze(2).expand(-1, -1, columns)  # [F, F, T]: a row of each by itself
        lifted = frontend.lift(single)  # [F, n_bins, n_frames]
        self.decoder = Decoder(shapes, width, rows, lifted.shape[2])
        self.to_bins = nn.Linear(rows, lifted.shape[1])
        with torch.no_grad():
            self.to_bins.weight.copy_(lifted[:, :, 0].T)
            self.to_bins.bias.zero_()

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps ``[B, D, *g]`` into ``[B, n_bins, n_frames]``."""
        return self.to_bins(self.decoder(maps).transpose(1, 2)).transpose(1, 2).sigmoid()


class Guide:
    """Draws masks towards the sound objects that the network uses (L-MAC FT), of clips whose mask is near them.

    Parameters
    ----------
    model : Model
        What is explained.
    settings : mapping
        ``guide_weight``, ``guide_from`` (the cosine from which on a clip is guided) and ``guide_level`` (the part of
        the largest logarithm above which a cell belongs to the objects).
    """

    def __init__(self, model: Model, settings: Mapping[str, Any]) -> None:
        self._model = model
        self._weight, self._from, self._level = (settings[f"guide_{name}"] for name in ("weight", "from", "level"))
        self._used: dict[int, Tensor] = {}  # [O], by clip: the network does not change

    def used(self, batch: Batch) -> Tensor:
        """Tell which objects of clips the network uses: without each, the log-odds fall: bool ``[B, O]``."""
        for row, clip in enumerate(batch.clips.tolist()):
            if clip not in self._used:
                fallen = drops(self._model, batch.waveforms[row], batch.targets[row], batch.stems[row])
                self._used[clip] = (fallen > USED).cpu()
        return torch.stack([self._used[clip] for clip in batch.clips.tolist()]).to(batch.stems.device)

    def __call__(self, batch: Batch, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Tell which clips are guided, and what their masks cost in the place of their mean: bool and float, ``[B]``.

        A mask is near where ``cos(log1p |X_used|, M log1p |X|)`` is large enough, and costs its mean cross-entropy to
        the cells in which ``log1p |X_used|`` is at least a part of its maximum.
        """
        frontend, clips = self._model.frontend, batch.waveforms
        clean = torch.einsum("bo,bos->bs", self.used(batch).to(batch.stems), batch.stems)
        wanted, whole = (maskloss.logarithms(frontend, sounds, clips) for sounds in (clean, clips))
        near = maskloss.likeness(wanted, masks.detach().to(whole) * whole) >= self._from
        cells = wanted >= self._level * wanted.amax(dim=(1, 2), keepdim=True)
        shown = masks.clamp(CERTAIN, 1 - CERTAIN)
        entropy = nn.functional.binary_cross_entropy(shown, cells.to(masks), reduction="none").mean(dim=(1, 2))
        return near, self._weight * entropy


class Masker:
    """What learns to mask: an :class:`earmark.explainers.interpreters.learning.Interpreter`.

    Parameters
    ----------
    model : Model
        What is explained, without gradients of its weights.
    settings : mapping
        Of the family.
    seed : int
        Of random masks to compare with.
    examples : callable
        Returns training clips; their mean masks, class by class, are compared with.
    guide : Guide or None
        Draws masks towards what is known of clips.
    direct : sequence of int
        Rows of the clips whose masks are also found one by one, to compare with.
    """

    criterion: ClassVar[str] = LOSS

    def __init__(
        self,
        model: Model,
        settings: Mapping[str, Any],
        seed: int,
        examples: Callable[[], Batch],
        guide: Guide | None = None,
        direct: Sequence[int] = (),
    ) -> None:
        self._model, self._settings, self._seed, self._guide = model, settings, seed, guide
        self._examples, self._direct = examples, np.array(direct, dtype=np.int64)
        require_gradients(model.frontend)
        self._weights = Weights.of(settings)
        self._layers = learning.hidden_layers(model, settings["layers"], LAYERS, WHERE)
        self._hidden = model.hidden(self._layers)
        self._shapes = shapes_of(model, self._layers)
        self.network = Masks(model.frontend, self._shapes, settings["channels"])

    @property
    def about(self) -> dict[str, Any]:
        """What the decoder reads, and how wide it is."""
        return {"layers": self._layers, "shapes": self._shapes, "channels": self._settings["channels"]}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of clips, its terms, and what else tells of their masks, each ``[B]``.

        ``fid_in`` and ``ff`` are those of :func:`earmark.metrics.masking.scores`, ``energy`` the share of the clip's
        energy that passes, ``guided`` whether the clip is drawn towards known objects.
        """
        masks, logits = masked(self.network, self._hidden, self._model.frontend, batch)
        found, answers = self._told(batch, masks)
        whole = log_odds(logits, batch.targets, self._model.multi_label)
        return found | maskloss.measured(answers, whole, batch.waveforms)

    def _told(self, batch: Batch, masks: Tensor) -> tuple[dict[str, Tensor], maskloss.Heard]:
        """Let the network hear masked clips, and weigh what it answers."""
        answers = maskloss.heard(self._model, batch.waveforms, batch.targets, masks)
        found = maskloss.terms(self._weights, answers, masks)
        if self._guide is not None:
            near, instead = self._guide(batch, masks)
            found[LOSS] = found[LOSS] + near * (instead - self._weights.mean * found["mean_mask"])
            found["guided"] = near.double()
        return found, answers

    def compared(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of masks that look at no hidden layer, ``[B]`` each, and of those found clip by clip.

        ``energy`` and ``random`` let as many cells pass, loudest ones or random ones, as the mean of the learned mask
        stands for; ``class-mean`` is the mean of the learned masks of training clips of the class. NaN: not looked for.
        """
        frontend = self._model.frontend
        with torch.no_grad():
            own, _ = masked(self.network, self._hidden, frontend, batch)
            counts = (own.mean(dim=(1, 2)) * own[0].numel()).round()
            rivals = {
                "one": torch.ones_like(own),
                "zero": torch.zeros_like(own),
                "energy": maskloss.loudest(frontend.stft(batch.waveforms).abs().to(own), counts),
                "random": maskloss.drawn(own, counts, batch.clips.tolist(), self._seed),
                "class-mean": self._class_means.to(own)[batch.targets],
            }
            found = {name: self._told(batch, masks)[0][LOSS] for name, masks in rivals.items()}
        return {**found, "mask-direct": self._found_directly(batch, found["one"])}

    def _found_directly(self, batch: Batch, like: Tensor) -> Tensor:
        """Return the loss of masks found for some clips one by one, `like` ``[B]``; NaN for the others."""
        places = torch.from_numpy(np.flatnonzero(np.isin(batch.clips, self._direct)))
        costs = torch.full_like(like, torch.nan)
        if not len(places):
            return costs
        some = learning.taken(batch, places, like.device)

        def cost(masks: Tensor) -> Tensor:
            return self._told(some, masks)[0][LOSS]

        spectra = self._model.frontend.stft(some.waveforms)
        free = maskloss.direct(cost, spectra.abs(), *searched(self._settings))
        with torch.no_grad():
            costs[places] = cost(free)
        return costs

    @functools.cached_property
    def _class_means(self) -> Tensor:
        """Mean mask of training clips of every class, ``[C, n_bins, T]``; of all where a class has none."""
        examples, device = self._examples(), next(self.network.parameters()).device
        parts = [
            masked(self.network, self._hidden, self._model.frontend, learning.taken(examples, rows, device))[0]
            for rows in torch.arange(len(examples.clips)).split(self._settings["batch_size"])
        ]
        masks = torch.cat(parts)  # [N, n_bins, T]
        classes = [masks[(examples.targets == target).to(device)] for target in range(len(self._model.classes))]
        return torch.stack([(part if len(part) else masks).mean(dim=0) for part in classes])


def masked(network: Masks, hidden: Callable[[Tensor], Any], frontend: Frontend, batch: Batch) -> tuple[Tensor, Tensor]:
    """Decode the masks of clips: ``[B, n_bins, T]``, and the logits of the clips ``[B, C]``."""
    with torch.no_grad():
        activations, logits = hidden(batch.inputs)
    return network([upright(frontend.layout, one) for one in activations]), logits


def searched(settings: Mapping[str, Any]) -> tuple[int, float]:
    """Read how masks are found clip by clip: steps and learning rate."""
    return settings["direct_steps"], settings["direct_rate"]


def interpreter(method: str, material: Material) -> Masker:
    """Make what stage `learn` trains; one that goes on from another has its weights."""
    settings, job = material.settings, material.job
    start = method_of(method).starts_from
    rows = material.source.split(job.split)
    made = Masker(
        material.model,
        settings,
        job.seed("interpreters", "random"),
        lambda: material.gathered(rows.train, BACKGROUND * len(material.model.classes)),
        Guide(material.model, settings) if start else None,
        material.some(rows.validation, settings["direct_clips"]).tolist(),
    )
    if start:
        made.network.load_state_dict(base.learned(job.layout.trained(job.split, start)).weights)
    return made


def build(
    method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Learned | None, seed: int
) -> Explainer:
    """Make an explainer of the family, by what was learned or, without that, by masks found clip by clip.

    See :func:`earmark.explainers.base.build`.
    """
    own = settings["explainers"]["lmac"]
    masks_of = found_directly(model, own) if state is None else decoded(model, state)
    frontend = model.frontend

    def explain(batch: Batch) -> Parts:
        if not len(batch.clips):
            empty = batch.inputs.new_empty(0, 1, *frontend.grid)
            return Parts(empty, sounds=batch.waveforms.unsqueeze(1))
        sounds = maskloss.passed(frontend, batch.waveforms, masks_of(batch))
        maps = maskloss.shares(frontend, batch.waveforms, sounds)
        return Parts(maps.view(-1, 1, *frontend.grid).to(batch.inputs), sounds=sounds.unsqueeze(1))

    return explain


def decoded(model: Model, state: Learned) -> Callable[[Batch], Tensor]:
    """Make a function that decodes the masks of clips by what was learned."""
    hidden = model.hidden(state.about["layers"])
    network = Masks(model.frontend, [tuple(shape) for shape in state.about["shapes"]], state.about["channels"])
    network.load_state_dict(state.weights)
    network.requires_grad_(False)
    return lambda batch: masked(network.to(batch.inputs.device), hidden, model.frontend, batch)[0]


def found_directly(model: Model, settings: Mapping[str, Any]) -> Callable[[Batch], Tensor]:
    """Make a function that finds masks clip by clip."""
    require_gradients(model.frontend)
    weights = Weights.of(settings)

    def find(batch: Batch) -> Tensor:
        def cost(masks: Tensor) -> Tensor:
            answers = maskloss.heard(model, batch.waveforms, batch.targets, masks)
            return maskloss.terms(weights, answers, masks)[LOSS]

        like = model.frontend.stft(batch.waveforms).abs()
        return maskloss.direct(cost, like, *searched(settings))

    return find

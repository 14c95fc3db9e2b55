"""Family ``l2i``: a linear imitation of the network by components of sound (Parekh et al. 2022, Listen to Interpret).

A dictionary of spectra is learned first and stays. An interpreter hears activations of its components in the network's
hidden layers and answers by them alone, as the network does, while what it heard must make up the clip's spectrum.
Where it and the network learn together: Parekh et al. 2024, Tackling Interpretability in Audio Classification Networks
with NMF.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earmark.data import predictions
from earmark.errors import EarmarkError
from earmark.explainers.base import Batch, Explainer, Learned, Parts
from earmark.explainers.interpreters import nmf
from earmark.explainers.interpreters.components import Imitator, Psi, mask, relevance
from earmark.explainers.interpreters.decoder import upright
from earmark.explainers.interpreters.learning import LOSS, Material, hidden_layers
from earmark.explainers.interpreters.maskloss import shares
from earmark.models.base import Model, evaluated
from earmark.models.graph import Hidden, hidden, probed
from earmark.plan.methods import method_of
from earmark.sound.base import Frontend

SECTION = "explainers.l2i"
"""Of the configuration."""

LAYERS = 3
"""Convolutions that are looked at unless a user names layers."""

PROBED = 64
"""Clips that tell the size of hidden maps."""

DIGITS = 6
"""Significant digits of what is told of training clips."""


@dataclass(frozen=True)
class Look:
    """What an imitator sees of a network: some of its layers.

    Attributes
    ----------
    into : callable
        From inputs ``[B, *I]`` to what the layers give, and the logits.
    layers : tuple of str
        Their names.
    layout : str
        Of the two directions of an input.
    """

    into: Callable[[Tensor], Hidden]
    layers: tuple[str, ...]
    layout: str

    def __call__(self, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return hidden maps ``[B, D, m, n]``, of one row where they lie in time alone, and the logits ``[B, C]``."""
        found = self.into(inputs)
        laid = [upright(self.layout, one) for one in found.activations]
        return [one if one.dim() == 4 else one.unsqueeze(2) for one in laid], found.logits


class Learner(nn.Module):
    """What is trained: the imitator and, by design, the network that it looks into."""

    def __init__(self, imitator: Imitator, network: nn.Module | None) -> None:
        super().__init__()
        self.imitator, self.network = imitator, network


class Interpreter:
    """Trains an imitator; see :class:`earmark.explainers.interpreters.learning.Interpreter`.

    The loss of a clip is ``CE(f, g) + reconstruction |X - W H|^2 / (F T) + sparsity |H|_1 / (K T)`` (Parekh et al.
    2024, section III-B), f the network's probabilities, g the imitator's, F bins and T the frames that sound: means,
    which neither a longer silence nor a larger batch changes. Weights of sums, as they are published, are F T and K T
    times smaller. By design the cross-entropy of the labels and f is added, and all of it reaches the network.

    Parameters
    ----------
    network : Learner
        To be trained.
    look : Look
        Into the network that it imitates.
    material : Material
        What it learns from.
    training : Batch
        Its clips, on the CPU.
    learned_from : tuple of int
        Index of the class that each component was learned from.
    labels : Tensor [all clips] or None
        By design: what the network must answer.
    """

    criterion = LOSS

    def __init__(
        self,
        network: Learner,
        look: Look,
        material: Material,
        training: Batch,
        learned_from: tuple[int, ...],
        labels: Tensor | None,
    ) -> None:
        self.network, self.look, self.labels = network, look, labels
        self.settings, self.device = material.settings, material.device
        self.frontend, self.multi_label = material.model.frontend, material.model.multi_label
        self._training, self._learned_from = training, learned_from

    @property
    def about(self) -> dict[str, Any]:
        """What every component adds to every class's logit in the training clips that are answered so, on average."""
        self.network.eval()
        added = []
        with torch.no_grad():
            for inputs in self._training.inputs.split(self.settings["batch_size"]):
                maps, _ = self.look(inputs.to(self.device))
                imitator = self.network.imitator
                added.append(imitator.contributions(imitator.pooled(imitator.psi(maps))).cpu())
        every = torch.cat(added).double()  # [N, C, K]
        means = [every[self._training.targets == cls, cls] for cls in range(every.shape[1])]
        return {
            "layers": list(self.look.layers),
            "learned_from": list(self._learned_from),
            "contributions": [
                [float(f"{value:.{DIGITS}g}") for value in (own.mean(dim=0) if len(own) else own.sum(dim=0)).tolist()]
                for own in means
            ],
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of clips, each ``[B]``, and its terms; beside them how often the imitator answers alike."""
        maps, logits = self.look(batch.inputs)
        return self._losses(batch, logits, self.network.imitator.psi(maps))

    def compared(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, ``[B]``, of what hears nothing: it answers every class alike."""
        with torch.no_grad():
            maps, logits = self.look(batch.inputs)
            nothing = torch.zeros_like(self.network.imitator.psi(maps))
            return {"silence": self._losses(batch, logits, nothing)[LOSS]}

    def _losses(self, batch: Batch, logits: Tensor, heard: Tensor) -> dict[str, Tensor]:
        imitator = self.network.imitator
        magnitudes = nmf.magnitudes(self.frontend, batch.waveforms)  # [B, F, T]
        wanted = nmf.COMPRESSIONS[self.settings["compression"]](magnitudes)
        frames = nmf.sounding(magnitudes).sum(dim=1).clamp_min(1)  # [B]
        far = (wanted - imitator.dictionary @ heard).square().sum(dim=(1, 2))
        answers = imitator.theta(imitator.pooled(heard))  # [B, C]
        terms = {
            "answers": crossed(probabilities(logits, self.multi_label), answers, self.multi_label),
            "reconstruction": far / (frames * wanted.shape[1]),
            "sparsity": heard.sum(dim=(1, 2)) / (frames * heard.shape[1]),
        }
        told = {"fidelity": (answers.argmax(dim=1) == logits.argmax(dim=1)).to(far)}
        if self.labels is not None:
            labels = self.labels[torch.from_numpy(batch.clips)].to(far.device)
            certain = nn.functional.one_hot(labels, logits.shape[1]).to(logits)
            terms["labels"] = crossed(certain, logits, self.multi_label)
            told["accuracy"] = (answers.argmax(dim=1) == labels).to(far)
            told["network_accuracy"] = (logits.argmax(dim=1) == labels).to(far)
        loss = torch.stack([self.settings.get(name, 1.0) * term for name, term in terms.items()]).sum(dim=0)
        return {LOSS: loss, **terms, **told}


def probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Return what logits ``[B, C]`` say; of a multi-label model class by class."""
    return logits.sigmoid() if multi_label else logits.softmax(dim=1)


def crossed(wanted: Tensor, answers: Tensor, multi_label: bool) -> Tensor:
    """Compare probabilities ``[B, C]`` and answers ``[B, C]`` in logits: cross-entropy in nats ``[B]``.

    Where each class is a question of its own, it is the sum of C cross-entropies.
    """
    if multi_label:
        return nn.functional.binary_cross_entropy_with_logits(answers, wanted, reduction="none").sum(dim=1)
    return -(wanted * answers.log_softmax(dim=1)).sum(dim=1)


def interpreter(method: str, material: Material) -> Interpreter:
    """Make what is trained, with new weights and the dictionary that it learns by.

    Raises
    ------
    EarmarkError
        If there are more components than frames, or fewer than classes; or no layer to look at.
    """
    settings, model, job = material.settings, material.model, material.job
    frontend, training = model.frontend, material.training
    layers = tuple(hidden_layers(model, settings["layers"], LAYERS, f"{SECTION}.layers"))
    dictionary = nmf.learned(
        frontend,
        training.waveforms,
        training.targets,
        components=settings["components"],
        sparsity=settings["dictionary_sparsity"],
        compression=settings["compression"],
        seed=job.seed("l2i", "dictionary", job.split),
        where=SECTION,
    )
    own, labels, look = None, None, Look(model.hidden(layers), layers, frontend.layout)
    if method_of(method).own_network:
        own = copy.deepcopy(model.network).requires_grad_(True)
        look = _into(model.with_network(own), own, layers)
        labels = material.source.targets(range(len(material.source.clips)))
        if not material.source.labelled:
            labels = torch.from_numpy(predictions.of(job).logits.argmax(axis=1))
    with torch.no_grad():
        maps, logits = look(training.inputs[:PROBED].to(material.device))
    psi = Psi(maps, settings["channels"], settings["components"], _frames(frontend), dictionary.level)
    imitator = Imitator(psi, dictionary.columns, logits.shape[1], settings["pooling"])
    return Interpreter(Learner(imitator, own), look, material, training, dictionary.classes, labels)


def _into(model: Model, network: nn.Module, layers: tuple[str, ...]) -> Look:
    """Look into a network that changes, through which gradients pass."""
    like = next(network.parameters())
    graph = probed(evaluated(network), torch.empty(0, *model.frontend.shape).to(like))
    places = [model.place(graph, layer) for layer in layers]
    return Look(lambda inputs: hidden(network, inputs.clone(), places), layers, model.frontend.layout)


def _frames(frontend: Frontend) -> int:
    """Count the frames of a clip's spectrum."""
    return frontend.stft(torch.zeros(1, frontend.clip_samples)).shape[-1]


@dataclass(frozen=True)
class Heard:
    """What an imitator hears in clips.

    Attributes
    ----------
    activations : Tensor [B, K, T]
        Of the dictionary's components.
    contributions : Tensor [B, C, K]
        What each adds to each logit of the imitator.
    """

    activations: Tensor
    contributions: Tensor

    def of(self, targets: Tensor) -> Tensor:
        """Return the contributions to the logit of a class of each clip, ``[B, K]``."""
        return self.contributions[torch.arange(len(targets), device=targets.device), targets]


@dataclass(frozen=True)
class Imitation:
    """A trained imitator, and the network that it imitates.

    Attributes
    ----------
    model : Model
        What is imitated: by design a network of its own.
    imitator : Imitator
        In evaluation mode.
    look : Look
        Into the model.
    important : Tensor [C, K]
        What every component adds to a class's logit in training clips.
    learned_from : tuple of int [K]
        Index of the class that each component was learned from.
    """

    model: Model
    imitator: Imitator
    look: Look
    important: Tensor
    learned_from: tuple[int, ...]

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Heard:
        """Hear components in clips' inputs ``[B, *I]``."""
        maps, _ = self.look(inputs)
        activations = self.imitator.psi(maps)
        return Heard(activations, self.imitator.contributions(self.imitator.pooled(activations)))

    def masks(self, heard: Heard, chosen: Tensor) -> Tensor:
        """Mask a clip's spectrum by parts ``[B, M, K]`` of 0 and 1: ``[B, M, F, T]``."""
        return mask(self.imitator.dictionary, heard.activations, chosen)


def imitation(method: str, model: Model, settings: Mapping[str, Any], state: Learned) -> Imitation:
    """Open what a method learned.

    Parameters
    ----------
    method : str
        One of the family.
    model : Model
        That is explained.
    settings : mapping
        ``explainers``, with the family's section.
    state : Learned
        What was trained.
    """
    own, like = settings["explainers"]["l2i"], next(model.network.parameters())
    kinds: dict[str, dict[str, Tensor]] = {"imitator": {}, "network": {}}
    for name, weight in state.weights.items():
        kind, _, rest = name.partition(".")
        kinds[kind][rest] = weight
    if method_of(method).own_network:
        network = copy.deepcopy(model.network)
        network.load_state_dict(kinds["network"])
        model = model.with_network(network)
    layers, frontend = tuple(state.about["layers"]), model.frontend
    look = Look(model.hidden(layers), layers, frontend.layout)
    dictionary = kinds["imitator"]["dictionary"]
    with torch.no_grad():
        maps, logits = look(like.new_zeros(1, *frontend.shape))
    psi = Psi(maps, own["channels"], dictionary.shape[1], _frames(frontend), 1.0)
    imitator = Imitator(psi, dictionary, logits.shape[1], own["pooling"])
    imitator.load_state_dict(kinds["imitator"])
    important = torch.tensor(state.about["contributions"], device=like.device)
    imitator = imitator.to(like).eval().requires_grad_(False)
    return Imitation(model, imitator, look, important, tuple(state.about["learned_from"]))


def build(method: str, model: Model, layer: str, settings: Mapping[str, Any], state: Learned, seed: int) -> Explainer:
    """Make an explainer of the family; see :func:`earmark.explainers.base.build`.

    Raises
    ------
    EarmarkError
        If there are more parts than components to make them of.
    """
    found, frontend = imitation(method, model, settings, state), model.frontend
    count = state.parts if method_of(method).parts else 1
    if count > found.imitator.dictionary.shape[1]:
        raise EarmarkError(
            f"{count} parts cannot be made of {found.imitator.dictionary.shape[1]} components: set "
            f"{SECTION}.components to {count} or more, or lower grid.k"
        )

    def explain(batch: Batch) -> Parts:
        if not len(batch.clips):
            nothing = batch.waveforms.new_zeros(0, count, batch.waveforms.shape[1])
            return Parts(batch.inputs.new_zeros(0, count, *frontend.grid), sounds=nothing)
        heard = found(batch.inputs)
        if method_of(method).parts:
            return parted(found, batch, heard, count)
        return speaking(found, batch, heard, settings["explainers"]["l2i"]["threshold"])

    return explain


def speaking(found: Imitation, batch: Batch, heard: Heard, threshold: float) -> Parts:
    """Return the sound of the components whose relevance is above a threshold, and its share of every cell."""
    chosen = (relevance(heard.of(batch.targets)) > threshold).to(heard.activations)  # [B, K]
    frontend = found.model.frontend
    masks = found.masks(heard, chosen.unsqueeze(1))[:, 0]  # [B, F, T]
    sounds = frontend.istft(masks * frontend.stft(batch.waveforms))  # [B, S]
    return Parts(shares(frontend, batch.waveforms, sounds).unsqueeze(1).unsqueeze(1), sounds=sounds.unsqueeze(1))


def parted(found: Imitation, batch: Batch, heard: Heard, count: int) -> Parts:
    """Return the count - 1 components that weigh most for the class in training clips, and the rest, as sounds.

    What no component has of the clip is in the rest, so that the parts sum to the clip. Where a part sounds, its map is
    what it adds to the imitator's logit, spread over its energy: the maps of all sum to this logit.
    """
    frontend, clips = found.model.frontend, batch.waveforms
    components = found.important.shape[1]
    first = found.important.argsort(dim=1, descending=True, stable=True)[batch.targets, : count - 1]  # [B, K - 1]
    chosen = nn.functional.one_hot(first, components).to(heard.activations)
    masks = found.masks(heard, chosen)  # [B, K - 1, F, T]
    alone = frontend.istft((masks * frontend.stft(clips).unsqueeze(1)).flatten(0, 1))
    alone = alone.view(len(clips), count - 1, clips.shape[1])
    sounds = torch.cat([alone, (clips - alone.sum(dim=1)).unsqueeze(1)], dim=1)  # [B, K, S]
    every = heard.of(batch.targets)  # [B, components]
    added = every.gather(1, first)  # [B, K - 1]
    added = torch.cat([added, (every.sum(dim=1) - added.sum(dim=1)).unsqueeze(1)], dim=1)  # [B, K]
    power = frontend.energies(sounds.flatten(0, 1)).unflatten(0, added.shape)  # [B, K, F, T]
    density = power / power.sum(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return Parts((added[..., None, None] * density).unsqueeze(2), sounds=sounds)

"""Family ``lmactd``: masks of frames finer than the model's own, made by a network that is trained to explain it.

LMAC-TD (Mancini, Paissan et al. 2025). With ``H_e`` an encoding of the clip and ``H_d`` what a decoder makes of the
model's hidden layers, the mask is ``MaskNet(alpha H_d + (1 - alpha) H_e)`` (eq. 3), the explanation
``x_in = Dec(M H_e)`` (eq. 4), and the rest is the clip without it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earmark.explainers import base
from earmark.explainers.base import Batch, Explainer, Parts
from earmark.explainers.interpreters import codecs, maskloss
from earmark.explainers.interpreters.codecs import Codec, Fourier, Learned
from earmark.explainers.interpreters.decoder import Decoder, shapes_of, upright
from earmark.explainers.interpreters.dualpath import MaskNet
from earmark.explainers.interpreters.learning import LOSS, Material, hidden_layers, taken
from earmark.explainers.interpreters.maskloss import BOUNDED, Heard
from earmark.metrics.masking import first_cells, log_odds, ranks
from earmark.models.base import Model
from earmark.sound.base import Frontend, require_gradients
from earmark.sound.masks import apply_masks

log = logging.getLogger(__name__)

FAMILY = "lmactd"

ALPHA: Mapping[str, float] = {"lmac-td": 0.75, "lmac-td-hidden": 1.0, "lmac-td-signal": 0.0}
"""What share of what the mask is made of comes from the model's hidden layers."""

DEPTH = 3
"""Hidden layers that are looked at, unless they are named."""

ROWS, WIDTH = 64, 16
"""Rows that hidden layers are decoded to, and channels of the decoder."""

Settings = Mapping[str, Any]


class Masker(nn.Module):
    """Makes an explanation of a clip by a mask on its encoding.

    Parameters
    ----------
    codec : Codec
        The encoder and its decoder.
    masks : MaskNet
        Makes the masks.
    alpha : float
        Share of the hidden layers in what that is given.
    shapes : sequence of tuple of int
        Of a clip's hidden maps; see :class:`earmark.explainers.interpreters.decoder.Decoder`. None at all: no share.
    """

    def __init__(self, codec: Codec, masks: MaskNet, alpha: float, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.codec, self.masks, self.alpha = codec, masks, alpha
        self.scaled = nn.GroupNorm(1, codec.channels, affine=False)  # lest one of the two drowns the other
        if shapes:
            self.decoder = Decoder(shapes, WIDTH, ROWS, codec.frames)
            self.placed = nn.Conv1d(ROWS, codec.channels, 1)

    def mask(self, encoded: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Make masks ``[B, C, T]`` between 0 and 1 of clips' encodings ``[B, C, T]`` and hidden maps (eq. 3)."""
        read = (1 - self.alpha) * self.scaled(self.codec.amounts(encoded))
        if maps:
            read = read + self.alpha * self.scaled(self.placed(self.decoder(maps)))
        return self.masks(read)

    def forward(self, waveforms: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Make explanations ``[B, S]`` of clips ``[B, S]``, which are encoded at peak 1 (eq. 4)."""
        clips = waveforms.to(next(self.masks.parameters()))
        peaks = maskloss.peaks_of(clips)
        encoded = self.codec.encode(clips / peaks)
        return self.codec.decode(self.mask(encoded, maps) * encoded) * peaks


@dataclass(frozen=True, eq=False)
class Explained:
    """A model beside the network that learns to explain it, an :class:`.learning.Interpreter`.

    Attributes
    ----------
    model : Model
        What is explained.
    network : Masker
        What learns.
    about : mapping
        ``layers`` that are looked at and the ``shapes`` of their maps, and ``encoder``, the mean SI-SDR in dB with
        which encoder and decoder give validation clips back.
    settings : mapping
        Of the family.
    """

    model: Model
    network: Masker
    about: Mapping[str, Any]
    settings: Settings
    criterion = LOSS

    @functools.cached_property
    def _hidden(self) -> Callable[[Tensor], Sequence[Tensor]]:
        """The maps of hidden layers, by frequency and time, of inputs."""
        if not self.about["layers"]:
            return lambda inputs: ()
        watch, frontend = self.model.hidden(self.about["layers"]), self.model.frontend
        return lambda inputs: [upright(frontend.layout, maps) for maps in watch(inputs).activations]

    def sounds(self, batch: Batch) -> Tensor:
        """Make explanations ``[B, S]``."""
        with torch.no_grad():
            maps = self._hidden(batch.inputs)
        return self.network(batch.waveforms, maps)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of clips, each ``[B]``, and what else tells of their explanations."""
        found, answers = losses(self.model, batch, self.sounds(batch), self.settings)
        with torch.no_grad():
            whole = log_odds(self.model.logits(batch.inputs), batch.targets, self.model.multi_label)
        return found | maskloss.measured(answers, whole, batch.waveforms)

    @torch.no_grad()
    def compared(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss ``[B]`` of the whole clip, of nothing, and of its loudest cells, with as much energy."""
        tried = {
            "allpass": batch.waveforms,
            "silence": torch.zeros_like(batch.waveforms),
            "energy": loudest(self.model.frontend, batch.waveforms, self.sounds(batch)),
        }
        return {name: losses(self.model, batch, sounds, self.settings)[0][LOSS] for name, sounds in tried.items()}


def interpreter(method: str, material: Material) -> Explained:
    """Make what is trained for a method of the family.

    Raises
    ------
    EarmarkError
        If the model has no hidden layers to look at, its front end cannot be learned through, or the learned encoder
        and its decoder do not give clips back.
    """
    model, settings = material.model, material.settings
    require_gradients(model.frontend)
    silent = torch.zeros(1, model.frontend.clip_samples)
    model.frontend.energies(silent)  # what maps are made of: refused here, and not after training
    where = f"datasets.{material.job.dataset}.explainers.{FAMILY}.layers"
    layers = hidden_layers(model, settings["layers"], DEPTH, where) if ALPHA[method] else []
    shapes = shapes_of(model, layers) if layers else []
    network = masker(method, model.frontend, settings, shapes)
    if any(weight.requires_grad for weight in network.codec.parameters()):
        seed, clips = material.job.seed("codec"), material.training.waveforms
        codecs.pretrain(network.codec, clips, settings["encoder_epochs"], settings["batch_size"], seed, material.device)
    found = codecs.quality(network.codec, material.validation.waveforms, settings["batch_size"])
    log.info("encoder and decoder give validation clips back with %.1f dB SI-SDR", found)
    return Explained(model, network, {"layers": layers, "shapes": shapes, "encoder": found}, settings)


def build(method: str, model: Model, layer: str, settings: Settings, state: base.Learned, seed: int) -> Explainer:
    """Make an explainer of the family; see :func:`earmark.explainers.base.build`."""
    own = settings["explainers"][FAMILY]
    like = next(model.network.parameters(), torch.empty(0))
    with torch.random.fork_rng():  # of new weights, which those that were learned replace
        network = masker(method, model.frontend, own, state.about["shapes"])
    network.load_state_dict(state.weights)
    learned = Explained(model, network.to(like.device).eval().requires_grad_(False), state.about, own)

    @torch.no_grad()
    def explain(batch: Batch) -> Parts:
        sounds, count = torch.zeros_like(batch.waveforms), len(batch.clips)
        maps = batch.inputs.new_zeros(count, *model.frontend.grid)
        for start in range(0, count, own["batch_size"]):  # which bounds the memory of attention
            rows = torch.arange(count)[start : start + own["batch_size"]]
            made = learned.sounds(taken(batch, rows, like.device))
            sounds[rows] = made.to(sounds)
            maps[rows, 0] = maskloss.shares(model.frontend, batch.waveforms[rows], sounds[rows]).to(maps)
        return Parts(maps.unsqueeze(1), sounds=sounds.unsqueeze(1))

    return explain


def masker(method: str, frontend: Frontend, settings: Settings, shapes: Sequence[Sequence[int]]) -> Masker:
    """Make the network of a method with new weights, for clips of a front end and hidden maps of some shapes."""
    samples = frontend.clip_samples
    codec: Codec
    if settings["encoder"] == "learned":
        codec = Learned(settings["filters"], settings["stride"], settings["overlap"], samples)
    else:
        bins = frontend.stft(torch.zeros(1, samples)).shape[1]
        codec = Fourier(2 * (bins - 1), samples)
    sizes = [settings[name] for name in ("chunk", "heads", "head_width", "feedforward", "blocks", "attentions")]
    return Masker(codec, MaskNet(codec.channels, *sizes), ALPHA[method], [tuple(shape) for shape in shapes])


def losses(model: Model, batch: Batch, sounds: Tensor, settings: Settings) -> tuple[dict[str, Tensor], Heard]:
    """Compute what explanations lose, by what the model says to them and to the rest (eq. 6).

    Parameters
    ----------
    model : Model
        What is explained.
    batch : Batch
        B clips.
    sounds : Tensor
        Their explanations ``[B, S]``.
    settings : mapping
        ``l_in``, ``l_out``, ``l_reg`` and ``out``.

    Returns
    -------
    losses : dict of str to Tensor
        ``loss`` and, before they are weighted, ``in``, ``out`` (less is better, as it stands in the sum) and
        ``amount``, ``[B]`` each.
    answers : Heard
        What the model says.
    """
    answers = maskloss.answered(model, batch.waveforms, batch.targets, sounds)
    inside, outside = maskloss.sides(answers, settings["out"] == BOUNDED)
    much = amount(model.frontend, batch.waveforms, sounds)
    total = settings["l_in"] * inside + settings["l_out"] * outside + settings["l_reg"] * much
    return {LOSS: total, "in": inside, "out": outside, "amount": much}, answers


def amount(frontend: Frontend, clips: Tensor, sounds: Tensor) -> Tensor:
    """Measure how much is heard of sounds ``[B, S]`` of clips ``[B, S]``: ``[B]``.

    The mean of ``ln(1 + |STFT|)``, of clips at peak 1, over those frames in which the clip is not silent: silence that
    a clip is padded with makes no explanation cheaper. The paper has a sum of magnitudes (eq. 7), which grows with the
    length and is ruled by the loudest cells; the public code has this mean.
    """
    scaled = torch.cat([sounds, clips]) / maskloss.peaks_of(clips).repeat(2, 1)
    heard, there = frontend.stft(scaled).abs().chunk(2)  # [B, n_bins, T] each
    counted = (there.amax(dim=1) > 0).to(heard)  # [B, T]
    return (heard.log1p().mean(dim=1) * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)


def loudest(frontend: Frontend, clips: Tensor, sounds: Tensor) -> Tensor:
    """Keep of clips ``[B, S]`` the loudest cells, so many that they have as much energy as sounds ``[B, S]``."""
    made = []
    for place, (clip, sound) in enumerate(zip(clips, sounds, strict=True)):
        spectrum, other = frontend.stft(torch.stack([clip, sound]))  # [n_bins, T]
        share = other.abs().square().sum() / spectrum.abs().square().sum().clamp_min(torch.finfo(clip.dtype).tiny)
        ranked = ranks(frontend.energies(clip.unsqueeze(0))[0], place)
        made.append(apply_masks(frontend, clip, first_cells(frontend, spectrum, ranked, [float(share)]))[0])
    return torch.stack(made)

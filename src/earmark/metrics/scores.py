"""The scores of patch flipping, clip by clip; and what each metric is, whatever measures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from earmark.metrics.flipping import matched_budget, patch_flipping
from earmark.metrics.overlap import overlap, similarity
from earmark.models.base import Model
from earmark.seeds import derive


@dataclass(frozen=True)
class Metric:
    """What a number in a table is, and what it may be taken for.

    Attributes
    ----------
    name : str
        In tables.
    direction : {"lower", "higher", "none"}
        Which is better; ``none`` for what describes or controls.
    unit : str
        Of its values, or what they are shares of; as titles of figures write it, empty for pure numbers.
    comparable_across_k : bool
        Whether values of different K may be compared, and with those of heatmaps without concepts.
    shows : str
        What it can and cannot show (Markdown); metrics of the same words are explained together.
    source : str
        Where it is defined.
    of, statistic : str
        What it is a statistic of, over clips: of a score of each clip's by its own name, the ``mean``.
    """

    name: str
    direction: Literal["lower", "higher", "none"]
    unit: str = ""
    comparable_across_k: bool = False
    shows: str = ""
    source: str = ""
    of: str = ""
    statistic: Literal["mean", "median"] = "mean"


JOINT_ORDER = (
    "the concepts' rankings merged into one order, flipped in equal steps for every K and method, as a share of the "
    "clip's own logit; flipped cells become 0, or the clip's smallest value. They ask whether the joint order is "
    "faithful, and may be compared across K and with the standard heatmap: decomposing must not make them worse. They "
    "do not reward distinct concepts. A clip whose own logit is close to 0 weighs heavily in their mean: the `_median` "
    "over clips (of each class, then averaged over classes) hardly feels it. Where the two disagree, few clips make "
    "the mean; differences and p-values are of means."
)

FAITHFULNESS = (
    "the probability of the class for the clip less that without the explanation. Where answers are saturated it is 0 "
    "or 1 for nearly every clip, and its mean counts clips; the log-odds tell more."
)

DROPS = (
    "average drop, gain and increase of the probability when the explanation is heard alone. They depend on how much "
    "is played: compare at one share of energy."
)

HEARD = "log-odds of the class for the explanation alone, and for the clip without it."

PASSES = (
    "examples that go through the network: a clip, or a change of it, goes `forward` for an answer and `backward` for "
    "a gradient or relevance; `passes` are both. A batch may take a clip more, which shows how modules are connected. "
    "The machine does not matter."
)

SPREAD = (
    "Gini coefficient and normalised entropy of the energies of the explanation's sound: sparser is easier to hear, "
    "and says nothing of being right."
)

RIGHT = (
    "part of the clips that the imitation, the network that it imitates, and the model are right of. The last two are "
    "one where an interpreter leaves the network as it is; where it does not, they say what that costs."
)

REMOVED = (
    "probability, or log-odds, that the network's answer loses without the components above a threshold of relevance, "
    "and less what it loses without `others`. As far as these are as loud, what is left is no matter of energy; where "
    "the relevant ones are the loudest of all, `removed_energy` says by how much they are."
)

ALIKE = (
    "cosine and rank correlation between a clip's map and another one, 1 for equal maps. With another `network` (its "
    "upper half drawn anew) or for another `class` (the next likely) a map that stays the same explains something else "
    "than the model's answer; with another `seed`, `noise` 40 dB below the clip or a `shift` by one frame, moved back "
    "again, a map that changes cannot be believed. Another seed draws anew what an explanation draws, and fits or "
    "trains nothing anew: `stability` and `networks` tell of that. That a map passes does not say that it is right: "
    "random ones pass the first two, and the clip's energy the last three."
)

FLIPPED_AREAS = (
    "area under that, as a mean over the share of samples from none to all, and over the share of energy, which "
    "differs from order to order and from clip to clip: a straight line is drawn from one share to the next."
)

METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "thesis",
            "lower",
            "logit",
            shows="each step flips the next patches of *every* concept at once, but is weighted as if one concept's "
            "had been flipped. It falls when concepts point to different patches that matter. **Compare it between "
            "methods of equal K only.** Across K, or against the standard heatmap (K = 1), it mostly measures how many "
            "more patches were flipped: pure noise gains from a larger K as well. It is in units of the logit, and it "
            "does not show that a concept means anything.",
            source="eq. 4.4",
        ),
        Metric(
            "matched_budget",
            "none",
            "logit",
            shows="the standard heatmap with, at each step, as many different patches flipped as the concepts' union "
            "held. `thesis - matched_budget` is what is left of an advantage over the standard heatmap once both flip "
            "equally much. It is a control, no score of the concepts.",
        ),
        Metric("fair_zero", "lower", "own logit", True, JOINT_ORDER),
        Metric("fair_floor", "lower", "own logit", True, JOINT_ORDER),
        Metric("fair_zero_median", "lower", "own logit", True, of="fair_zero", statistic="median"),
        Metric("fair_floor_median", "lower", "own logit", True, of="fair_floor", statistic="median"),
        Metric(
            "overlap",
            "lower",
            "mean cosine",
            shows="mean cosine between the concepts' positive relevance, 0 for concepts that share no cell. It knows "
            "nothing of the model: distinct concepts may still be meaningless.",
        ),
        Metric(
            "ssim",
            "lower",
            shows="structural similarity of the concepts' positive relevance, 1 for equal maps: whether cells rise and "
            "fall together in windows of 7 x 7 cells. What both leave empty counts as alike, so that sparse concepts "
            "are more alike than dense ones, whatever they show, and it knows nothing of the model.",
            source="Wang et al. 2004",
        ),
        Metric("own", "higher", "logit", source="eq. 4.5"),
        Metric("others", "none", "logit", source="eq. 4.5"),
        Metric(
            "nmi",
            "higher",
            shows="mutual information of concept and object, pooled over the clips of a class, each object weighing "
            "the same, divided by the logarithm of the number of objects. 0: every concept responds to all objects "
            "alike; 1: each object has concepts of its own. It does not ask whether all of an object is found, and it "
            "grows with K where one object may have several concepts: compare at equal K, or with the ceiling at that "
            "K.",
        ),
        Metric(
            "nmi / best",
            "higher",
            shows="the same as a part of the best basis seen at that layer and K, as a rule one that was "
            "searched for on training clips with the stems in hand. A low `nmi` at a ratio near 1 is the layer's "
            "fault, not the method's.",
            of="nmi",
        ),
        Metric(
            "capture",
            "higher",
            shows="part of an object's relevance that lies in its own concept. For concepts of equal weight it is "
            "1 / K by chance, 1 / O where K is below the number O of objects: then O - K objects have no concept and "
            "are not captured.",
        ),
        Metric(
            "rank_accuracy",
            "higher",
            shows="of as many of the concept's most relevant cells as the object has, the part that are the object's. "
            "Like `si_sdr` it is a mean over the objects that have a concept, the best matches where K is below O.",
        ),
        Metric(
            "si_sdr",
            "higher",
            "dB",
            shows="how much of the concept's sound is the object's stem, in dB. The mask cannot part what shares a "
            "cell, so that even a perfect concept stays far from the stem.",
        ),
        Metric("logit", "none", "logit", True),
        Metric("logit lost without", "none", "logit", True),
        Metric(
            "share",
            "none",
            "the relevance of all",
            True,
            "a concept's part of the relevance, summed over clips; negative where it speaks against the class.",
        ),
        Metric(
            "cosine",
            "lower",
            shows="between the positive relevance of two concepts, 0 where they share no cell, 1 where they are alike.",
        ),
        Metric(
            "effective_number",
            "none",
            "concepts",
            True,
            "how many concepts are really there: the exponential of the entropy of the eigenvalues of the cosines "
            "between the concepts' positive relevance, weighted by their shares. It is 1 for one cue, however many "
            "concepts that is cut into, and at most K. It does not say that a concept means anything.",
            source="Vendi score, Friedman and Dieng 2023",
        ),
        Metric(
            "srg",
            "higher",
            "nat",
            True,
            "symmetric relevance gain: the log-odds of the class while the least relevant cells are silenced, less "
            "those while the most relevant are, as areas over the share of the clip's energy that is taken out. The "
            "order of the cells decides it, not how many are played. 0 is what a random order gets.",
            source="Bluecher et al. 2024",
        ),
        Metric(
            "srg_mean",
            "higher",
            "nat",
            True,
            "the same with the training clips' mean spectrum in the place of what is taken out: where the two "
            "disagree, the choice of silence speaks, and not the explanation.",
            source="Bluecher et al. 2024",
        ),
        Metric(
            "srg_own_level",
            "higher",
            "nat",
            True,
            "the same as `srg` where what is left of a clip is heard at its own peak, of the clips whose sounds are "
            "kept: a front end that scales clips makes a faint rest loud again. Where it disagrees with `srg`, the "
            "level speaks, and not the explanation.",
        ),
        Metric(
            "native_lead",
            "higher",
            "nat",
            True,
            "log-odds of the sound that a method makes itself, less those of the clip's loudest cells that hold as "
            "much of its energy.",
        ),
        Metric(
            "fid_in",
            "higher",
            "clips",
            True,
            "part of the clips whose explanation alone gets the clip's own answer (of a multi-label model: stays on "
            "its side of .5).",
        ),
        Metric(
            "auc",
            "higher",
            "",
            True,
            "of the relevance as a detector of the cells of sound objects that the model uses: those without which its "
            "log-odds fall. .5 is chance; loud objects alone get the loudest cells far.",
        ),
        Metric("ap", "higher", "", True, "average precision of the same; chance is the part of cells that are theirs."),
        Metric(
            "spearman",
            "higher",
            "",
            True,
            "rank correlation, over the objects of a clip, of their positive relevance with the log-odds lost without "
            "them; not of clips with fewer than three.",
        ),
        Metric(
            "top",
            "higher",
            "of the clips",
            True,
            "in how many clips the object with the most positive relevance is the one without which the log-odds fall "
            "most.",
        ),
        Metric(
            "si_sdr_gain",
            "higher",
            "dB",
            True,
            "by how much the most relevant cells, as many as hold the used objects' share of the energy, are closer to "
            "these objects than the whole clip is.",
        ),
        Metric(
            "time_auc",
            "higher",
            "",
            True,
            "of the relevance, summed over frequency, as a detector of the 100 ms in which used objects sound.",
        ),
        Metric("ff", "higher", "probability", True, FAITHFULNESS),
        Metric("ff_median", "higher", "probability", True, FAITHFULNESS, of="ff", statistic="median"),
        Metric("ad", "lower", "% of the probability", True, DROPS),
        Metric("ag", "higher", "% of what lacks to 1", True, DROPS),
        Metric("ai", "higher", "% of the clips", True, DROPS),
        Metric("logodds_in", "higher", "nat", True, HEARD),
        Metric("logodds_out", "lower", "nat", True, HEARD),
        Metric("sps", "none", "", True, SPREAD),
        Metric("comp", "none", "ln N", True, SPREAD),
        Metric("energy", "none", "the clip's energy", True, "share that the sound has of the clip's energy."),
        Metric(
            "moved",
            "none",
            "of the clips",
            True,
            "part of the contaminated clips whose answer is no longer the class. It says of the model, not of an "
            "explanation.",
        ),
        Metric(
            "untold",
            "none",
            "of the clips",
            True,
            "part of the others of which truth cannot be asked: the model does without the clip, or uses what was "
            "added.",
        ),
        Metric(
            "source_auc",
            "higher",
            "",
            True,
            "of the relevance as a detector of the clip's own cells among those of the clip and of its contaminant; "
            "cells of neither do not count. .5 is chance, and the loudest cells can be below: the clip has quiet ones "
            "too.",
        ),
        Metric(
            "source_ap",
            "higher",
            "",
            True,
            "average precision of the same; chance is the clip's part of these cells.",
        ),
        Metric(
            "source_gain",
            "higher",
            "dB",
            True,
            "by how much the most relevant cells, as many as hold the clip's share of the energy, are closer to the "
            "clip, in SI-SDR, than the clip with its contaminant is; at another share, or of a method's own sound, the "
            "same of that. A sound that holds little of the clip is far from it, however clean: compare at one share.",
        ),
        Metric("sanity_cosine", "none", "", True, ALIKE),
        Metric("sanity_spearman", "none", "", True, ALIKE),
        Metric(
            "answered",
            "lower",
            "the clips",
            True,
            "part of the clips whose class the model still answers (of a multi-label model: has above .5). All do as "
            "long as nothing is taken; with all at 0 the model answers silence.",
            source="Becker et al. 2018",
        ),
        Metric("remaining_logit", "lower", "logit", True, "logit of the class while samples are 0."),
        Metric("answered_over_samples", "lower", "the clips", True, FLIPPED_AREAS),
        Metric("answered_over_energy", "lower", "the clips", True, FLIPPED_AREAS),
        Metric("remaining_logit_over_samples", "lower", "logit", True, FLIPPED_AREAS),
        Metric("remaining_logit_over_energy", "lower", "logit", True, FLIPPED_AREAS),
        Metric("removed", "none", "the clip's energy", True, "share of the energy that has gone with the samples."),
        Metric(
            "scaled_accuracy", "none", "of the clips", True, "part of the clips that are answered as what they are."
        ),
        Metric("turned", "none", "of the clips", True, "part of the clips that are answered as the class named."),
        Metric(
            "margin",
            "none",
            "logit",
            True,
            "logit of a clip's own class less the largest of the others: below 0 the answer is another one.",
        ),
        Metric(
            "relevance_for",
            "none",
            "the positive relevance",
            True,
            "share of a clip's positive relevance that lies in a band. It follows the sound: only what is more, or "
            "less, than the band's share of the energy says what the network listens to.",
        ),
        Metric(
            "relevance_against",
            "none",
            "the negative relevance",
            True,
            "share of a clip's negative relevance that lies in a band, of clips that have any.",
        ),
        Metric(
            "energy_share",
            "none",
            "the clip's energy",
            True,
            "share of a clip's energy, as its front end measures it, that lies in a band.",
        ),
        Metric(
            "informedness",
            "higher",
            "",
            True,
            "part of the clips with an answer that are guessed to have it, less part of the others that are: 1 for "
            "whoever always knows, 0 for whoever guesses without having heard, however often each class is guessed; "
            "negative for whoever hears something else than the model.",
            source="Powers 2011",
        ),
        Metric(
            "markedness",
            "higher",
            "",
            True,
            "part of the guesses of a class that are right of the model, less part of the other guesses that miss it: "
            "how far a guess can be relied on.",
            source="Powers 2011",
        ),
        Metric(
            "fidelity",
            "higher",
            "of the clips",
            True,
            "part of the clips to which the imitation, the network's own or the model's, answers as what it imitates "
            "does. It says that the imitation may stand for the network, not that it hears the same.",
            source="Parekh et al. 2022",
        ),
        Metric(
            "fidelity_top5",
            "higher",
            "of the clips",
            True,
            "part of the clips whose answer is among the imitation's five most likely, where there are more classes.",
            source="Parekh et al. 2022",
        ),
        Metric(
            "fidelity_chance",
            "none",
            "of the clips",
            True,
            "the same as `fidelity` with what the imitation answers to another clip.",
        ),
        Metric("imitation_accuracy", "higher", "of the clips", True, RIGHT),
        Metric("imitated_accuracy", "higher", "of the clips", True, RIGHT),
        Metric("model_accuracy", "higher", "of the clips", True, RIGHT),
        Metric("removed_ff", "higher", "probability", True, REMOVED, source="Parekh et al. 2022"),
        Metric("removed_ff_median", "higher", "probability", True, REMOVED, of="removed_ff", statistic="median"),
        Metric("removed_logodds", "higher", "nat", True, REMOVED),
        Metric("removed_energy", "none", "the clip's energy", True, "share that what was taken out has of the energy."),
        Metric("removed_components", "none", "components", True, "how many were taken out."),
        Metric(
            "contribution",
            "none",
            "logit",
            True,
            "what a component adds to the imitation's logit of the answer: all of them sum to it.",
        ),
        Metric(
            "component_share",
            "none",
            "the clip's energy",
            True,
            "a component's share of a clip's energy; those of all sum to 1 where each cell is somebody's.",
        ),
        Metric("passes", "lower", "passes per clip", True, PASSES),
        Metric("forward", "lower", "passes per clip", True, PASSES),
        Metric("backward", "lower", "passes per clip", True, PASSES),
        Metric(
            "seconds",
            "lower",
            "s per clip",
            True,
            "time in the explainer, with its preparation for a class, without the start of the program, reading and "
            "writing. It depends on the machine, on what else ran on it and on the network, and differs between runs: "
            "compare methods of one table.",
        ),
        Metric(
            "training",
            "lower",
            "s",
            True,
            "time in the epochs of what was trained before it explains, validation with it; of a method that goes on "
            "from another, its own part. It depends on the machine and on what else ran on it.",
        ),
        Metric(
            "completeness",
            "lower",
            "of the change of the logit",
            True,
            "by how much the relevance that integrates gradients misses what the logit changes by from silence to the "
            "clip, at the clip where it misses most. Above .01 the explanation of that clip is not what it says it is.",
            source="Sundararajan et al. 2017",
        ),
        Metric(
            "unexplained",
            "lower",
            "variance of the answers",
            True,
            "what the weights of a clip's parts leave unexplained of the answers to selections of them, 1 - R^2, at "
            "the clip where that is most. The higher it is, the less a sum of parts says of the model.",
            source="Ribeiro et al. 2016",
        ),
        Metric("parameters", "lower", "", True, "how many numbers were learned."),
        Metric("training_clips", "none", "clips", True, "from how many clips."),
        Metric(
            "interpreter_loss",
            "lower",
            "",
            True,
            "what a training descends, of validation clips: its own, and that of what learned nothing. It is a sum "
            "that each family weighs for itself: where it is low, what was asked for is done, and it need not explain.",
        ),
        Metric(
            "below_all",
            "higher",
            "",
            True,
            "1 if that loss lies below those of all that learned nothing by more than two standard errors of the "
            "difference, else 0.",
        ),
        Metric("sum_error", "lower", "the largest relevance", True),
        Metric("absorbed_share", "none", "own logit", True),
        Metric("bypass_share", "none", "relevance", True),
        Metric("objective_training", "higher", source="eq. 2.19"),
        Metric("objective_held_out", "higher", source="eq. 2.19"),
        Metric("affinity_seed", "higher"),
        Metric("affinity_bootstrap", "higher"),
        Metric(
            "correlation",
            "higher",
            shows="Pearson correlation of a concept's positive relevance with that of its counterpart in another "
            "network, over all cells of the clips that all networks recognise, each clip scaled to sum 1; concepts are "
            "paired so that the sum is greatest.",
        ),
        Metric(
            "found_again",
            "higher",
            "other networks",
            shows="part of the other networks that have a counterpart of a concept: its correlation is above the 95th "
            "percentile of those with random subspaces of that network.",
        ),
        Metric(
            "found_there",
            "higher",
            "concepts",
            shows="how many concepts have a counterpart in the other network: their correlation is above the 95th "
            "percentile of those with random subspaces of that network.",
        ),
        Metric(
            "nmi_other",
            "higher",
            shows="the same of the other network's concepts, on the same recordings and on its own grid of cells.",
        ),
        Metric("test_accuracy", "higher", "", True),
        Metric("test_recording_accuracy", "higher", "", True),
        Metric("test_loss", "lower", "nat", True),
        Metric("test_clips", "none", "clips", True),
        Metric("validation_accuracy", "higher", "", True),
        Metric("validation_loss", "lower", "nat", True),
        Metric("best_epoch", "none", "epochs", True, "the one that was kept."),
        Metric("epochs", "none", "epochs", True, "how many there were."),
    )
}
"""By name."""

SCORES = ("thesis", "fair_zero", "fair_floor", "overlap", "ssim", "matched_budget")
"""What :func:`score` measures of a clip, in its order."""

FLIPPED = ("thesis", "fair_zero", "fair_floor")
"""Scores of the model's reaction to an explanation."""

MEDIANS = {metric.of: metric.name for metric in METRICS.values() if metric.statistic == "median"}
"""Medians beside the means of some scores: shares of the clip's own logit weigh heavily where that is close to 0."""


def with_medians(scores: Iterable[str]) -> tuple[str, ...]:
    """List scores, and after them the medians that stand beside their means."""
    names = tuple(scores)
    return (*names, *(MEDIANS[name] for name in names if name in MEDIANS))


CLIPS = 64
"""Clips scored at once; bounds memory and decides nothing else."""


def score(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    heatmaps: Tensor,
    standard: Tensor,
    patch: int,
    seeds: Sequence[int],
) -> Tensor:
    """Compute every score of a batch of clips.

    Parameters
    ----------
    model : Model
        The explained one.
    inputs : Tensor [B, 1, F, T]
        Log-mel spectrograms.
    targets : Tensor [B]
        Explained classes.
    heatmaps : Tensor [B, K, 1, F, T]
        Of the concepts.
    standard : Tensor [B, 1, 1, F, T]
        Standard heatmaps of the same clips.
    patch : int
        Side of a patch, in cells.
    seeds : sequence of int [B]
        From :func:`ties_seeds`.

    Returns
    -------
    Tensor [B, 6]
        Columns in the order of ``SCORES``.
    """
    zero = patch_flipping(model, inputs, targets, heatmaps, patch, "zero", seeds)
    floor = patch_flipping(model, inputs, targets, heatmaps, patch, "floor", seeds)
    control = matched_budget(model, inputs, targets, standard, zero.union_counts, patch, seeds)
    apart = overlap(heatmaps), similarity(heatmaps)
    return torch.stack([zero.thesis, zero.fair, floor.fair, *apart, control], dim=1)


def ties_seeds(seed: int, paths: Iterable[str]) -> list[int]:
    """Return the seeds that order clips' equally relevant patches, the same in every stage that flips patches.

    Parameters
    ----------
    seed : int
        The configuration's.
    paths : iterable of str
        Of the clips' recordings.
    """
    return [derive(seed, "flipping", path) for path in paths]


def batches(n_clips: int) -> Iterator[slice]:
    """Cut n clips into slices of at most ``CLIPS``."""
    for start in range(0, n_clips, CLIPS):
        yield slice(start, min(start + CLIPS, n_clips))

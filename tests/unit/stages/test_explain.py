"""Which of the scored clips a method explains that asks the model often."""

from __future__ import annotations

import numpy as np
import pytest

from earmark.data import chosen as chosen_clips
from earmark.data import dataset
from earmark.data.chosen import GALLERY, SCORED
from earmark.data.selection import evenly
from earmark.job import Job
from earmark.plan.config import validate
from earmark.plan.methods import methods
from earmark.plan.stages import stage_config
from earmark.stages.explain import scored_of
from earmark.store.layout import Layout
from tests.unit.conftest import STRIPES


def few(layout: Layout, most: int | None) -> dict[str, list[int]]:
    """Return the clips of each class."""
    job = Job("explain", layout.results, layout.dataset, {"seed": 0}, split="main")
    source, choice = dataset.of(job), chosen_clips.of(job)
    return {cls: clips.tolist() for cls, clips in scored_of(job, source, choice, source.classes, most).items()}


@pytest.mark.parametrize("most", [None, 1000])
def test_all_that_are_scored_are_explained_unless_less_is_asked_for(stripes: Layout, most: int | None) -> None:
    choice = chosen_clips.read(stripes, "main")
    for cls, clips in few(stripes, most).items():
        assert clips == choice.clips(cls, SCORED).tolist()
        explained, usual = choice.explained(cls, np.array(clips)), choice.explained(cls)
        assert all(np.array_equal(one, other) for one, other in zip(explained, usual, strict=True))


def test_a_part_is_explained_as_evenly_as_can_be_and_the_gallery_costs_nothing_more(stripes: Layout) -> None:
    choice = chosen_clips.read(stripes, "main")
    found = few(stripes, 9)
    assert [len(found[cls]) for cls in STRIPES] == [5, 4]
    for cls, clips in found.items():
        assert set(choice.clips(cls, GALLERY)) <= set(clips) <= set(choice.clips(cls, SCORED))
        explained = choice.explained(cls, np.array(clips))
        assert explained.clips.tolist() == clips
        assert explained.scored.all()
        logits = dict(zip(choice.clips(cls, SCORED).tolist(), choice.logits(cls, SCORED), strict=True))
        assert explained.logits.tolist() == [logits[clip] for clip in clips]


def test_more_clips_come_on_top_of_fewer(stripes: Layout) -> None:
    one, some, many = ({clip for clips in few(stripes, n).values() for clip in clips} for n in (1, 6, 11))
    assert (len(one), len(some), len(many)) == (1, 6, 11)
    assert one < some < many


def test_a_class_of_which_none_is_scored_still_shows_its_gallery(stripes: Layout) -> None:
    choice = chosen_clips.read(stripes, "main")
    without = next(cls for cls, clips in few(stripes, 1).items() if not clips)
    explained = choice.explained(without, np.array([], np.int64))
    assert explained.clips.tolist() == choice.clips(without, GALLERY).tolist()
    assert explained.gallery.all() and not explained.scored.any()


@pytest.mark.parametrize(
    ("available", "total", "wanted"),
    [
        ([5, 5, 5], 7, [3, 2, 2]),
        ([1, 5, 5], 7, [1, 3, 3]),
        ([0, 2], 9, [0, 2]),
        ([3, 4], None, [3, 4]),
        ([2, 2, 2], 1, [1, 0, 0]),
        ([], 3, []),
    ],
)
def test_a_number_is_shared_out_evenly(available: list[int], total: int | None, wanted: list[int]) -> None:
    assert evenly(available, total) == wanted


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_a_limit_for_expensive_methods_concerns_their_explanations_alone(method) -> None:
    """Whatever else is given it would be made anew with every change of it."""
    configs = [
        validate({"run": ["mine"], "datasets": {"mine": {"explain": {"expensive": count}}}}) for count in (10, 20)
    ]
    name = f"{method.name}~0" if method.variants else method.name
    for stage in ("choose", "explain", "score", "mask", "sanity", "objects"):
        one, other = (stage_config(config, "mine", stage, name) for config in configs)
        assert (one != other) == (stage == "explain" and method.expensive)

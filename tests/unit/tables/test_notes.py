"""What the notes of tables say of methods is what the methods' own records say."""

import pytest

from earmark.plan.methods import method_of
from earmark.tables import flipping, ground_truth, markdown, stability
from earmark.tables.labels import LEVELS, At


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["drsa"], ""),
        (["drsa", "random"], "(`random` is the mean over its seeds)"),
        (["random", "noise"], "(`random` and `noise` are means over their seeds)"),
    ],
)
def test_means_over_seeds_are_said_where_there_are_some(methods, said):
    grid = [At(layer, method, 4) for layer in ("conv1", "conv2") for method in methods]
    assert markdown.averaged(grid, "(", ")") == said


def test_notes_name_no_method_that_the_grid_lacks():
    grid = [At("conv1", "drsa", 4)]
    levels = {f"`{at.method}`" for at in LEVELS}
    for text in (flipping.notes(grid), ground_truth.notes(grid), stability.NOTES):
        for method in ("random", "pca", "oracle", "dsa"):
            assert f"`{method}`" not in text
    assert all(level in flipping.notes(grid) for level in levels)
    assert method_of("noise~0").says in flipping.notes(grid)
    assert "`random` is the mean over its seeds, clip by clip. A dash" in flipping.notes(
        [*grid, At("conv1", "random", 4)]
    )

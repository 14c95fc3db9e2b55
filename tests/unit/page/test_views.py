"""What the page says of one clip's maps."""

from __future__ import annotations

import pytest
import torch

from earmark.page.views import described


@pytest.mark.parametrize(("total", "share"), [(4.0, 0.25), (0.0, None), (-2.0, None)])
def test_a_map_has_a_share_of_relevance_for_the_class_alone(total: float, share: float | None) -> None:
    told = described("concept1", torch.full((2, 2), 0.25), 1.0, total)
    assert (told["name"], told["sum"], told["share"]) == ("concept1", 1.0, share)

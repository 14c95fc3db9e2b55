"""What stands beside explanations of a clip is said as far as it is known."""

from __future__ import annotations

import math

import pytest

from earmark.page import beside, files
from earmark.statistics import ALL
from earmark.tables import masking
from earmark.tables.labels import At

AT = At("conv4", "drsa", 4)


@pytest.mark.parametrize(
    ("bar", "told"),
    [
        ((4.12345, 3.2, 5.3), {"gain": 4.123, "interval": [3.2, 5.3]}),
        ((4.1, math.nan, math.nan), {"gain": 4.1, "interval": None}),
        (None, {"gain": None, "interval": None}),
    ],
)
def test_a_gain_may_have_no_interval(tmp_path, bar, told) -> None:
    found = beside._gain({(*AT, ALL, masking.HEADLINE): bar} if bar else {}, AT)
    assert found == told
    files.put(tmp_path, "data", found)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_none(value) -> None:
    assert files.number(value) is None and files.number(1.234567) == 1.2346

"""The memory of a machine, and of a container on it."""

import psutil
import pytest

from earmark.plan import machine

WHOLE = psutil.virtual_memory().total // 10**6


def test_without_limits_it_is_all_there_is(tmp_path):
    assert machine.memory(tmp_path) == WHOLE


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        # the second version: one hierarchy; groups around the own one count as well
        ("0::/a/b", {"a/b/memory.max": "max"}, WHOLE),
        ("0::/a/b", {"a/b/memory.max": "20000000"}, 20),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "10000000"}, 10),
        ("0::/", {"memory.max": "30000000"}, 30),
        ("0::/a", {"b/memory.max": "30000000"}, WHOLE),
        # the first: a hierarchy of its own for memory, and a number where there is no limit
        ("5:cpu,memory:/a\n3:cpuset:/a", {"memory/a/memory.limit_in_bytes": "40000000"}, 40),
        ("5:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, WHOLE),
        # in a container the host's name of the group does not exist; its own limit is at the top
        ("5:memory:/docker/f00", {"memory/memory.limit_in_bytes": "50000000"}, 50),
    ],
)
def test_the_least_limit_of_control_groups_counts(tmp_path, groups, limits, expected):
    for path, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{k}": v for k, v in limits.items()}}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    assert machine.memory(tmp_path) == expected

"""The cores that a process may use, not those that its machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "from nofx_pipelines.cores import cores; print(cores())"


def asked(prefix: str = "", **settings: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", prefix + ASK],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing to take away")
def test_cores_are_those_that_the_process_may_use() -> None:
    assert asked() >= 2
    assert asked(f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}]); ") == 1
    assert asked(LOKY_MAX_CPU_COUNT="1") == 1

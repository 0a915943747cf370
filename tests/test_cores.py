"""The cores that a process may use, not those that its machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nofx_pipelines.cores import cores
from nofx_pipelines.errors import ConfigError

ASK = "from nofx_pipelines.cores import cores; print(cores())"
ONE = min(os.sched_getaffinity(0))


def asked(prefix: str = "", **settings: str) -> int:
    environment = {k: v for k, v in os.environ.items() if k != "LOKY_MAX_CPU_COUNT"} | settings
    call = [sys.executable, "-c", prefix + ASK]
    return int(subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout)


def test_cores_are_those_that_the_process_may_use() -> None:
    assert 1 <= asked() <= len(os.sched_getaffinity(0))
    assert asked(f"import os; os.sched_setaffinity(0, [{ONE}]); ") == 1
    assert asked(LOKY_MAX_CPU_COUNT="1") == 1


def test_a_setting_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "many")
    with pytest.raises(ConfigError, match="LOKY_MAX_CPU_COUNT = 'many'"):
        cores.__wrapped__()

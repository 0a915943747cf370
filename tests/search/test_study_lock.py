"""Two processes and one search: the second waits for the first, or says that it runs."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nofx_pipelines import file_lock
from nofx_pipelines.errors import ModelError
from nofx_pipelines.search.study_lock import study_lock

HOLD = """
import sys, time
from pathlib import Path
from nofx_pipelines.search.study_lock import study_lock
with study_lock(Path(sys.argv[1]), "s"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_waits_for_the_end_of_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "SILENT_S", 0.0)
    first = holder(tmp_path, 1.0)
    with caplog.at_level(logging.WARNING), study_lock(tmp_path, "s", patience_s=60):
        assert first.wait(1) == 0
    (message,) = caplog.messages
    assert message.startswith(f"waiting for the search s: process {first.pid} on ")


def test_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    first = holder(tmp_path, 600)
    first.kill()
    first.wait()
    with study_lock(tmp_path, "s", patience_s=0):
        pass


def test_what_does_not_end_is_named(tmp_path: Path) -> None:
    first, begun = holder(tmp_path, 600), time.monotonic()
    with (
        pytest.raises(ModelError, match="another process runs the search s"),
        study_lock(tmp_path, "s", patience_s=1),
    ):
        pass
    assert time.monotonic() - begun >= 1
    first.kill()
    first.wait()

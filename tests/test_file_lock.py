"""Locks that say who holds them, end with their holder, and are not waited for without end."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from nofx_pipelines import file_lock as module
from nofx_pipelines.errors import ConfigError, WaitTimeout
from nofx_pipelines.file_lock import file_lock, wait_limit_s

HOLD = """
import sys, time
from pathlib import Path
from nofx_pipelines.file_lock import file_lock
with file_lock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_wait_says_for_what_on_whom_since_when(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    first = holder(tmp_path / "a" / "lock", 1.0)
    with caplog.at_level(logging.WARNING), file_lock(tmp_path / "a" / "lock", "stage cn/bars") as waited:
        assert waited
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"waiting for stage cn/bars: process {first.pid} on ")
    assert ", since 20" in caplog.messages[0]
    assert first.wait() == 0


def test_a_short_wait_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = holder(tmp_path / "lock", 0.3)
    with caplog.at_level(logging.WARNING), file_lock(tmp_path / "lock", "it"):
        pass
    assert caplog.messages == []
    first.wait()


def test_a_killed_holder_is_not_waited_for(tmp_path: Path) -> None:
    first = holder(tmp_path / "lock", 600)
    first.kill()
    first.wait()
    with file_lock(tmp_path / "lock", "it", limit_s=0.001) as waited:
        assert not waited


def test_the_end_of_the_wait_names_the_holder_and_what_to_do(tmp_path: Path) -> None:
    first = holder(tmp_path / "lock", 600)
    try:
        with pytest.raises(WaitTimeout, match=f"stage x: process {first.pid} .*Next: nofx doctor --repair"):
            file_lock(tmp_path / "lock", "stage x", limit_s=0.3).__enter__()
    finally:
        first.kill()
        first.wait()


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan"])
def test_a_limit_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOFX_WAIT_LIMIT_S", text)
    with pytest.raises(ConfigError, match="NOFX_WAIT_LIMIT_S"):
        wait_limit_s()

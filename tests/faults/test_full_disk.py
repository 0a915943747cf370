"""A full disk at any write: tables stay whole, the message says so, with room the result is the same."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from nofx_pipelines.errors import LakeError, StorageError
from nofx_pipelines.storage import require_writable, said_of_storage, storage_error, storage_guard
from tests.faults import full_disk


def may_mount() -> bool:
    """Whether this user may mount file systems in a namespace of its own."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_no_writer_is_damaged(tmp_path: Path, step: int) -> None:
    if not may_mount():
        pytest.skip("mounting a small file system is not allowed here")
    tallies = full_disk.inside(tmp_path, step)
    for name, tally in tallies.items():
        assert tally.attempts == len(full_disk.FREE_KIB[::step]), name
        assert tally.refused + tally.completed == tally.attempts, name
        assert tally.refused > 0, name
        assert tally.completed > 0, name
        assert (tally.other, tally.damaged, tally.unequal) == (0, 0, 0), name
    # a mapped file has all its room before anything is mapped: 200 entities of 40 values in two slots each
    too_small = sum(kib * 1024 < 200 * 40 * 8 * 2 for kib in full_disk.FREE_KIB[::step])
    assert tallies["online store"].refused >= too_small > 1


FULL = [
    OSError(errno.ENOSPC, "No space left on device", "/h/x"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    sqlite3.OperationalError("database or disk is full"),
    RuntimeError("Generic LocalFileSystem error: Unable to write: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_recognised_whoever_says_so(tmp_path: Path, error: Exception) -> None:
    def later() -> None:
        try:
            raise error
        except Exception as cause:
            raise ValueError("the table could not be written") from cause

    why = f"no space is left for {tmp_path}.* MiB are free"
    with pytest.raises(StorageError, match=why) as raised, storage_guard(tmp_path):
        later()
    assert raised.value.kept
    assert "nofx compact" in (raised.value.hint or "")
    assert "no space" in (said_of_storage(f"Traceback\n{error}", tmp_path) or "")


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    ours = LakeError("no space left on device is what this table is called")
    for error in (ValueError("No such thing"), FileNotFoundError(errno.ENOENT, "none", "x"), ours):
        with pytest.raises(type(error)) as raised, storage_guard(tmp_path):
            raise error
        assert raised.value is error
    assert storage_error(PermissionError(errno.EACCES, "denied", str(tmp_path / "a.csv")), tmp_path) is None
    assert said_of_storage("ValueError: nothing of the kind", tmp_path) is None
    assert require_writable(tmp_path / "new" / "home") == tmp_path / "new" / "home"


def test_a_folder_that_cannot_be_written_is_refused_with_what_to_do() -> None:
    home = Path("/proc/home")
    with pytest.raises(StorageError, match="/proc/home cannot be written") as raised:
        require_writable(home)
    assert "nofx run --home ELSEWHERE" in str(raised.value)
    found = storage_error(OSError(errno.EROFS, os.strerror(errno.EROFS), "/proc/home/x"), home)
    assert "/proc/home/x cannot be written" in str(found)

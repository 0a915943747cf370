"""A stage is computed by one process at a time, and by none whose run has ended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from nofx_pipelines.file_lock import file_lock
from nofx_pipelines.processes import PROCESS_TAG, ProcessId, end_with

_watched: set[str] = set()


@contextmanager
def alone(context: dg.AssetExecutionContext, home: Path) -> Iterator[None]:
    """Hold the lock of the context's asset in ``home``: another run that computes it is waited for.

    What that one wrote is then fresh, so two runs share the work. A step in a process of its own ends soon
    after the process of its run.
    """
    _end_with_run(context)
    key = context.asset_key.path
    with file_lock(home / "locks" / f"{'.'.join(key)}.lock", f"stage {'/'.join(key)}"):
        yield


def _end_with_run(context: dg.AssetExecutionContext) -> None:
    run_id = context.run.run_id
    run = context.instance.get_run_by_id(run_id)  # the context's own was read before its tags were written
    process = ProcessId.parse(run.tags.get(PROCESS_TAG, "")) if run else None
    if process is None or process.pid == os.getpid() or run_id in _watched:
        return
    _watched.add(run_id)
    end_with(lambda: process.life() != "gone")

"""What a run of ``nofx run`` waits for in a pool: said after a few seconds, ended at the limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nofx_pipelines.cli.dead_runs import recover
from nofx_pipelines.file_lock import wait_limit_s
from nofx_pipelines.processes import PROCESS_TAG, ProcessId

if TYPE_CHECKING:
    from dagster import DagsterInstance

SILENT_S = 5.0
_AGAIN_S = 60.0
_LOOK_S = 2.0


@dataclass(frozen=True)
class PoolWait:
    """A step of one run that has no slot of its pool yet."""

    step: str
    pool: str
    since: datetime
    holders: tuple[str, ...]

    @property
    def shown(self) -> str:
        """For what, on whom and since when."""
        by = "; ".join(self.holders) or "nobody (it is given next)"
        return f"waiting for a slot of pool {self.pool} since {self.since:%H:%M:%S} UTC, held by {by}"


def pool_waits(instance: DagsterInstance, run_id: str) -> list[PoolWait]:
    """The steps of ``run_id`` that wait for a slot, and who holds the slots."""
    storage = instance.event_log_storage
    waits = []
    for pool in sorted(storage.get_concurrency_keys()):
        info = storage.get_concurrency_info(pool)
        holders = tuple(_holder(instance, slot.run_id, slot.step_key) for slot in info.claimed_slots)
        waits += [
            PoolWait(step.step_key, pool, step.enqueued_timestamp, holders)
            for step in info.pending_steps
            if step.run_id == run_id and step.assigned_timestamp is None
        ]
    return waits


def _holder(instance: DagsterInstance, run_id: str, step: str) -> str:
    run = instance.get_run_by_id(run_id)
    process = ProcessId.parse(run.tags.get(PROCESS_TAG, "")) if run else None
    by = f", process {process.pid} on {process.host}" if process else ""
    return f"run {run_id[:8]} ({step.replace('__', '/', 1)}{by})"


@contextmanager
def watched_pools(
    instance: DagsterInstance, run_id: str, tell: Callable[[str, str], None], end: Callable[[str], None]
) -> Iterator[None]:
    """While the block runs, ``tell(step, message)`` of waits for a pool, and ``end(message)`` past the limit.

    Runs that die while they are waited for are ended, so that their slots come free.
    """
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(instance, run_id, tell, end, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_AGAIN_S)


def _watch(
    instance: DagsterInstance,
    run_id: str,
    tell: Callable[[str, str], None],
    end: Callable[[str], None],
    done: threading.Event,
) -> None:
    began: dict[str, float] = {}
    said: dict[str, float] = {}
    limit = wait_limit_s()
    while not done.wait(_LOOK_S):
        waits, now = {wait.step: wait for wait in pool_waits(instance, run_id)}, time.monotonic()
        began = {step: began.get(step, now) for step in waits}
        for step, wait in waits.items():
            if now - began[step] >= limit:
                end(f"{wait.shown}; given up after {limit:.0f} s (NOFX_WAIT_LIMIT_S)")
                return
            if now - began[step] >= SILENT_S and now - said.get(step, -_AGAIN_S) >= _AGAIN_S:
                said[step] = now
                tell(step, wait.shown)
        if waits:
            for line in recover(instance):
                tell(next(iter(waits)), line)

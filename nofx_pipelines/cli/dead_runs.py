"""Runs that nobody executes any more: found, reported failed, their slots of the pools given back.

A run belongs to a process (`processes.PROCESS_TAG`, or the number in its first events). Where that is gone,
Dagster's records say STARTED for ever, its slots stay taken and its backfill waits; nothing in Dagster's
default set-up looks. `nofx run` and `nofx ui` do when they start, the UI as long as it runs, and
`nofx doctor --repair` when it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nofx_pipelines.file_lock import file_lock
from nofx_pipelines.processes import PROCESS_TAG, ProcessId, started_before

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun, RunRecord

START_LIMIT_S = 180.0
"""A run without a process of its own is given so long to get one, as long as something serves the home."""
_HEARTBEAT_S = 60.0
_LOCK_LIMIT_S = 120.0


@dataclass(frozen=True)
class DeadRun:
    """A run that no process executes or will execute, and why that is known."""

    run: DagsterRun
    reason: str

    @property
    def shown(self) -> str:
        """The run for people: its job, its id's beginning and its status."""
        return f"run {self.run.run_id[:8]} of {self.run.job_name} ({self.run.status.value})"


def dead_runs(instance: DagsterInstance, *, launches: bool | None = None) -> list[DeadRun]:
    """The runs of ``instance`` that are not finished and never will be.

    ``launches``: whether a daemon launches queued runs; None looks for one (`daemon_lives`).
    """
    from dagster import DagsterRunStatus, RunsFilter

    waiting = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING]
    working = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    records = instance.get_run_records(RunsFilter(statuses=[*waiting, *working]))
    if launches is None:
        launches = bool(records) and daemon_lives(instance)
    found = []
    for record in records:
        reason = _why_dead(instance, record, launches)
        if reason is not None:
            found.append(DeadRun(record.dagster_run, reason))
    return found


def _why_dead(instance: DagsterInstance, record: RunRecord, launches: bool) -> str | None:
    from dagster import DagsterRunStatus

    run = record.dagster_run
    if run.status == DagsterRunStatus.QUEUED:
        return None if launches else "nothing launches queued runs: no nofx ui runs on this home"
    process = ProcessId.parse(run.tags.get(PROCESS_TAG, ""))
    if process is not None:
        return f"its process {process.pid} is gone" if process.life() == "gone" else None
    seen = _seen(instance, run)
    if seen is not None:
        return None if started_before(*seen) else f"its process {seen[0]} is gone"
    waits = time.time() - record.create_timestamp.timestamp()
    if launches and waits < START_LIMIT_S:
        return None
    return f"no process took it up in {waits:.0f} s"


def _seen(instance: DagsterInstance, run: DagsterRun) -> tuple[int, float] | None:
    """The number of the process that said it executes ``run``, and when it said so (seconds since 1970)."""
    from dagster import DagsterEventType

    seen = None
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is None or event.step_key is not None:
            continue
        number = event.engine_event_data.metadata.get("pid")
        if number is not None and str(number.value).isdigit():
            seen = (int(str(number.value)), entry.timestamp)
    return seen


def recover(instance: DagsterInstance, *, launches: bool | None = None) -> list[str]:
    """End what nobody executes, free what it held, and say what was done, a line each.

    Parameters
    ----------
    instance
        Dagster's, of one home.
    launches
        Whether a daemon launches queued runs and goes on with backfills; None looks for one.
    """
    with file_lock(
        Path(instance.root_directory) / "recovery.lock", "the search for dead runs", limit_s=_LOCK_LIMIT_S
    ):
        if launches is None:
            launches = daemon_lives(instance)
        return [
            *_end_runs(instance, launches),
            *_free_slots(instance),
            *([] if launches else _end_backfills(instance)),
        ]


def _end_runs(instance: DagsterInstance, launches: bool) -> Iterator[str]:
    from dagster import DagsterRunStatus

    for dead in dead_runs(instance, launches=launches):
        message = f"Ended by nofx: {dead.reason}. What it committed stays."
        if dead.run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(dead.run, message)
            outcome = "canceled"
        else:
            instance.report_run_failed(dead.run, message)
            outcome = "failed"
        yield f"{dead.shown}: {dead.reason}; reported {outcome}"


def leaked_slots(instance: DagsterInstance) -> dict[str, list[str]]:
    """By run, the steps that hold or await a slot of a pool though their run has ended or never was."""
    storage = instance.event_log_storage
    found: dict[str, list[str]] = {}
    for pool in sorted(storage.get_concurrency_keys()):
        info = storage.get_concurrency_info(pool)
        steps = [(slot.run_id, slot.step_key) for slot in info.claimed_slots]
        steps += [(step.run_id, step.step_key) for step in info.pending_steps]
        for run_id, step in steps:
            found.setdefault(run_id, []).append(f"{step} in pool {pool}")
    return {run_id: sorted(set(steps)) for run_id, steps in found.items() if _ended(instance, run_id)}


def _ended(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _free_slots(instance: DagsterInstance) -> Iterator[str]:
    for run_id, steps in leaked_slots(instance).items():
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        yield f"run {run_id[:8]}: gave back {', '.join(steps)}"


def waiting_backfills(instance: DagsterInstance) -> list[str]:
    """The ids of backfills that are not finished."""
    return [each.backfill_id for each in _open_backfills(instance)]


def _open_backfills(instance: DagsterInstance) -> list:  # type: ignore[type-arg]
    from dagster._core.execution.backfill import (
        BULK_ACTION_TERMINAL_STATUSES,
        BulkActionsFilter,
        BulkActionStatus,
    )

    statuses = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    return list(instance.get_backfills(filters=BulkActionsFilter(statuses=statuses)))


def _end_backfills(instance: DagsterInstance) -> Iterator[str]:
    """Fail backfills that no daemon goes on with; one that runs resumes them by itself."""
    from dagster._core.execution.backfill import BulkActionStatus
    from dagster_shared.error import SerializableErrorInfo

    for backfill in _open_backfills(instance):
        reason = "no daemon goes on with it: no nofx ui runs on this home"
        error = SerializableErrorInfo(f"Ended by nofx: {reason}. What its runs committed stays.", [], None)
        ended = backfill.with_status(BulkActionStatus.FAILED).with_error(error)
        instance.update_backfill(ended.with_end_timestamp(time.time()))
        yield f"backfill {backfill.backfill_id} ({backfill.status.value}): {reason}; reported failed"


def daemon_lives(instance: DagsterInstance) -> bool:
    """Whether a Dagster daemon works on this home: what launches queued runs and goes on with backfills.

    By the processes of this machine; where it does not show them, by the daemon's last heartbeat.
    """
    proc = Path("/proc")
    if proc.joinpath("self", "environ").exists():
        home = f"DAGSTER_HOME={instance.root_directory}".encode()
        return any(_is_daemon(entry, home) for entry in proc.iterdir() if entry.name.isdigit())
    beats = instance.get_daemon_heartbeats().values()
    return any(time.time() - beat.timestamp < _HEARTBEAT_S for beat in beats)


def _is_daemon(entry: Path, home: bytes) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        named = any(word in (b"dagster._daemon", b"dagster-daemon", b"dagster.daemon") for word in words)
        named = named or any(word.endswith(b"/dagster-daemon") for word in words)
        return named and home in (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended, or belongs to somebody else

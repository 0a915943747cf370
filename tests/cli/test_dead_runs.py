"""Runs whose process is gone, slots without a run, runs and backfills that nothing goes on with."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.dead_runs import daemon_lives, dead_runs, leaked_slots, recover, waiting_backfills
from nofx_pipelines.processes import PROCESS_TAG, ProcessId
from resources.run_launcher import WatchedRunLauncher

WORK = """
import sys, time
import dagster as dg
from nofx_pipelines.processes import PROCESS_TAG, ProcessId

@dg.op(pool="gpu")
def heavy():
    print("working", flush=True)
    time.sleep(600)

@dg.job
def work():
    heavy()

tags = {PROCESS_TAG: ProcessId.own().text} if sys.argv[2] == "tagged" else {}
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    work.execute_in_process(instance=instance, tags=tags)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # put back after the test
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(tmp_path))) as opened:
        yield opened


@dg.op
def nothing() -> None: ...


@dg.job
def idle() -> None:
    nothing()


ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("localhost", 1, location_name="nofx"), "r"), "idle"
)


def idle_origin() -> JobPythonOrigin:
    pointer = ModuleCodePointer("nofx_pipelines.definitions", "defs")
    return JobPythonOrigin("idle", RepositoryPythonOrigin(sys.executable, pointer))


def a_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, process: ProcessId | None = None) -> str:
    tags = {PROCESS_TAG: process.text} if process else {}
    return instance.create_run_for_job(
        idle, status=status, tags=tags, remote_job_origin=ORIGIN, job_code_origin=idle_origin()
    ).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("named", ["tagged", "untagged"])
def test_a_killed_run_is_ended_and_gives_its_slot_back(instance: dg.DagsterInstance, named: str) -> None:
    """Untagged, as homes of earlier versions have them, it is known by its first events."""
    with subprocess.Popen(
        [sys.executable, "-c", WORK, instance.root_directory, named], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        (run,) = instance.get_runs()
        assert dead_runs(instance) == []
        assert recover(instance) == []
        assert [slot.run_id for slot in instance.event_log_storage.get_concurrency_info("gpu").claimed_slots]
        process.kill()
    (dead,) = dead_runs(instance)
    assert dead.reason == f"its process {process.pid} is gone"
    ended, freed = recover(instance, launches=True)
    assert ended.startswith(f"run {run.run_id[:8]} of work (STARTED): its process {process.pid} is gone")
    assert freed == f"run {run.run_id[:8]}: gave back heavy in pool gpu"
    assert status_of(instance, run.run_id) == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("gpu").claimed_slots == []
    assert recover(instance) == []


def test_who_lives_is_left_alone(instance: dg.DagsterInstance) -> None:
    mine = a_run(instance, dg.DagsterRunStatus.STARTED, ProcessId.own())
    theirs = a_run(instance, dg.DagsterRunStatus.STARTED, ProcessId("another machine", "", 1, "1"))
    done = a_run(instance, dg.DagsterRunStatus.SUCCESS, ProcessId("h", "b", 1, "1"))
    assert recover(instance) == []
    assert {status_of(instance, run) for run in (mine, theirs)} == {dg.DagsterRunStatus.STARTED}
    assert status_of(instance, done) == dg.DagsterRunStatus.SUCCESS


def test_a_run_that_was_being_canceled_is_canceled(instance: dg.DagsterInstance) -> None:
    gone = ProcessId(ProcessId.own().host, "before the reboot", 1, "1")
    run = a_run(instance, dg.DagsterRunStatus.CANCELING, gone)
    recover(instance)
    assert status_of(instance, run) == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "STARTING"])
def test_what_nobody_launches_is_ended_unless_a_daemon_does(
    instance: dg.DagsterInstance, status: str
) -> None:
    run = a_run(instance, dg.DagsterRunStatus[status])
    assert recover(instance, launches=True) == []
    assert not daemon_lives(instance)
    assert len(recover(instance)) == 1
    assert status_of(instance, run) == dg.DagsterRunStatus.FAILURE


def test_a_slot_of_a_run_that_ended_comes_free(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    run, other = a_run(instance, dg.DagsterRunStatus.STARTED, ProcessId.own()), "gone"
    storage.set_concurrency_slots("gpu", 2)
    for run_id in (other, run):
        storage.claim_concurrency_slot("gpu", run_id, "heavy")
    assert leaked_slots(instance) == {other: ["heavy in pool gpu"]}
    assert recover(instance) == ["run gone: gave back heavy in pool gpu"]
    assert [slot.run_id for slot in storage.get_concurrency_info("gpu").claimed_slots] == [run]


def test_a_backfill_without_a_daemon_is_failed_by_name(instance: dg.DagsterInstance) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id="march",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=time.time(),
            asset_selection=[dg.AssetKey(["cn", "bars"])],
        )
    )
    assert recover(instance, launches=True) == []
    assert waiting_backfills(instance) == ["march"]
    (line,) = recover(instance)
    assert line.startswith("backfill march (REQUESTED): no daemon goes on with it")
    assert waiting_backfills(instance) == []


def test_run_monitoring_asks_about_the_process(instance: dg.DagsterInstance) -> None:
    """The launcher that ``dagster.yaml`` names, as Dagster's own daemon uses it."""
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    assert instance.run_monitoring_enabled
    gone = ProcessId(ProcessId.own().host, "before the reboot", 7, "1")
    states = {}
    for name, process in (("gone", gone), ("own", ProcessId.own()), ("unknown", None)):
        run = instance.get_run_by_id(a_run(instance, dg.DagsterRunStatus.STARTED, process))
        assert run is not None
        states[name] = launcher.check_run_worker_health(run).status.value
    assert states == {"gone": "NOT_FOUND", "own": "RUNNING", "unknown": "RUNNING"}

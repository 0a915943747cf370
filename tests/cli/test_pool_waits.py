"""A run that waits for a slot of a pool says on whom, goes on when they are gone, and ends at the limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from nofx_pipelines.cli import pool_waits as module
from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.pool_waits import pool_waits, watched_pools
from nofx_pipelines.processes import PROCESS_TAG, ProcessId


@dg.job
def idle() -> None: ...


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("NOFX_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # put back after the test
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(tmp_path))) as opened:
        opened.event_log_storage.set_concurrency_slots("gpu", 1)
        yield opened


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    monkeypatch.setattr(module, "_LOOK_S", 0.05)


def a_run(instance: dg.DagsterInstance, process: ProcessId) -> str:
    return instance.create_run_for_job(
        idle, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process.text}
    ).run_id


def test_a_wait_for_a_pool_names_who_holds_it(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    first = a_run(instance, ProcessId.own())
    second = a_run(instance, ProcessId.own())
    storage.claim_concurrency_slot("gpu", first, "cn__hpo_study")
    assert pool_waits(instance, second) == []
    storage.claim_concurrency_slot("gpu", second, "cn__nas_search")
    (wait,) = pool_waits(instance, second)
    assert wait.step == "cn__nas_search"
    holder = f"run {first[:8]} (cn/hpo_study, process {ProcessId.own().pid} on {ProcessId.own().host})"
    assert wait.shown.startswith("waiting for a slot of pool gpu since ")
    assert wait.shown.endswith(f" UTC, held by {holder}")


@pytest.mark.usefixtures("at_once")
def test_a_holder_that_is_gone_is_ended_while_it_is_waited_for(instance: dg.DagsterInstance) -> None:
    storage, own = instance.event_log_storage, ProcessId.own()
    dead, mine = a_run(instance, ProcessId(own.host, "before the reboot", 7, "1")), a_run(instance, own)
    storage.claim_concurrency_slot("gpu", dead, "cn__hpo_study")
    storage.claim_concurrency_slot("gpu", mine, "cn__nas_search")
    said: list[str] = []
    ended = threading.Event()

    def tell(step: str, message: str) -> None:
        assert step == "cn__nas_search"
        said.append(message)
        if "gave back" in message:
            ended.set()

    with watched_pools(instance, mine, tell, pytest.fail):
        assert ended.wait(30)
    assert "held by run " in said[0]
    assert f"run {dead[:8]} of idle (STARTED): its process 7 is gone; reported failed" in said[1]
    assert storage.get_concurrency_info("gpu").claimed_slots == []


@pytest.mark.usefixtures("at_once")
def test_the_wait_has_an_end(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOFX_WAIT_LIMIT_S", "0.2")
    storage, own = instance.event_log_storage, ProcessId.own()
    first, second = a_run(instance, own), a_run(instance, own)
    storage.claim_concurrency_slot("gpu", first, "cn__hpo_study")
    storage.claim_concurrency_slot("gpu", second, "cn__nas_search")
    given_up: list[str] = []
    over = threading.Event()

    def end(message: str) -> None:
        given_up.append(message)
        over.set()

    with watched_pools(instance, second, lambda *_: None, end):
        assert over.wait(30)
    assert len(given_up) == 1
    assert given_up[0].endswith("given up after 0 s (NOFX_WAIT_LIMIT_S)")
    assert f"run {first[:8]} (cn/hpo_study" in given_up[0]

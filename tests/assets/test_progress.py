"""What the command line says of a stage that failed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import dagster as dg
import pytest

from assets.progress import _failure, _StageEvents
from nofx_pipelines.errors import FeatureError


def failed(error: Exception, cause: Exception | None) -> dg.DagsterEvent:
    """The event of a step that raised."""

    @dg.op
    def step() -> None:
        raise error from cause

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(raise_on_error=False)
    return next(event for event in result.all_events if event.is_step_failure)


@pytest.mark.parametrize("cause", [None, ConnectionError("refused")])
def test_our_own_error_is_said_with_what_is_next(cause: Exception | None) -> None:
    error = FeatureError("redis://a:1 does not answer", kept="vectors stay", hint="set NOFX_REDIS_URL")
    said = _failure(failed(error, cause))
    assert "redis://a:1 does not answer; vectors stay. Next: set NOFX_REDIS_URL" in said


def test_only_events_reach_standard_output_once_they_are_separate() -> None:
    code = (
        "import os\n"
        "from assets.progress import separate_events, write_event\n"
        "separate_events()\n"
        "print('a plug-in')\n"
        "os.write(1, b'a library')\n"
        "write_event({'event': 'fresh', 'stage': 'cn/bars'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"event": "fresh", "stage": "cn/bars"}
    assert "a plug-in" in done.stderr
    assert "a library" in done.stderr


def told(events: list[dg.DagsterEvent], capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The lines that the command line reads of these events."""
    handler = _StageEvents()
    for event in events:
        record = logging.LogRecord("dagster", logging.INFO, __file__, 1, "", None, None)
        record.dagster_event = event
        handler.emit(record)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_what_a_check_measured_is_said_where_it_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    specs = [dg.AssetCheckSpec(name, asset=["cn", "bars"], blocking=True) for name in ("gaps", "order")]

    @dg.asset(key=["cn", "bars"], check_specs=specs)
    def bars() -> dg.MaterializeResult:
        facts = {"missing": 3, "worst": "CN.SSE.600519"}
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(passed=False, check_name="gaps", metadata=facts),
                dg.AssetCheckResult(passed=True, check_name="order", metadata={"swapped": 0}),
            ]
        )

    result = dg.materialize([bars], raise_on_error=False)
    lines = told(result.all_events, capsys)
    (failure,) = [line for line in lines if line["event"] == "failed"]
    assert failure["stage"] == "cn/bars"
    assert str(failure["message"]).endswith("; check gaps: missing = 3, worst = CN.SSE.600519")
    assert "order" not in str(failure["message"]).rpartition("; ")[2]


def test_a_check_that_warns_and_problems_stand_beside_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @dg.asset(key=["cn", "bars"], check_specs=[dg.AssetCheckSpec("gaps", asset=["cn", "bars"])])
    def bars() -> dg.MaterializeResult:
        check = dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, check_name="gaps")
        return dg.MaterializeResult(metadata={"rows": 7, "problems": "x" * 300}, check_results=[check])

    (done,) = [line for line in told(dg.materialize([bars]).all_events, capsys) if line["event"] == "done"]
    assert (done["metadata"], done["checks"]) == ({"rows": 7, "problems": "x" * 300}, {"gaps": "warn"})


def test_of_others_the_first_cause() -> None:
    assert _failure(failed(RuntimeError("it did not work"), ConnectionError("refused"))).endswith("refused")

"""What the command line says of a stage that failed."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import pytest

from assets.progress import _failure
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


def test_of_others_the_first_cause() -> None:
    assert _failure(failed(RuntimeError("it did not work"), ConnectionError("refused"))).endswith("refused")

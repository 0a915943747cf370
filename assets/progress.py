"""A Dagster logger that shows only stage events, one JSON object a line.

`nofx run` reads the lines; everything else that Dagster logs goes to its own event log.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import dagster as dg
from dagster import DagsterEventType

NAME = "progress"
_events: TextIO | None = None
"""Where events go once `separate_events` was called; standard output before."""


def separate_events() -> None:
    """Keep standard output for events: what a library or a plug-in prints goes to standard error."""
    global _events
    if _events is None:
        sys.stdout.flush()
        _events = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)


def write_event(event: Mapping[str, Any]) -> None:
    """One JSON object on a line, at once."""
    stream = _events or sys.stdout
    stream.write(json.dumps(event, default=str) + "\n")
    stream.flush()


class _StageEvents(logging.Handler):
    """Collects a step's metadata and checks, and prints a line when it starts and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[str, float] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.checks: dict[str, dict[str, str]] = {}
        self.found: dict[str, list[str]] = {}
        """What checks that did not pass say, for a step that they block."""

    def emit(self, record: logging.LogRecord) -> None:
        event: dg.DagsterEvent | None = getattr(record, "dagster_event", None)
        if event is None or event.step_key is None:
            return
        step, kind = event.step_key, event.event_type
        if kind == DagsterEventType.STEP_START:
            self.started[step] = time.monotonic()
            self._say("start", step)
        elif kind == DagsterEventType.ASSET_MATERIALIZATION:
            found = event.step_materialization_data.materialization
            shown = {k: v.value for k, v in found.metadata.items() if _plain(v.value) or k == "problems"}
            self.metadata[step] = shown
        elif kind == DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            state = "passed" if check.passed else str(check.severity.value).lower()
            self.checks.setdefault(step, {})[check.check_name] = state
            if not check.passed:
                facts = ", ".join(f"{k} = {v.value}" for k, v in check.metadata.items())
                self.found.setdefault(step, []).append(f"check {check.check_name}: {facts}")
        elif kind == DagsterEventType.STEP_SUCCESS:
            self._say("done", step)
        elif kind == DagsterEventType.STEP_FAILURE:
            self._say("failed", step, message="; ".join([_failure(event), *self.found.get(step, [])]))

    def _say(self, event: str, step: str, **more: str) -> None:
        line = {"event": event, "stage": step.replace("__", "/", 1), **more}
        if event == "done":
            line["seconds"] = round(time.monotonic() - self.started[step], 2)  # type: ignore[assignment]
            line["metadata"] = self.metadata.get(step, {})  # type: ignore[assignment]
            line["checks"] = self.checks.get(step, {})  # type: ignore[assignment]
        write_event(line)


_OURS = "nofx_pipelines.errors."


def _plain(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and len(value) < 200)


def _failure(event: dg.DagsterEvent) -> str:
    """What went wrong: our own error, which says what was kept and what is next, else the first cause."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None and not error.message.startswith(_OURS):
        error = error.cause
    return error.message.strip() if error is not None else "the step failed"


@dg.logger({}, description="Stage events as JSON lines, for the command line")
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("nofx.progress")
    logger.addHandler(_StageEvents())
    return logger

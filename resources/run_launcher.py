"""Dagster's default launcher, which also knows whether a run's process still lives."""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from nofx_pipelines.processes import PROCESS_TAG, ProcessId


class WatchedRunLauncher(DefaultRunLauncher):
    """Named in ``dagster.yaml``: run monitoring asks it, and reports runs failed whose process is gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """NOT_FOUND for a run of this machine whose process is gone."""
        process = ProcessId.parse(run.tags.get(PROCESS_TAG, ""))
        if process is None or process.life() != "gone":
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its process {process.pid} is gone")

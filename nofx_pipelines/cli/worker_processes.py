"""The worker processes of one ``nofx run``: none outlives it, and none starts once it ends."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nofx_pipelines.cli.terminal import say
from nofx_pipelines.processes import GRACE_SECONDS, PARENT_VARIABLE, PROCESS_TAG, ProcessId, Terminated


class Workers:
    """Processes that work for this one, started from threads."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._processes: dict[subprocess.Popen[bytes], ProcessId | None] = {}
        self._lock = threading.Lock()
        self.ending = False

    def start(
        self, command: Sequence[str], errors: IO[bytes], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | None:
        """A process of ``command``; None once the run ends."""
        with self._lock:
            if self.ending:
                return None
            named = {**environment, PARENT_VARIABLE: ProcessId.own().text}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=named)
            self._processes[process] = ProcessId.of(process.pid)
            return process

    @contextmanager
    def ended_with_this_process(self) -> Iterator[None]:
        """Within the block, Ctrl-C and SIGTERM end every worker first: asked, then killed."""
        try:
            yield
        except (KeyboardInterrupt, Terminated):
            self.end()
            raise

    def end(self) -> None:
        """End the workers: their runs are asked to cancel, they get SIGTERM, and SIGKILL after a grace."""
        with self._lock:
            self.ending = True
        alive = [process for process in self._processes if process.poll() is None]
        if not alive:
            return
        say(f"ending {len(alive)} worker processes; what they committed stays")
        self._report_canceling({p.text for each in alive if (p := self._processes[each]) is not None})
        for process in alive:
            process.send_signal(signal.SIGTERM)
        for process in alive:
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._recover()

    def _report_canceling(self, processes: set[str]) -> None:
        """So that Dagster reports the interrupted runs canceled, not failed."""
        from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

        statuses = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
        with DagsterInstance.from_config(str(self._home / "dagster")) as instance:
            for run in instance.get_runs(RunsFilter(statuses=statuses)):
                if run.tags.get(PROCESS_TAG) in processes:
                    instance.report_run_canceling(run)

    def _recover(self) -> None:
        from dagster import DagsterInstance

        from nofx_pipelines.cli.dead_runs import recover

        with DagsterInstance.from_config(str(self._home / "dagster")) as instance:
            for line in recover(instance):
                say(f"ended: {line}")


@contextmanager
def raising_terminated() -> Iterator[None]:
    """Within the block, SIGTERM raises `Terminated`."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    raise Terminated

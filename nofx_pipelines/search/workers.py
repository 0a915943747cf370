"""Evaluating a batch of trials, here or in single-thread processes that may die.

A worker that dies, or holds a trial longer than its lease, is replaced and the trial goes to another one;
a trial that costs a second worker fails, and the others go on.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol

from nofx_pipelines.search.trials import Outcome, Trial

LEASE_SECONDS = 900.0
_ATTEMPTS = 2
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


class Evaluated(Protocol):
    """An objective: evaluates one trial, and can be written down for worker processes."""

    def evaluate(self, trial: Trial) -> Outcome:
        """The outcome of one trial; never raises."""

    def save(self, folder: Path) -> None:
        """Write what a worker's module loads."""


class Evaluator(Protocol):
    """Evaluates trials; the outcomes come in any order."""

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        """One outcome a trial."""


@dataclass(frozen=True)
class LocalEvaluator:
    """Evaluates in this process, one trial after the other."""

    objective: Evaluated

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        """One outcome a trial, in order."""
        for trial in trials:
            yield self.objective.evaluate(trial)


@dataclass(eq=False)
class _Worker:
    """A process and the trial that it holds."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[str]
    trial: Trial | None = None
    since: float = 0.0

    def ask(self, trial: Trial) -> None:
        assert self.process.stdin is not None
        self.trial, self.since = trial, time.monotonic()
        try:
            self.process.stdin.write(json.dumps(asdict(trial)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end shows on the other pipe, and the trial is asked again

    def last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else "nothing on its standard error"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what was still to be written to the dead


@dataclass(eq=False)
class SpawnedEvaluator:
    """Evaluates in ``count`` processes, each on one thread, that map the rows in ``folder``."""

    folder: Path
    count: int
    module: str
    """Run with ``python -m`` and the folder: loads the objective and serves it."""
    lease_seconds: float = LEASE_SECONDS
    _workers: list[_Worker] = field(default_factory=list)
    _started: int = 0

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        """One outcome a trial, as they come."""
        waiting, attempts = deque(trials), dict.fromkeys((trial.number for trial in trials), 0)
        while waiting or any(worker.trial for worker in self._workers):
            self._hand_out(waiting, attempts)
            for worker in self._ready():
                trial = worker.trial
                outcome = _answer(worker)
                if outcome is None and trial is not None:
                    outcome = self._bury(worker, trial, attempts[trial.number])
                    if outcome is None:
                        waiting.appendleft(trial)
                if outcome is not None:
                    yield outcome

    def _hand_out(self, waiting: deque[Trial], attempts: dict[int, int]) -> None:
        while waiting and len([w for w in self._workers if w.trial]) < self.count:
            free = next((w for w in self._workers if w.trial is None), None) or self._start()
            trial = waiting.popleft()
            attempts[trial.number] += 1
            free.ask(trial)

    def _ready(self) -> list[_Worker]:
        """Workers that answered, died, or outlived their lease (those are killed)."""
        busy = [worker for worker in self._workers if worker.trial]
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                assert worker.process.stdout is not None
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            oldest = min(worker.since for worker in busy)
            left = max(0.0, oldest + self.lease_seconds - time.monotonic())
            ready = [key.data for key, _ in selector.select(timeout=left)]
        if not ready:
            ready = [w for w in busy if time.monotonic() - w.since >= self.lease_seconds]
            for worker in ready:
                worker.process.kill()
        return ready

    def _bury(self, worker: _Worker, trial: Trial, attempts: int) -> Outcome | None:
        """Take a dead worker out; the failed outcome when its trial has had its attempts."""
        code, words = worker.process.wait(), worker.last_words()
        self._workers.remove(worker)
        worker.end()
        if attempts < _ATTEMPTS:
            return None
        reason = f"{attempts} workers died on it, the last with exit status {code}: {words}"
        return Outcome(trial.number, "FAIL", reason=reason, worker=worker.name)

    def _start(self) -> _Worker:
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the worker
        process = subprocess.Popen(
            [sys.executable, "-m", self.module, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        )
        worker = _Worker(f"worker-{self._started}", process, errors)
        self._started += 1
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """End every worker."""
        while self._workers:
            self._workers.pop().end()


def _answer(worker: _Worker) -> Outcome | None:
    """The outcome that a worker wrote, None when it died instead."""
    assert worker.process.stdout is not None
    line = worker.process.stdout.readline()
    if not line.endswith("\n"):
        return None
    worker.trial = None
    return replace(Outcome.from_dict(json.loads(line)), worker=worker.name)


@contextmanager
def evaluator(objective: Evaluated, workers: int, module: str) -> Iterator[Evaluator]:
    """An evaluator for ``workers`` processes of ``module``; one worker runs in this process."""
    if workers == 1:
        yield LocalEvaluator(objective)
        return
    with tempfile.TemporaryDirectory(prefix="nofx-study-") as name:
        objective.save(Path(name))
        spawned = SpawnedEvaluator(Path(name), workers, module)
        try:
            yield spawned
        finally:
            spawned.close()

from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest

from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.hpo.study import WORKER
from nofx_pipelines.search.fold_rows import study_rows
from nofx_pipelines.search.trials import Trial
from nofx_pipelines.search.workers import LocalEvaluator, SpawnedEvaluator, evaluator

NO_LIMIT = (None, None, None)


@pytest.fixture(scope="module")
def objective(plant):
    return Objective("gbdt", *study_rows(*plant(sessions=150)), 5, row_budget=10**9)


@pytest.fixture
def spawned(objective, tmp_path):
    objective.save(tmp_path)
    found = SpawnedEvaluator(tmp_path, 1, WORKER)
    yield found
    found.close()


def plain(outcomes):
    """Outcomes by number, without what depends on the machine."""
    return {o.number: dataclasses.replace(o, seconds=0, worker="") for o in outcomes}


def test_processes_answer_as_this_process_does(objective):
    trials = [Trial(n, {"trees": 8 + n}, NO_LIMIT) for n in range(4)] + [
        Trial(4, {"max_depth": -9}, NO_LIMIT)
    ]
    with evaluator(objective, 2, WORKER) as two:
        answers = list(two.evaluate(trials))
    assert plain(answers) == plain(LocalEvaluator(objective).evaluate(trials))
    assert {answer.worker for answer in answers} <= {"worker-0", "worker-1"}


def test_a_dead_worker_s_trial_goes_to_another(objective, spawned):
    (first,) = spawned.evaluate([Trial(0, {"trees": 5}, NO_LIMIT)])
    os.kill(spawned._workers[0].process.pid, signal.SIGKILL)
    (second,) = spawned.evaluate([Trial(1, {"trees": 5}, NO_LIMIT)])
    assert (first.worker, second.worker) == ("worker-0", "worker-1")
    assert second.steps == first.steps


def test_a_trial_that_costs_two_workers_fails_and_the_others_go_on(spawned):
    for file in spawned.folder.glob("y.npy"):
        file.unlink()  # every worker dies at its start
    answers = list(spawned.evaluate([Trial(0, {}, NO_LIMIT), Trial(1, {}, NO_LIMIT)]))
    assert sorted(answer.number for answer in answers) == [0, 1]
    assert {answer.state for answer in answers} == {"FAIL"}
    assert "2 workers died on it, the last with exit status 1" in answers[0].reason
    assert "y.npy" in answers[0].reason


def test_a_worker_that_hangs_loses_its_trial_after_the_lease(spawned):
    (first,) = spawned.evaluate([Trial(0, {"trees": 5}, NO_LIMIT)])
    hanging = spawned._workers[0].process
    os.kill(hanging.pid, signal.SIGSTOP)
    spawned.lease_seconds = 1.0
    waiting = spawned.evaluate([Trial(1, {"trees": 5}, NO_LIMIT)])
    original, spawned._start = spawned._start, lambda: _patient(spawned, original)
    (second,) = waiting
    assert hanging.poll() == -signal.SIGKILL
    assert (second.state, second.steps) == ("COMPLETE", first.steps)


def _patient(evaluator, start):
    evaluator.lease_seconds = 300.0  # the replacement has to import first
    return start()


def test_no_process_is_left_behind(objective):
    with evaluator(objective, 2, WORKER) as two:
        list(two.evaluate([Trial(n, {"trees": 3}, NO_LIMIT) for n in range(3)]))
        processes = [worker.process for worker in two._workers]
        folder = two.folder
    deadline = time.monotonic() + 10
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(process.poll() is not None for process in processes)
    assert not folder.exists()

"""TPE asks what Optuna's own study asks, and finds better than random search."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy.stats import wilcoxon

from nofx_pipelines.models.space import Parameter, SearchSpace
from nofx_pipelines.search.samplers import Observation, sampler, trial_seed
from nofx_pipelines.search.samplers.tpe import Tpe
from tests.search.samplers.test_samplers import SPACE, history

BOWL = SearchSpace("bowl", tuple(Parameter(name, "float", -1.0, 1.0) for name in "abc"), (1.0, 1.0, 1.0))


def test_it_asks_what_a_study_asks_that_went_through_the_same_trials() -> None:
    """The oracle: one study of Optuna's in memory, told trial by trial, with trials that still run."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, trials = optuna.create_study(direction="maximize"), history(20)
    for trial in trials:
        study.enqueue_trial(dict(trial.params))
        asked = study.ask(SPACE.distributions())
        for step, value in enumerate(trial.steps):
            asked.report(value, step)
        if trial.state != "RUNNING":
            value = trial.value if trial.state == "COMPLETE" else None  # of a pruned one its last step's
            study.tell(asked, value, state=optuna.trial.TrialState[trial.state])
    study.sampler = optuna.samplers.TPESampler(seed=trial_seed(7, 20), n_startup_trials=8)
    expected = study.ask(SPACE.distributions()).params
    assert Tpe().propose(SPACE, trials, 20, 7) == expected


def test_trials_that_still_run_count() -> None:
    trials = history(20)
    with_them, without = (
        [Tpe().propose(SPACE, part, 20, seed) for seed in range(10)] for part in (trials, trials[:-2])
    )
    assert with_them != without


def test_the_log_is_left_as_it_was() -> None:
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        Tpe().propose(SPACE, history(9), 9, 1)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)


def best(name: str, seed: int, trials: int = 40) -> float:
    """The best of a study of a bowl whose lowest point is 0 at (0.3, 0.3, 0.3)."""
    told: list[Observation] = []
    for number in range(trials):
        params = sampler(name).propose(BOWL, told, number, seed) if number else BOWL.first_params
        value = -sum((params[name] - 0.3) ** 2 for name in "abc")
        told.append(Observation(number, params, "COMPLETE", value, (value,)))
    return max(trial.value for trial in told)


def test_it_comes_nearer_to_the_best_than_random_search() -> None:
    """Two-sided signed-rank test over paired seeds."""
    modelled, drawn = (np.array([best(name, seed) for seed in range(15)]) for name in ("tpe", "random"))
    assert wilcoxon(modelled, drawn, alternative="two-sided").pvalue < 0.01
    assert modelled.mean() > drawn.mean()


@pytest.mark.parametrize("size", [1, 7])
def test_the_first_trials_are_at_random(size: int) -> None:
    """Whatever came of them."""
    trials = history(size)
    others = [Observation(t.number, SPACE.first_params, "COMPLETE", 9.0, (9.0,)) for t in trials]
    assert Tpe().propose(SPACE, trials, size, 3) == Tpe().propose(SPACE, others, size, 3)

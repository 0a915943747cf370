from __future__ import annotations

import numpy as np
import optuna
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.search.pruning import thresholds

STEPS = st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), min_size=0, max_size=20)


@given(STEPS, st.integers(1, 6))
def test_a_step_prunes_only_with_enough_trials_and_the_last_never(earlier, startup):
    found = thresholds(earlier, 4, quantile=0.25, startup=startup)
    assert len(found) == 4
    assert found[-1] is None
    for step, limit in enumerate(found[:-1]):
        reached = [steps[step] for steps in earlier if len(steps) > step]
        assert (limit is None) == (len(reached) < startup)
        if limit is not None:
            assert limit == np.quantile(reached, 0.25)
            assert min(reached) <= limit <= max(reached)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=15), st.floats(-1, 1))
def test_decides_as_optuna_s_percentile_pruner_does(earlier, score):
    """Optuna's own pruner on the same history, maximising, first step."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.PercentilePruner(75.0, n_startup_trials=5, n_warmup_steps=0)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for value in earlier:
        study.add_trial(optuna.trial.create_trial(value=value, intermediate_values={0: value}))
    trial = study.ask()
    trial.report(score, 0)
    limit = thresholds([[value, value] for value in earlier], 2, quantile=0.25, startup=5)[0]
    if abs(score - limit) > 1e-12:  # equal to rounding: either may be
        assert trial.should_prune() == (score < limit)

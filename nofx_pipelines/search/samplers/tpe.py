"""Optuna's multivariate TPE (Bergstra et al., NeurIPS 2011), told the whole history anew for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.models.space import SearchSpace, Value
from nofx_pipelines.search.optuna_log import quiet_optuna
from nofx_pipelines.search.samplers import Observation, trial_seed


@dataclass(frozen=True)
class Tpe:
    """Trials that still run count as bad ones, so that a batch does not ask the same twice."""

    startup: int = 8
    """Trials at random before the history is modelled."""

    def propose(
        self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int
    ) -> dict[str, Value]:
        """The next parameters, asked of a sampler with this trial's own seed."""
        import optuna

        model = optuna.samplers.TPESampler(seed=trial_seed(seed, number), n_startup_trials=self.startup)
        distributions = space.distributions()
        with quiet_optuna():
            study = optuna.create_study(direction="maximize", sampler=model)
            study.add_trials([_frozen(observation, distributions) for observation in history])
            params: dict[str, Value] = study.ask(distributions).params
        return params


def _frozen(observation: Observation, distributions: dict[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState[observation.state],
        value=observation.value,
        params=dict(observation.params),
        distributions=distributions,
        intermediate_values=dict(enumerate(observation.steps)),
    )


SAMPLER = Tpe()

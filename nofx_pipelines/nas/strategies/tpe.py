"""Optuna's TPE over the genes: each decision is suggested inside the trial, under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Observation, generator, unseen
from nofx_pipelines.search.optuna_log import quiet_optuna


@dataclass(frozen=True)
class Tpe:
    """Only genes that count are suggested, so the model is not taught by genes that do nothing."""

    start: int = 8

    def propose(self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int) -> Genotype:
        """The next genotype, asked of a sampler that knows the whole history."""
        import optuna

        rng = generator(seed, number)
        if len(history) < self.start:
            return unseen(space, space.random(rng), history, rng)
        sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)), n_startup_trials=0)
        with quiet_optuna():
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for trial in history:
                if trial.value is not None:
                    study.add_trial(_frozen(space, trial))
            proposal = _suggested(space, study.ask())
        return unseen(space, proposal, history, rng)


def _frozen(space: SearchSpace, trial: Observation) -> Any:
    """A trial as Optuna takes it: the genes that count."""
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    active = [(p, space.decisions[p]) for p in space.active(trial.genotype)]
    return create_trial(
        params={decision.name: trial.genotype[p] for p, decision in active},
        distributions={d.name: CategoricalDistribution(range(len(d.values))) for _, d in active},
        value=trial.value,
    )


def _suggested(space: SearchSpace, trial: object) -> Genotype:
    """Suggest gene by gene; a gene that does not count given the earlier ones is 0."""
    genes: list[int] = []
    values: dict[str, object] = {}
    for decision in space.decisions:
        gene = 0
        if decision.active(values):
            gene = trial.suggest_categorical(decision.name, range(len(decision.values)))  # type: ignore[attr-defined]
        genes.append(int(gene))
        values[decision.name] = decision.values[genes[-1]]
    return space.canonical(genes)


STRATEGY = Tpe()

"""Optuna's TPE over the genes: each decision is suggested inside the trial, under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Told, generator, unseen


@dataclass(frozen=True)
class Tpe:
    """Only genes that count are suggested, so the model is not taught by genes that do nothing."""

    start: int = 8

    def propose(self, space: SearchSpace, history: Sequence[Told], number: int, seed: int) -> Genotype:
        """The next genotype, asked of a sampler that was told the whole history."""
        import optuna
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import create_trial

        rng = generator(seed, number)
        if len(history) < self.start:
            return unseen(space, space.random(rng), history, rng)
        sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31)), n_startup_trials=0)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for told in history:
                if told.value is None:
                    continue
                active = space.active(told.genotype)
                study.add_trial(
                    create_trial(
                        params={space.decisions[p].name: told.genotype[p] for p in active},
                        distributions={
                            space.decisions[p].name: CategoricalDistribution(
                                range(len(space.decisions[p].values))
                            )
                            for p in active
                        },
                        value=told.value,
                    )
                )
            asked = _suggested(space, study.ask())
        finally:
            optuna.logging.set_verbosity(before)
        return unseen(space, asked, history, rng)


def _suggested(space: SearchSpace, trial: object) -> Genotype:
    """Suggest gene by gene; a gene that does not count given the earlier ones is 0."""
    genes: list[int] = []
    chosen: dict[str, object] = {}
    for decision in space.decisions:
        gene = 0
        if decision.active(chosen):
            gene = trial.suggest_categorical(decision.name, range(len(decision.values)))  # type: ignore[attr-defined]
        genes.append(int(gene))
        chosen[decision.name] = decision.values[genes[-1]]
    return space.canonical(genes)

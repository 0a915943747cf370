"""Regularised evolution (Real, Aggarwal, Huang & Le, AAAI 2019): the oldest dies, not the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Observation, generator, unseen
from nofx_pipelines.nas.strategies.mutations import mutate


@dataclass(frozen=True)
class Evolution:
    """A population of the last ``population`` trials; the best of ``sample`` of them has a child."""

    population: int = 20
    sample: int = 5
    start: int = 8
    """Random trials before the first child."""

    def propose(self, space: SearchSpace, history: Sequence[Observation], number: int, seed: int) -> Genotype:
        """A random genotype at the beginning, then a mutated parent."""
        rng = generator(seed, number)
        alive = [trial for trial in history if trial.value is not None][-self.population :]
        if len(history) < self.start or not alive:
            return unseen(space, space.random(rng), history, rng)
        sample = rng.choice(len(alive), size=min(self.sample, len(alive)), replace=False)
        parent = max((alive[int(k)] for k in sample), key=lambda trial: trial.value or 0.0)
        child = mutate(space, parent.genotype, rng)
        for _ in range(10):
            if child not in {trial.genotype for trial in history}:
                break
            child = mutate(space, child, rng)
        return child


STRATEGY = Evolution()

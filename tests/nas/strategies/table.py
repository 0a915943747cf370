"""A table that is known whole: every architecture of a small space and what it is worth, drawn once.

Its worth adds up over the genes that count, with pairs of neighbours, and falls with its size.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from nofx_pipelines.models.networks.shapes import total
from nofx_pipelines.nas.space import Genotype, SearchSpace
from nofx_pipelines.nas.strategies import Observation, Strategy

SPACE = SearchSpace(features=4, lookbacks=(1, 5), widths=(8,), depth=1)


@cache
def table() -> dict[Genotype, float]:
    """The worth of each of the space's architectures."""
    genotypes = {
        SPACE.canonical(genes)
        for genes in itertools.product(*(range(len(decision.values)) for decision in SPACE.decisions))
    }
    rng = np.random.default_rng(99)
    single = [rng.normal(size=len(decision.values)) for decision in SPACE.decisions]
    pairs = rng.normal(size=(len(SPACE.decisions), 8, 8)) * 0.5

    def worth(genotype: Genotype) -> float:
        active = SPACE.active(genotype)
        score = sum(single[p][genotype[p]] for p in active)
        score += sum(pairs[p, genotype[p], genotype[q]] for p, q in itertools.pairwise(active))
        return float(score - 0.1 * np.log(total(SPACE.decode(genotype))[0]))

    return {genotype: worth(genotype) for genotype in sorted(genotypes)}


def regret(chosen: Strategy, trials: int, seed: int) -> float:
    """(best of the table - best found) / (best of the table - median)."""
    worth, history = table(), list[Observation]()
    for number in range(trials):
        genotype = chosen.propose(SPACE, history, number, seed)
        history.append(Observation(genotype, worth[genotype]))
    best = max(worth.values())
    return (best - max(worth[trial.genotype] for trial in history)) / (
        best - float(np.median(list(worth.values())))
    )

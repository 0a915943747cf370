"""TPE on a table that is known whole, and what it suggests."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.nas.strategies import strategy
from nofx_pipelines.nas.strategies.tpe import _suggested
from tests.nas.strategies.table import regret

TRIALS, SEEDS = 50, 20


def test_it_comes_nearer_to_the_best_of_the_table_than_random_search() -> None:
    """Two-sided signed-rank test over paired seeds."""
    modelled, drawn = (
        np.array([regret(strategy(name), TRIALS, seed) for seed in range(SEEDS)])
        for name in ("tpe", "random")
    )
    assert wilcoxon(modelled, drawn, alternative="two-sided").pvalue < 0.05
    assert modelled.mean() < 0.8 * drawn.mean()


class _Trial:
    """Answers with the last value and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def suggest_categorical(self, name: str, choices: Any) -> int:
        self.asked.append(name)
        return int(choices[-1])


def test_only_genes_that_count_are_suggested_each_once_under_its_name() -> None:
    space, trial = SearchSpace(features=3, depth=2), _Trial()
    genotype = _suggested(space, trial)
    # the last operation is a bare skip: of its layers only the operation itself was decided
    assert trial.asked == ["lookback", "width", "depth", "readout", "op_0", "op_1"]
    assert genotype == space.canonical(genotype)

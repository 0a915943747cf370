"""Regularised evolution on a table that is known whole, and who may have a child."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from nofx_pipelines.nas.space import Genotype
from nofx_pipelines.nas.strategies import Observation, strategy
from nofx_pipelines.nas.strategies import evolution as module
from nofx_pipelines.nas.strategies.evolution import Evolution
from tests.nas.strategies.table import SPACE, regret, table

TRIALS, SEEDS = 100, 30


def test_it_comes_nearer_to_the_best_of_the_table_than_random_search() -> None:
    """Two-sided signed-rank test over paired seeds."""
    evolved, drawn = (
        np.array([regret(strategy(name), TRIALS, seed) for seed in range(SEEDS)])
        for name in ("evolution", "random")
    )
    assert wilcoxon(evolved, drawn, alternative="two-sided").pvalue < 0.01
    assert evolved.mean() < 0.75 * drawn.mean()


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[Genotype]:
    """The parents of the proposals that follow."""
    seen: list[Genotype] = []

    def mutate(_space: object, parent: Genotype, _rng: object) -> Genotype:
        seen.append(parent)
        return SPACE.canonical([0] * len(SPACE.decisions))

    monkeypatch.setattr(module, "mutate", mutate)
    return seen


def _history(values: list[float | None]) -> list[Observation]:
    return [Observation(genotype, value) for genotype, value in zip(list(table())[1:], values, strict=False)]


def test_the_oldest_dies_however_good_it_was(parents: list[Genotype]) -> None:
    history = _history([9.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    Evolution(population=5, sample=5, start=1).propose(SPACE, history, 6, 1)
    assert parents[0] == history[5].genotype
    parents.clear()
    Evolution(population=6, sample=6, start=1).propose(SPACE, history, 6, 1)
    assert parents[0] == history[0].genotype


def test_the_best_of_the_sample_has_the_child(parents: list[Genotype]) -> None:
    """Of p alive, the k-th best is the parent when it is drawn and no better one is."""
    history = _history([0.4, 0.1, 0.3, 0.2])
    for seed in range(400):
        Evolution(population=4, sample=2, start=1).propose(SPACE, history, 4, seed)
    first = parents[:: len(parents) // 400]
    shares = [first.count(trial.genotype) / len(first) for trial in history]
    assert shares == pytest.approx([3 / 6, 0.0, 2 / 6, 1 / 6], abs=0.08)


def test_failed_trials_have_no_children(parents: list[Genotype]) -> None:
    history = _history([None, 0.1, None, None])
    for seed in range(20):
        Evolution(population=4, sample=4, start=1).propose(SPACE, history, 4, seed)
    assert set(parents) == {history[1].genotype}


def test_negative_worth_is_worth_more_than_less(parents: list[Genotype]) -> None:
    history = _history([-0.5, 0.0, -0.1])
    Evolution(population=3, sample=3, start=1).propose(SPACE, history, 3, 1)
    assert parents[0] == history[1].genotype

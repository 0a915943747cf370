"""What every strategy holds to."""

from __future__ import annotations

import numpy as np
import pytest

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.nas.strategies import Told, strategy
from tests.nas.strategies.table import SPACE, table


@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
def test_a_proposal_depends_on_history_number_and_seed_only(name: str) -> None:
    rng = np.random.default_rng(1)
    history = [Told(g, table()[g]) for g in (SPACE.random(rng) for _ in range(15))]
    first = strategy(name).propose(SPACE, history, 15, 3)
    np.random.default_rng(5).random(100)
    assert strategy(name).propose(SPACE, list(history), 15, 3) == first
    assert len({strategy(name).propose(SPACE, history, 15, seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
def test_a_proposal_is_canonical_and_of_the_space(name: str) -> None:
    history: list[Told] = []
    for number in range(20):
        genotype = strategy(name).propose(SPACE, history, number, 4)
        history.append(Told(genotype, table()[genotype]))


@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
def test_failed_trials_and_repeats_do_no_harm(name: str) -> None:
    rng = np.random.default_rng(2)
    history = [Told(SPACE.random(rng), None) for _ in range(12)]
    assert strategy(name).propose(SPACE, history, 12, 1) not in {told.genotype for told in history}


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="no strategy 'grid'"):
        strategy("grid")

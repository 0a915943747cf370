"""Random search draws every gene evenly."""

from __future__ import annotations

from collections import Counter

from scipy.stats import chisquare

from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.nas.strategies import Observation
from nofx_pipelines.nas.strategies.random import RandomSearch

SPACE = SearchSpace(features=3, depth=2)


def test_every_value_is_as_likely_as_the_next() -> None:
    drawn = [RandomSearch().propose(SPACE, [], number, 3) for number in range(3_000)]
    for name in ("lookback", "width"):
        place = SPACE.places[name]
        counts = Counter(genotype[place] for genotype in drawn)
        assert len(counts) == len(SPACE.decisions[place].values)
        assert chisquare(list(counts.values())).pvalue > 0.001, name
    place = SPACE.places["activation_0"]
    counts = Counter(genotype[place] for genotype in drawn if place in SPACE.active(genotype))
    assert len(counts) == 8
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_nothing_is_proposed_twice_while_there_is_more() -> None:
    history: list[Observation] = []
    for number in range(300):
        history.append(Observation(RandomSearch().propose(SPACE, history, number, 5), 0.0))
    assert len({trial.genotype for trial in history}) == 300

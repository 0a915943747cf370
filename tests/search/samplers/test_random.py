"""Random search draws evenly, on the scale that the space says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from nofx_pipelines.models.space import Parameter, SearchSpace
from nofx_pipelines.search.samplers.random import RandomSampler, drawn

DRAWS = 3_000


def draws(parameter: Parameter) -> list:
    rng = np.random.default_rng(3)
    return [drawn(parameter, rng) for _ in range(DRAWS)]


def test_floats_are_even_between_their_bounds() -> None:
    values = np.array(draws(Parameter("x", "float", -2.0, 3.0)))
    assert kstest(values, "uniform", args=(-2.0, 5.0)).pvalue > 0.001


def test_floats_on_a_logarithmic_scale_are_even_in_their_logarithm() -> None:
    values = np.log10(draws(Parameter("x", "float", 0.001, 10.0, log=True)))
    assert kstest(values, "uniform", args=(-3.0, 4.0)).pvalue > 0.001


@pytest.mark.parametrize(
    "parameter",
    [Parameter("x", "int", -1, 4), Parameter("x", "choice", choices=("a", True, 3))],
    ids=lambda parameter: parameter.kind,
)
def test_every_value_is_as_likely_as_the_next_the_ends_too(parameter: Parameter) -> None:
    counts = Counter(map(repr, draws(parameter)))
    assert len(counts) == (6 if parameter.kind == "int" else 3)
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_whole_numbers_on_a_logarithmic_scale_follow_the_widths_of_their_steps() -> None:
    """A number k stands for [k - 1/2, k + 1/2)."""
    counts = Counter(draws(Parameter("x", "int", 1, 6, log=True)))
    edges = np.log(np.arange(1, 8) - 0.5)
    expected = np.diff(edges) / (edges[-1] - edges[0]) * DRAWS
    assert chisquare([counts[k] for k in range(1, 7)], expected).pvalue > 0.001


@given(
    st.integers(1, 50),
    st.integers(0, 50),
    st.booleans(),
    st.sampled_from(["int", "float"]),
    st.integers(0, 99),
)
def test_nothing_leaves_the_bounds(low: int, more: int, log: bool, kind: str, seed: int) -> None:
    parameter = Parameter("x", kind, low, low + more, log)  # type: ignore[arg-type]
    assert parameter.contains(drawn(parameter, np.random.default_rng(seed)))


def test_a_trial_s_parameters_do_not_depend_on_others() -> None:
    space = SearchSpace("one", (Parameter("x", "float", 0.0, 1.0),), (0.5,))
    alone = [RandomSampler().propose(space, [], number, 7) for number in range(50)]
    assert [RandomSampler().propose(space, [], number, 7) for number in reversed(range(50))] == alone[::-1]
    assert len({draw["x"] for draw in alone}) == 50

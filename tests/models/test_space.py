"""What may be chosen, and what is told of what may not."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models.families.gbdt import GbdtParams, gbdt_space
from nofx_pipelines.models.space import Parameter, SearchSpace

SPACE = SearchSpace(
    "small",
    (
        Parameter("depth", "int", 1, 9),
        Parameter("rate", "float", 0.01, 1.0, log=True),
        Parameter("loss", "choice", choices=("l1", "l2", True)),
    ),
    (3, 0.1, "l2"),
)


def test_the_space_is_hashable_and_its_digest_sees_every_bound():
    space = gbdt_space()
    assert hash(space) == hash(gbdt_space())
    assert space.digest() == gbdt_space().digest()
    wider = dataclasses.replace(space.parameters[0], high=500)
    assert SearchSpace("gbdt", (wider, *space.parameters[1:]), space.first).digest() != space.digest()


def test_the_first_trial_is_the_model_s_own_default():
    assert GbdtParams(**gbdt_space().first_params) == GbdtParams()


def test_optuna_draws_inside_every_bound():
    import optuna

    space, sampler = gbdt_space(), optuna.samplers.RandomSampler(seed=1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler)
    for _ in range(50):
        params = study.ask(space.distributions()).params
        assert space.why_outside(params) is None
        GbdtParams(**params)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "float", "low": 2.0, "high": 1.0},
        {"kind": "float", "low": 0.0, "high": 1.0, "log": True},
        {"kind": "float", "low": 0.0, "high": float("inf")},
        {"kind": "float", "low": float("nan"), "high": 1.0},
        {"kind": "int", "low": 0.5, "high": 3},
        {"kind": "choice"},
    ],
)
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ConfigError, match="parameter depth"):
        Parameter("depth", **wrong)


def test_a_first_trial_outside_the_space_is_refused():
    with pytest.raises(ConfigError, match="trees = 9 lies outside"):
        gbdt_space(GbdtParams(trees=9))


def test_two_parameters_of_one_name_and_a_lacking_first_value_are_refused():
    depth = Parameter("depth", "int", 1, 9)
    with pytest.raises(ConfigError, match="space twice has 1 names and 2 first values for 2 parameters"):
        SearchSpace("twice", (depth, depth), (3, 3))
    with pytest.raises(ConfigError, match="1 names and 0 first values"):
        SearchSpace("none", (depth,), ())


def test_a_choice_of_true_is_not_one():
    assert not Parameter("flag", "choice", choices=(True, False)).contains(1)
    assert not Parameter("trees", "int", 0, 9).contains(True)


@pytest.mark.parametrize("value", [2.5, 3.0, "3", None, np.int64(3), float("nan")])
def test_a_whole_number_is_an_int_and_nothing_else(value):
    assert not Parameter("trees", "int", 0, 9).contains(value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"depth": 10}, "depth = 10 lies outside depth (int, 1 to 9)"),
        ({"rate": float("nan")}, "rate = nan lies outside rate (float, 0.01 to 1)"),
        ({"loss": "l3"}, "loss = 'l3' lies outside loss (one of 'l1', 'l2', True)"),
        ({"leaves": 3}, "it has no parameter leaves; its parameters are depth (int, 1 to 9), "),
    ],
)
def test_what_lies_outside_is_named_with_its_bounds(changed, words):
    assert (SPACE.why_outside({**SPACE.first_params, **changed}) or "").startswith(words)


def test_a_parameter_that_is_missing_is_named():
    assert (SPACE.why_outside({"depth": 2, "loss": "l1"}) or "").startswith("rate is missing; ")


@given(st.integers(-2, 12), st.floats(-1, 2), st.sampled_from(["l1", "l2", True, False, 1]))
def test_inside_is_what_every_parameter_contains(depth, rate, loss):
    params = {"depth": depth, "rate": rate, "loss": loss}
    inside = all(parameter.contains(params[parameter.name]) for parameter in SPACE.parameters)
    assert (SPACE.why_outside(params) is None) == inside


def test_numbers_keep_their_place_in_json():
    assert json.loads(json.dumps(SPACE.first_params)) == SPACE.first_params


def test_a_space_is_made_without_optuna():
    code = (
        "import nofx_pipelines.models.families.gbdt as g, sys; g.gbdt_space(); print('optuna' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

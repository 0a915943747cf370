from __future__ import annotations

import dataclasses

import pytest

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.hpo.space import Parameter, SearchSpace, gbdt_space
from nofx_pipelines.models.families.gbdt import GbdtParams


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
        assert all(parameter.contains(params[parameter.name]) for parameter in space.parameters)
        GbdtParams(**params)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "float", "low": 2.0, "high": 1.0},
        {"kind": "float", "low": 0.0, "high": 1.0, "log": True},
        {"kind": "choice"},
    ],
)
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ConfigError, match="parameter depth"):
        Parameter("depth", **wrong)


def test_a_first_trial_outside_the_space_is_refused():
    with pytest.raises(ConfigError, match="trees = 9 lies outside"):
        gbdt_space(GbdtParams(trees=9))


def test_a_choice_of_true_is_not_one():
    assert not Parameter("flag", "choice", choices=(True, False)).contains(1)
    assert not Parameter("trees", "int", 0, 9).contains(True)

"""What families share: parameters by name, and fits that share work."""

from __future__ import annotations

import pytest

from nofx_pipelines.errors import ConfigError
from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.models.families import family
from nofx_pipelines.models.families.ridge import RidgeParams
from nofx_pipelines.models.family import RowsFitter, fitter, params_of


@pytest.fixture(scope="module")
def data(plant):
    return from_frame(plant(sessions=80)[0])


def test_what_is_not_named_keeps_its_default():
    assert params_of(RidgeParams, {"target": "return"}, "ridge") == RidgeParams(0.3, "return")


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"ridge has no parameter alpha, beta. Next: use penalty, target"):
        params_of(RidgeParams, {"beta": 1, "alpha": 1, "penalty": 2.0}, "ridge")


@pytest.mark.parametrize("name", ["ridge", "gbdt"])
def test_a_fitter_gives_what_a_fit_gives_bit_for_bit(name, data):
    """Whatever was fitted before: a second fit of other parameters in between."""
    member, params = family(name), {"gbdt": {"trees": 12, "max_depth": 2}, "ridge": {"penalty": 1.0}}[name]
    of_rows = fitter(member, data)
    first = of_rows.fit(params, 5)
    of_rows.fit({}, 6)
    again = of_rows.fit(params, 5)
    whole = member.fit(data, params, 5, "cpu")
    assert first.to_onnx() == again.to_onnx() == whole.to_onnx()
    assert (first.predict(data.x) == whole.predict(data.x)).all()


def test_only_a_family_with_a_way_of_its_own_shares_work(data):
    assert isinstance(fitter(family("ridge"), data), RowsFitter)
    of_rows = fitter(family("gbdt"), data)
    first, second = (of_rows.fit({"trees": trees}, 1) for trees in (5, 9))
    assert first.linear is second.linear  # one ridge for the trials of a fold
    for params in ({"trees": 5, "crosses": False}, {"trees": 5, "target": "return"}):
        other = of_rows.fit(params, 1)
        assert other.linear is not first.linear
        assert (other.predict(data.x) == family("gbdt").fit(data, params, 1, "cpu").predict(data.x)).all()

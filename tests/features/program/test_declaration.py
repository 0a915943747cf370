"""Features and sets of them."""

import pytest

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import Feature, FeatureSet, close, ema, feature_set, high, ref


def feature(name: str, unit: str = "price") -> Feature:
    return Feature(name, close, unit, "For a test.", False)


@pytest.mark.parametrize("name", ["_x", "2x", "a b", "", "version", "ts_close", "x" * 64, "a'; drop"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(FeatureError, match="feature name"):
        feature(name)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(FeatureError, match="unit 'parsec' of feature a"):
        feature("a", "parsec")


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"declares \['a'\] more than once"):
        FeatureSet("s", (feature("a"), feature("a")))


def test_sets_compose_and_share_equal_features() -> None:
    a, b = feature("a"), Feature("b", ema(high, 3), "price", "For a test.", True)
    both = FeatureSet("x", (a,)) + FeatureSet("y", (a, b))
    assert both.columns == ("a", "b")
    assert both.scale_free == ("b",)
    assert both.version == (FeatureSet("y", (b,)) + FeatureSet("x", (a,))).version
    with pytest.raises(FeatureError, match="more than once"):
        FeatureSet("x", (a,)) + FeatureSet("y", (Feature("a", ref(close, 1), "price", "Other.", False),))


def test_a_feature_by_name() -> None:
    technical = feature_set("technical")
    assert technical["rsi_14"].scale_free
    with pytest.raises(FeatureError, match="no feature 'rsi_15' in 'technical'"):
        technical["rsi_15"]

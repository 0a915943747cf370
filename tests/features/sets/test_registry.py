"""Feature sets by name."""

import pytest

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import feature_set


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FeatureError, match=r"\['alpha9000'\].*\['technical'\]"):
        feature_set("technical", "alpha9000")
    with pytest.raises(FeatureError, match="no feature set"):
        feature_set()


def test_a_name_given_twice_counts_once() -> None:
    assert feature_set("technical", "technical") == feature_set("technical")

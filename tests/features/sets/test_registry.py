"""Feature sets by name."""

import subprocess
import sys

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


def test_declaring_features_loads_no_compiler_and_no_frames() -> None:
    code = (
        "import sys; from nofx_pipelines.features import feature_set; feature_set('technical').version;"
        "print([m for m in ('numba', 'polars', 'dagster', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

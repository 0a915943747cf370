"""PSI against its definition by hand, and what moves it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.features.online.drift import MUCH, drift_of, feature_drift, psi
from tests.chain import Chain


def test_by_hand() -> None:
    """Two bins at the median and one for missing values: .5/.5/0 against .25/.5/.25."""
    reference = np.array([1.0, 2.0, 3.0, 4.0])
    newest = np.array([1.0, 4.0, 4.0, np.nan])
    expected = sum((p - q) * math.log(p / q) for p, q in ((0.25, 0.5), (0.5, 0.5), (0.25, 1e-4)))
    assert psi(reference, newest, bins=2) == pytest.approx(expected, rel=1e-12)


def test_it_grows_with_the_shift_and_sees_a_change_of_spread() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=20_000)
    shifts = [psi(reference, rng.normal(size=20_000) + shift) for shift in (0.0, 0.1, 0.3, 1.0)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.01
    assert shifts[3] > MUCH
    assert psi(reference, 3 * rng.normal(size=20_000)) > MUCH
    assert psi(reference, reference[:100] * np.nan) > MUCH


def test_one_value_only() -> None:
    assert psi(np.zeros(50), np.zeros(9)) == 0.0
    assert psi(np.zeros(50), np.ones(9)) == 0.0, "above the only edge there was everything before, too"
    assert psi(np.zeros(50), -np.ones(9)) > MUCH


def test_the_largest_first_and_nothing_without_a_reference() -> None:
    reference = pl.DataFrame(
        {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0], "c": [None] * 3}, schema_overrides={"c": pl.Float64}
    )
    found = drift_of(
        reference, pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": [9.0] * 3, "c": [1.0] * 3}), ["a", "b", "c"]
    )
    assert list(found) == ["b", "a"]
    assert found["a"] == 0.0


def test_of_a_universe(finished_chain: Chain) -> None:
    found = feature_drift(finished_chain.lake, finished_chain.universe)
    assert found is not None
    assert found.newest == 20
    values = list(found.psi.values())
    assert values == sorted(values, reverse=True)
    assert all(value >= 0 for value in values)
    assert "sma_20" not in found.psi, "prices drift by themselves"
    assert found.usual.keys() == found.psi.keys()
    assert all(found.psi[name] > max(MUCH, found.usual[name]) for name in found.moved)
    raised = replace(found, psi={name: found.usual[name] + 1 for name in found.psi})
    assert raised.moved == list(found.psi)
    assert replace(found, psi=found.usual).moved == []

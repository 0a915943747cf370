"""What is usual, and sums over the bars before, against direct computations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.anomaly.windows import Lookback, TradedBars, usual

LOOKBACK = Lookback(sessions=6, pool=1, minimum=4, drift_bars=2, volatility_bars=3, span=4)


def _noisy(seed: int, shape: tuple[int, int, int], missing: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    x[rng.random(shape) < missing] = np.nan
    return x


@pytest.mark.parametrize("pool", [0, 1, 2])
def test_usual_is_the_quantiles_of_earlier_sessions(pool: int) -> None:
    lookback = dataclasses.replace(LOOKBACK, pool=pool)
    x = _noisy(3, (15, 5, 3))
    norm = usual(x, lookback, floor=1e-9)
    for s in range(15):
        for b in range(5):
            for n in range(3):
                past = x[max(0, s - 6) : s, max(0, b - pool) : b + pool + 1, n]
                known = past[np.isfinite(past)]
                if len(known) < 4:
                    assert np.isnan(norm.center[s, b, n])
                    continue
                low, middle, high = np.quantile(known, (0.05, 0.5, 0.95))
                assert norm.center[s, b, n] == pytest.approx(middle, abs=1e-12)
                assert norm.scale[s, b, n] == pytest.approx((high - low) / 3.289707, rel=1e-6)


def test_a_constant_is_given_the_floor_as_scale() -> None:
    norm = usual(np.ones((8, 1, 2)), LOOKBACK, floor=0.25)
    assert (norm.scale[6:] == 0.25).all()


def test_usual_does_not_know_its_own_session() -> None:
    x = _noisy(1, (12, 3, 2), missing=0.0)
    changed = x.copy()
    changed[9:] += 100.0
    before, after = usual(x, LOOKBACK, floor=0.1), usual(changed, LOOKBACK, floor=0.1)
    np.testing.assert_array_equal(before.center[:10], after.center[:10])
    np.testing.assert_array_equal(before.scale[:10], after.scale[:10])


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_unpack_is_the_inverse_of_pack(seed: int, missing: float) -> None:
    x = _noisy(seed, (5, 3, 2), missing)
    traded_bars = TradedBars.of(np.isfinite(x), span=99)
    np.testing.assert_array_equal(traded_bars.unpack(traded_bars.pack(x)), x)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.6))
def test_sums_are_over_the_bars_that_traded(seed: int, missing: float) -> None:
    x = _noisy(seed, (9, 2, 2), missing)
    weights = np.array([3.0, 2.0, 1.0])
    traded_bars = TradedBars.of(np.isfinite(x), span=4)
    got, before = traded_bars.weighted(x, weights), traded_bars.before(x, 2)
    for n in range(2):
        times = [(s, b) for s in range(9) for b in range(2) if np.isfinite(x[s, b, n])]
        for k, (s, b) in enumerate(times):
            if k < 2 or s - times[k - 2][0] > 4:
                assert np.isnan(got[s, b, n])
                assert np.isnan(before[s, b, n])
                continue
            last = [x[(*times[k - j], n)] for j in range(3)]
            assert got[s, b, n] == pytest.approx(float(np.dot(weights, last)), abs=1e-12)
            assert before[s, b, n] == last[2]


def test_reach_covers_every_window() -> None:
    for freq in ("1d", "1m"):
        lookback = Lookback.of(freq)
        assert lookback.reach >= lookback.sessions + 4 * lookback.span

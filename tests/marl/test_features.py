"""Features of the floor against straightforward loops, and their causality."""

from __future__ import annotations

import numpy as np

from nofx_pipelines.marl.features import (
    ASSET_FEATURES,
    CLIP,
    asset_features,
    log_returns,
    market_features,
    volatility,
    windows,
)
from tests.marl.worlds import panel


def world(seed: int = 2, bars: int = 90, n: int = 3) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    mark = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (bars, n)), axis=0))
    opens = mark * np.exp(rng.normal(0, 0.01, (bars, n)))
    return (
        opens,
        np.maximum(opens, mark) * 1.01,
        np.minimum(opens, mark) * 0.99,
        mark,
        rng.uniform(1, 9, (bars, n)),
    )


def columns(*arrays: np.ndarray) -> dict[str, np.ndarray]:
    yes = np.ones(arrays[3].shape, dtype=bool)
    found = asset_features(*arrays, (yes, yes, yes))
    return {name: found[..., place] for place, name in enumerate(ASSET_FEATURES)}


def test_they_equal_loops_at_a_late_row() -> None:
    opens, high, low, mark, volume = world()
    got, t, i = columns(opens, high, low, mark, volume), 80, 1
    returns = [np.log(mark[s, i] / mark[s - 1, i]) for s in range(21, 81)]
    sigma = np.std(returns[-20:])
    index = [np.mean([np.log(mark[s, j] / mark[s - 1, j]) for j in range(3)]) for s in range(21, 81)]
    level = [np.log(mark[s, i]) for s in range(61, 81)]
    relative = np.cumsum(np.array(returns) - np.array(index))[-20:]
    expected = {
        "return_1": returns[-1] / sigma,
        "momentum_5": sum(returns[-5:]) / (sigma * np.sqrt(5)),
        "momentum_20": sum(returns[-20:]) / (sigma * np.sqrt(20)),
        "momentum_60": sum(returns) / (sigma * np.sqrt(60)),
        "reversal": (level[-1] - np.mean(level)) / np.std(level),
        "gap": np.log(opens[t, i] / mark[t - 1, i]) / sigma,
        "range": np.log(high[t, i] / low[t, i]) / sigma - 1,
        "volatility_ratio": np.log(np.std(returns[-5:]) / np.std(returns)),
        "volume_surprise": np.log(volume[t, i] / np.mean(volume[61:81, i])),
        "beta": np.cov(returns, index, bias=True)[0, 1] / np.var(index),
        "relative": (relative[-1] - relative.mean()) / relative.std(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name][t, i], np.clip(value, -CLIP, CLIP), rtol=1e-5, err_msg=name)


def test_the_future_does_not_change_the_past() -> None:
    arrays = world()
    later = [np.concatenate([a[:70], b[70:]]) for a, b in zip(arrays, world(9), strict=True)]
    before, after = columns(*arrays), columns(*later)
    for name in ASSET_FEATURES:
        np.testing.assert_array_equal(before[name][:70], after[name][:70], err_msg=name)
    np.testing.assert_array_equal(
        market_features(arrays[3], arrays[4])[:70], market_features(later[3], later[4])[:70]
    )
    assert (before["return_1"][70:] != after["return_1"][70:]).any()


def test_holes_zeros_and_constants_stay_finite() -> None:
    opens, high, low, mark, volume = world()
    mark[:30, 0], volume[:, 1], mark[:, 2] = np.nan, 0.0, 5.0
    assert np.isfinite(asset_features(opens, high, low, mark, volume, (volume > 0,) * 3)).all()
    assert np.isfinite(market_features(mark, volume)).all()
    assert (log_returns(mark)[:31, 0] == 0).all()
    assert (volatility(log_returns(mark)) > 0).all()


def test_windows_look_back_only() -> None:
    assert windows(np.arange(4.0)[:, None], 3)[:, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


def test_a_panel_carries_them() -> None:
    assert panel().features.shape[-1] == len(ASSET_FEATURES)

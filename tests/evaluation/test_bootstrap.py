from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.evaluation import bootstrap

# arch 8.0.0, optimal_block_length(x)["stationary"], on ar1(seed, n, rho).
ARCH = [
    (7, 250, 0.0, 1.0606671220454371),
    (7, 250, 0.5, 7.412040357816943),
    (11, 250, 0.9, 14.394933799207108),
    (3, 1000, 0.3, 6.813482195703604),
    (5, 60, 0.8, 5.3303352438086),
    (1, 2000, -0.5, 13.338787297585926),
]


def ar1(seed: int, n: int, rho: float) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n)
    series = noise.copy()
    for t in range(1, n):
        series[t] = rho * series[t - 1] + noise[t]
    return series


@pytest.mark.parametrize(("seed", "n", "rho", "length"), ARCH)
def test_the_block_length_is_archs(seed: int, n: int, rho: float, length: float) -> None:
    assert bootstrap.optimal_block_length(ar1(seed, n, rho)) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_the_block_length_tends_to_the_closed_form_of_an_ar1(rho: float) -> None:
    """Politis & White: (G² / g(0)² · n)^(1/3), where G / g(0) = 2 rho / (1 - rho²) for an AR(1)."""
    n = 40_000
    closed_form = ((2 * rho / (1 - rho**2)) ** 2 * n) ** (1 / 3)
    assert bootstrap.optimal_block_length(ar1(7, n, rho)) == pytest.approx(closed_form, rel=0.15)


def test_short_and_constant_series_have_blocks_of_one() -> None:
    assert bootstrap.optimal_block_length(np.arange(9.0)) == 1.0
    assert bootstrap.optimal_block_length(np.full(50, 0.1)) == 1.0


def test_the_variance_of_the_mean_is_politis_and_romanos() -> None:
    """Politis & Romano (1994), lemma 1: an exact formula in the circular autocovariances."""
    series, block = ar1(3, 60, 0.5), 6.0
    n = series.size
    centred = series - series.mean()
    circular = np.array([centred @ np.roll(centred, -k) / n for k in range(n)])
    k = np.arange(1, n)
    weights = (1 - k / n) * (1 - 1 / block) ** k
    exact = (circular[0] + 2 * float(weights @ circular[1:])) / n
    index = bootstrap.resample(n, block, resamples=40_000, seed=7)
    assert series[index].mean(axis=1).var() == pytest.approx(exact, rel=0.03)


def test_blocks_have_geometric_lengths_and_begin_anywhere() -> None:
    n, block = 200, 8.0
    index = bootstrap.resample(n, block, resamples=2_000, seed=7)
    continued = (index[:, 1:] == (index[:, :-1] + 1) % n).mean()
    # A new block continues the old one by chance with probability 1/n.
    assert continued == pytest.approx(1 - 1 / block + 1 / (block * n), abs=0.002)
    counts = np.bincount(index.ravel(), minlength=n)
    assert counts.min() > 0.85 * counts.mean()
    assert counts.max() < 1.15 * counts.mean()


@given(st.integers(1, 30), st.integers(0, 1_000))
def test_one_endless_block_is_a_rotation(n: int, seed: int) -> None:
    index = bootstrap.resample(n, 1e15, resamples=3, seed=seed)
    for row in index:
        assert row.tolist() == [(row[0] + i) % n for i in range(n)]


def test_the_same_seed_gives_the_same_interval() -> None:
    def of(seed: int) -> tuple[float, float] | None:
        series = ar1(1, 100, 0.2)
        return bootstrap.interval(series, bootstrap.mean, confidence=0.9, resamples=200, seed=seed)

    assert of(7) == of(7) != of(8)


def test_joint_series_keep_their_pairs() -> None:
    """The ratio of sums of two proportional series never varies if both use the same positions."""
    x = np.abs(ar1(1, 50, 0.0)) + 1
    pair = np.stack([2 * x, x])
    bounds = bootstrap.interval(
        pair, lambda p: p[0].sum(axis=-1) / p[1].sum(axis=-1), confidence=0.95, resamples=100, seed=7
    )
    assert bounds == pytest.approx((2.0, 2.0), rel=1e-12)


def test_too_few_observations_and_undefined_statistics_give_no_interval() -> None:
    def nowhere(values: np.ndarray) -> np.ndarray:
        return np.full(values.shape[:-1], np.nan)

    settings = {"confidence": 0.95, "resamples": 100, "seed": 7}
    assert bootstrap.interval(np.arange(9.0), bootstrap.mean, **settings) is None  # type: ignore[arg-type]
    assert bootstrap.interval(np.arange(50.0), nowhere, **settings) is None  # type: ignore[arg-type]


def test_a_longer_least_block_widens_the_interval_of_a_dependent_series() -> None:
    series = ar1(2, 300, 0.8)
    widths = []
    for least in (1.0, 60.0):
        index = bootstrap.resample(300, least, resamples=2_000, seed=7)
        lo, hi = bootstrap.percentile_interval(series[index].mean(axis=1), 0.95) or (0.0, 0.0)
        widths.append(hi - lo)
    assert widths[1] > 1.5 * widths[0]


def test_a_series_shorter_than_ten_least_blocks_gives_no_interval() -> None:
    def of(n: int) -> tuple[float, float] | None:
        return bootstrap.interval(
            ar1(1, n, 0.0), bootstrap.mean, confidence=0.95, resamples=100, seed=7, min_block=5
        )

    assert of(49) is None
    assert of(50) is not None


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "n"), [(0.0, 400), (0.3, 400), (0.6, 1_600)])
def test_intervals_cover_the_mean_of_an_ar1(rho: float, n: int) -> None:
    """About 95 %; percentile intervals of dependent series fall a little short, the more so the shorter."""
    covered, worlds = 0, 800
    for seed in range(worlds):
        series = ar1(seed, n + 50, rho)[50:]
        bounds = bootstrap.interval(series, bootstrap.mean, confidence=0.95, resamples=400, seed=seed)
        assert bounds is not None
        covered += bounds[0] <= 0.0 <= bounds[1]
    assert 0.91 <= covered / worlds <= 0.97

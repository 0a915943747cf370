"""The leak check of universes that use every feature set."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig, UniverseConfig
from nofx_pipelines.errors import LeakError
from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.features.sets.registry import set_names
from nofx_pipelines.leakcheck import Stage, World, check, check_universe, pipeline_stages

from .worlds import daily, intraday, with_every_column

ALL = set_names()
INTRADAY = ("ta", "intraday", "crypto", "cross_section")
BARS = with_every_column(daily(6, 320)).with_columns(price_basis=pl.lit("unadjusted"))
MINUTES = with_every_column(intraday(6, 12, 40)).with_columns(price_basis=pl.lit("unadjusted"))
LOOKED = {
    "technical": "close_to_sma_5",
    "ta": "CCI_14",
    "alpha101": "alpha101",
    "alpha158": "VSUMD60",
    "alpha360": "CLOSE59",
    "intraday": "vwap_distance",
    "crypto": "basis",
    "cross_section": "return_20_without_size",
}
"""A feature of each set that differs from bar to bar; of one that is not here, its first."""
FOLDS = FoldConfig(count=2, test_fraction=0.3, embargo_bars=2)


def universe(sets: tuple[str, ...]) -> UniverseConfig:
    return UniverseConfig(
        "mine", "crypto", "1d", features=sets, labels=LabelConfig(horizon=5, sigma_bars=10), folds=FOLDS
    )


def first_stages(sets: tuple[str, ...], per_session: int = 1) -> tuple[Stage, Stage]:
    """Prices and features."""
    features = feature_set(*sets)
    stages = pipeline_stages(universe(sets), features, bars_per_session=per_session, bars_per_year=365.0)
    return stages[0], stages[1]


def seldom(bars: pl.DataFrame, sets: tuple[str, ...]) -> list[str]:
    """Features with a value in less than a twentieth of the rows."""
    frame = compute(bars, feature_set(*sets), bars_per_year=365.0).frame
    return [name for name in feature_set(*sets).columns if frame[name].count() < 0.05 * frame.height]


def planted(leaks: dict[str, pl.Expr], sets: tuple[str, ...], per_session: int = 1) -> list[Stage]:
    """Prices and features, of which some look ahead."""
    prices, features = first_stages(sets, per_session)

    def leaky(world: World) -> pl.DataFrame:
        frame = features.compute(world).sort("instrument_id", "ts_close")
        return frame.with_columns(expr.alias(name) for name, expr in leaks.items())

    return [prices, Stage("features", leaky, features.key, features.known)]


def next_bar(name: str) -> pl.Expr:
    return pl.col(name).shift(-1).over("instrument_id")


def test_a_universe_of_all_sets_does_not_leak() -> None:
    report = check_universe(BARS, universe(ALL), seed=1, cuts=1)
    report.raise_if_leaky()
    assert report.compared["features"] > 6 * feature_set(*ALL).warm_up
    assert report.compared["model_inputs"] > 6 * 100
    assert seldom(BARS.filter(pl.col("ts_close") <= report.cuts[0]), ALL) == []


@pytest.mark.slow
def test_a_universe_of_all_sets_does_not_leak_at_any_of_many_cuts() -> None:
    check_universe(BARS, universe(ALL), seed=2, cuts=6).raise_if_leaky()


def test_minutes_do_not_leak_inside_a_session() -> None:
    report = check(MINUTES, first_stages(INTRADAY, 40), seed=3, cuts=4, sessions_before=5)
    report.raise_if_leaky()
    assert {cut.minute for cut in report.cuts} - {0, 40}, "inside a session"
    assert seldom(MINUTES.filter(pl.col("ts_close") <= report.cuts[0]), INTRADAY) == []


@pytest.mark.parametrize(
    "look",
    [
        next_bar,
        lambda name: pl.col(name) - pl.col(name).mean(),
        lambda name: pl.col(name).rank().over("instrument_id"),
    ],
    ids=["next bar", "mean of all", "rank in all"],
)
def test_a_feature_of_each_set_that_looks_ahead_is_named(look: Callable[[str], pl.Expr]) -> None:
    names = {LOOKED.get(chosen) or feature_set(chosen).features[0].name for chosen in ALL}
    report = check(BARS, planted({n: look(n) for n in names}, ALL), seed=4, cuts=1, sessions_before=260)
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("features", n) for n in names}
    with pytest.raises(LeakError, match=r"features\..* read only bars up to its own"):
        report.raise_if_leaky()


def test_a_minute_that_looks_ahead_is_named() -> None:
    names = {LOOKED[chosen] for chosen in INTRADAY}
    leaks = {name: next_bar(name) for name in names}
    report = check(MINUTES, planted(leaks, INTRADAY, 40), seed=3, cuts=2, sessions_before=5)
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("features", n) for n in names}

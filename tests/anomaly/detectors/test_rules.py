"""Each rule on a bar made to break it, and on ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.conditioning import condition
from nofx_pipelines.anomaly.detectors.protocol import BarWindow
from nofx_pipelines.anomaly.detectors.rules import RULES, RuleHits, RuleOdds, apply_rules
from nofx_pipelines.anomaly.panel import read_panel
from nofx_pipelines.anomaly.windows import Lookback, TradedBars

Bars = Callable[..., pl.DataFrame]
WHO = "CN.SSE.600003"


def _hits(bars: pl.DataFrame) -> RuleHits:
    panel, lookback = read_panel(bars, "1d"), Lookback.of("1d")
    traded_bars = TradedBars.of(panel.traded, lookback.span)
    z = condition(panel, lookback, traded_bars).z
    return apply_rules(BarWindow.of(panel, z, 0, lookback.span))


def _changed(bars: pl.DataFrame, back: int, bars_long: int, columns: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """``bars`` with ``columns`` of one instrument changed from ``back`` sessions before the end on."""
    days = bars["session_date"].unique().sort()[len(bars["session_date"].unique()) - back :][:bars_long]
    here = (pl.col("instrument_id") == WHO) & pl.col("session_date").is_in(days.implode())
    return bars.with_columns(
        pl.when(here).then(value).otherwise(pl.col(name)).alias(name) for name, value in columns.items()
    )


def _fired(hits: RuleHits, rule: str) -> list[tuple[int, ...]]:
    return [tuple(int(k) for k in cell) for cell in np.argwhere(hits.fired[RULES.index(rule)])]


@pytest.fixture(scope="module")
def bars(make_bars: Bars) -> pl.DataFrame:
    return make_bars(sessions=100, instruments=6)


def test_ordinary_bars_break_no_rule(bars: pl.DataFrame) -> None:
    hits = _hits(bars)
    assert not hits.fired.any()


def test_a_wrong_close_on_ordinary_volume(bars: pl.DataFrame) -> None:
    wrong = _changed(bars, 5, 1, {"close": pl.col("close") * 1.3, "high": pl.col("close") * 1.3})
    assert (95, 0, 3) in _fired(_hits(wrong), "bad_print")
    loud = _changed(wrong, 5, 1, {c: pl.col(c) * 30 for c in ("volume", "amount")})
    assert (95, 0, 3) not in _fired(_hits(loud), "bad_print")


def test_a_price_that_stands_still(bars: pl.DataFrame) -> None:
    last = bars.filter(pl.col("instrument_id") == WHO).sort("ts_close")["close"][89]
    still = _changed(bars, 10, 4, {c: pl.lit(last) for c in ("open", "high", "low", "close")})
    hits = _hits(still)
    assert hits.run[89:95, 0, 3].tolist() == [0, 1, 2, 3, 4, 0]
    assert _fired(hits, "stale") == [(91, 0, 3), (92, 0, 3), (93, 0, 3)]


def test_a_limit_lock(bars: pl.DataFrame) -> None:
    locked = _changed(bars, 3, 1, {c: pl.lit(61.5) for c in ("open", "high", "low", "close", "limit_up")})
    assert _fired(_hits(locked), "limit_lock") == [(97, 0, 3)]


def test_a_hole_without_a_known_reason(bars: pl.DataFrame) -> None:
    hole = _changed(bars, 4, 2, {"status": pl.lit("source_hole")})
    assert _fired(_hits(hole), "gap") == [(96, 0, 3), (97, 0, 3)]
    refused = _changed(bars, 4, 2, {"status": pl.lit("source_hole"), "quality": pl.lit(["quarantined"])})
    assert not _fired(_hits(refused), "gap")
    assert _fired(_hits(refused), "refused") == [(96, 0, 3), (97, 0, 3)]
    suspended = _changed(bars, 4, 2, {"status": pl.lit("suspended")})
    assert not _hits(suspended).fired.any()


def test_prices_after_a_split_that_nobody_reported(bars: pl.DataFrame) -> None:
    halved = _changed(bars, 6, 6, {c: pl.col(c) / 2 for c in ("open", "high", "low", "close", "amount")})
    assert _fired(_hits(halved), "split") == [(94, 0, 3)]


def test_volume_in_other_units(bars: pl.DataFrame) -> None:
    lots = _changed(bars, 5, 3, {"volume": pl.col("volume") / 100})
    assert _fired(_hits(lots), "units") == [(95, 0, 3), (96, 0, 3), (97, 0, 3)]


def test_a_rule_s_odds_are_how_often_it_begins() -> None:
    traded = np.ones((100, 1, 2), dtype=np.bool_)
    fired = np.zeros((len(RULES), 100, 1, 2), dtype=np.bool_)
    fired[RULES.index("units"), 10:15, 0, 0] = True  # one event of five bars
    fired[RULES.index("units"), 40, 0, 1] = True
    odds = RuleOdds.fit(RuleHits(fired, np.zeros((100, 1, 2))), traded)
    assert odds.rule[RULES.index("units")] == pytest.approx(-np.log10(3 / 201))
    assert odds.rule[RULES.index("split")] == pytest.approx(-np.log10(1 / 201))


def test_a_stale_price_counts_more_where_prices_move() -> None:
    traded = np.ones((300, 1, 2), dtype=np.bool_)
    run = np.zeros((300, 1, 2))
    run[::3, 0, 1] = 1.0  # the second instrument often stands still for a bar
    odds = RuleOdds.fit(RuleHits(np.zeros((len(RULES), 300, 1, 2), dtype=np.bool_), run), traded)
    hits = RuleHits(np.ones((len(RULES), 1, 1, 2), dtype=np.bool_), np.full((1, 1, 2), 4.0))
    moving, sleepy = odds.score(hits)[RULES.index("stale"), 0, 0]
    assert moving > sleepy + 1


def test_the_longer_it_stands_the_less_likely() -> None:
    odds = RuleOdds(rule=(1.0,) * len(RULES), flat=np.array([2.0]), still_flat=np.array([0.5]))
    fired = np.ones((len(RULES), 3, 1, 1), dtype=np.bool_)
    scores = odds.score(RuleHits(fired, np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1)))
    assert scores[RULES.index("stale"), :, 0, 0].tolist() == [2.5, 3.0, 3.5]

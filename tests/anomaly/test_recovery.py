"""Recall and precision by hand, and their floors on seeds that nothing was tuned on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.anomaly.events import find_events
from nofx_pipelines.anomaly.recovery import recovery
from nofx_pipelines.anomaly.scoring import score_sessions
from nofx_pipelines.config import FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.lake.schemas import UTC_US
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import adjusted, stored_factors
from nofx_pipelines.market.bars import refresh_bars
from nofx_pipelines.market.ingest import ingest

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
CLOSES = pl.Series([NOON + timedelta(days=k) for k in range(20)], dtype=UTC_US)


def _truth(rows: list[tuple[str, int, int, str]]) -> pl.DataFrame:
    """Instrument, first and last day, kind."""
    return pl.DataFrame(
        {
            "instrument_id": [row[0] for row in rows],
            "ts_start": pl.Series([NOON + timedelta(days=row[1], hours=-5) for row in rows], dtype=UTC_US),
            "ts_end": pl.Series([NOON + timedelta(days=row[2]) for row in rows], dtype=UTC_US),
            "kind": [row[3] for row in rows],
        }
    )


def _events(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "anomaly_id": [str(k) for k in range(len(rows))],
            "instrument_id": pl.Series([row[0] for row in rows], dtype=pl.String),
            "ts_start": pl.Series([NOON + timedelta(days=row[1]) for row in rows], dtype=UTC_US),
            "ts_end": pl.Series([NOON + timedelta(days=row[2]) for row in rows], dtype=UTC_US),
        }
    )


def test_counts_by_hand() -> None:
    truth = _truth(
        [("A", 5, 5, "bad_print"), ("A", 9, 11, "stale"), ("B", 5, 5, "bad_print"), ("B", 7, 7, "zero_price")]
    )
    events = _events([("A", 6, 6), ("A", 11, 12), ("B", 15, 15), ("A", 3, 3)])
    table, precision = recovery(truth, events, CLOSES)
    assert table.rows() == [
        ("bad_print", 2, 1, 0.5),
        ("stale", 1, 1, 1.0),
        ("all", 3, 2, pytest.approx(2 / 3)),
    ]
    assert precision == 0.5


def test_an_event_two_bars_later_is_about_something_else() -> None:
    table, precision = recovery(_truth([("A", 5, 5, "bad_print")]), _events([("A", 7, 7)]), CLOSES)
    assert table["found"].sum() == 0
    assert precision == 0.0


def test_what_was_planted_before_the_first_score_does_not_count() -> None:
    table, precision = recovery(_truth([("A", 2, 2, "gap")]), _events([]), CLOSES[5:])
    assert table.filter(pl.col("kind") == "all")["planted"].item() == 0
    assert precision is None


@pytest.mark.parametrize(
    ("market", "seed"),
    [
        ("cn", 4101),
        *(pytest.param(m, s, marks=pytest.mark.slow) for m, s in (("hk", 4102), ("crypto", 4103))),
    ],
)
def test_floors_on_held_out_seeds(market: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = SourceConfig(kind="simulated", instruments=30, seed=seed)
    feed = FeedConfig(
        market=market, freq="1d", sources=(source,), start=date(2022, 1, 1), end=date(2025, 1, 1)
    )  # type: ignore[arg-type]
    universe = UniverseConfig(name=market, market=market, freq="1d")  # type: ignore[arg-type]
    lake, now = Lake(tmp_path_factory.mktemp(market)), datetime(2026, 1, 1, tzinfo=UTC)
    span = {
        "start": date(2022, 1, 1),
        "end": date(2025, 1, 1),
        "now": now,
        "run_id": "r",
        "code_version": "c",
    }
    ingest(lake, feed, **span)  # type: ignore[arg-type]
    refresh_bars(lake, universe, feed, **span)  # type: ignore[arg-type]
    factors = stored_factors(lake, market, market)
    bars = adjusted(lake.table(market, "bars").scan(), factors, factors).collect()
    names = universe.anomaly.detectors
    scored = score_sessions(
        bars,
        "1d",
        bars["session_date"].unique().sort().to_list(),
        detectors=names,
        seed=7,
        detector_version="v",
    )
    ensemble = scored.scores.filter(pl.col("detector") == "ensemble")
    events = find_events(ensemble, scored.evidence, "1d", 0.05, load_detectors(names))
    truth = lake.table(market, "truth_anomalies").scan().collect()
    table, precision = recovery(truth, events, ensemble["ts_close"])
    print(f"{market} seed {seed}: {events.height} anomalies, precision {precision}\n{table}")
    recall = dict(table.select("kind", "recall").rows())
    assert recall["all"] > 0.3
    assert recall["stale"] > 0.8
    assert recall["gap"] > 0.6
    assert recall["unit_switch"] > 0.6
    assert precision is not None
    assert precision > 0.4
    assert events.height < 0.05 * ensemble.select("instrument_id", "session_date").n_unique()

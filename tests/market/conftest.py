"""Bars and sources that the market tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, INSTRUMENTS, SOURCE_BARS
from nofx_pipelines.market.checks import QUARANTINE_COLUMNS
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources import Decision, SourceBatch
from nofx_pipelines.market.venues import listing

NOW = datetime(2026, 11, 1, tzinfo=UTC)

MakeBars = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def make_bars() -> MakeBars:
    """``make_bars(ids, freq, start, end)``: sound source bars on the whole grid."""

    def make(ids: list[str], freq: str, start: date, end: date, *, source: str = "files") -> pl.DataFrame:
        trading = calendar(listing(ids[0]).market)
        grid = trading.grid(freq, start, end).with_row_index("n")
        names = pl.DataFrame({"instrument_id": ids}).with_row_index("i")
        close = (10 + pl.col("i") + ((pl.col("n") * 7919 + pl.col("i") * 104729) % 97) / 100).round(2)
        frame = names.join(grid, how="cross").with_columns(close.alias("close"))
        return frame.select(
            "instrument_id",
            "ts_open",
            pl.lit(source).alias("source"),
            "ts_close",
            "session_date",
            pl.lit(freq).alias("freq"),
            "session_phase",
            (pl.col("close") - 0.01).alias("open"),
            (pl.col("close") + 0.02).alias("high"),
            (pl.col("close") - 0.02).alias("low"),
            "close",
            (100.0 * (1 + pl.col("n") % 13)).alias("volume"),
            (100.0 * (1 + pl.col("n") % 13) * pl.col("close")).alias("amount"),
            *[pl.lit(None, SOURCE_BARS.columns[name]).alias(name) for name in _EMPTY],
            pl.lit("traded").alias("status"),
            pl.lit("unadjusted").alias("price_basis"),
            pl.lit(value=True).alias("is_final"),
            pl.lit([], pl.List(pl.String)).alias("quality"),
            (pl.col("ts_close") + pl.duration(seconds=5)).alias("knowledge_time"),
            pl.lit("observed").alias("knowledge_kind"),
            pl.lit("r1").alias("source_rev"),
            pl.format("{}:{}", pl.lit("made.csv"), pl.col("n")).alias("raw_ref"),
        )

    return make


_EMPTY = ("n_trades", "taker_volume", "taker_amount", "prev_close", "limit_up", "limit_down")


@pytest.fixture(scope="session")
def make_instruments() -> Callable[..., pl.DataFrame]:
    """``make_instruments(ids, valid_from)``: their rows of ``instruments``."""

    def make(ids: list[str], valid_from: date = date(2005, 1, 4), **values: object) -> pl.DataFrame:
        rows = [
            {
                "instrument_id": each,
                "valid_from": valid_from,
                "valid_to": None,
                "symbol": listing(each).symbol,
                "market": listing(each).market,
                "exchange": listing(each).exchange,
                "board": listing(each).board,
                "asset_class": listing(each).asset_class,
                "name": each,
                "currency": listing(each).currency,
                "lot_size": 100.0,
                "tick_size": 0.01,
                "sector": None,
                "listed_on": None,
                "delisted_on": None,
                **values,
            }
            for each in ids
        ]
        return pl.DataFrame(rows, schema=INSTRUMENTS.columns)

    return make


@dataclass
class MadeSource:
    """A source that delivers given frames, for tests of ingestion."""

    frames: list[pl.DataFrame]
    listed: pl.DataFrame
    name: str = "files"
    actions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CORPORATE_ACTIONS.columns))
    planted: dict[str, pl.DataFrame] = field(default_factory=dict)
    told: list[Decision] = field(default_factory=list)
    reads: int = 0

    def instruments(self) -> pl.DataFrame:
        return self.listed

    def batches(self, start: date, end: date) -> Iterator[SourceBatch]:
        self.reads += 1
        for frame in self.frames:
            inside = frame.filter(pl.col("session_date").is_between(start, end, closed="left"))
            yield SourceBatch(inside, pl.DataFrame(schema=QUARANTINE_COLUMNS))

    def corporate_actions(self) -> pl.DataFrame:
        return self.actions

    def truth(self) -> dict[str, pl.DataFrame]:
        return self.planted

    def fingerprint(self) -> str:
        text = "".join(frame.write_csv() for frame in self._flat())
        return hashlib.sha256(text.encode()).hexdigest()

    def _flat(self) -> list[pl.DataFrame]:
        return [frame.drop("quality") for frame in self.frames]

    def span(self) -> tuple[date, date]:
        days = pl.concat([frame.select("session_date") for frame in self.frames])["session_date"]
        return days.min(), days.max() + timedelta(days=1)  # type: ignore[operator, return-value]

    def decisions(self) -> list[Decision]:
        return self.told


@pytest.fixture(scope="session")
def made_source() -> type[MadeSource]:
    """The class ``MadeSource(frames, listed, name=…, actions=…, planted=…, told=…)``."""
    return MadeSource

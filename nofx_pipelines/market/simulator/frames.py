"""Sessions of arrays as frames: source bars, truth tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.lake.schemas import SOURCE_BARS, TRUTH_ANOMALIES, TRUTH_SIGNAL, UTC_US
from nofx_pipelines.market.fingerprints import row_hashes
from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.roster import Roster
from nofx_pipelines.market.simulator.session import SessionResult

SOURCE_COLUMNS = {name: dtype for name, dtype in SOURCE_BARS.columns.items() if name != "revision"}
HASHED = (
    *(
        "instrument_id",
        "ts_open",
        "ts_close",
        "session_date",
        "freq",
        "open",
        "high",
        "low",
        "close",
        "volume",
    ),
    *("amount", "n_trades", "taker_volume", "taker_amount", "prev_close", "limit_up", "limit_down", "status"),
)
"""What a revision is about: the key and the values."""

_PRICES = ("open", "high", "low", "close")


def bars_frame(
    results: Sequence[SessionResult], model: MarketModel, roster: Roster, *, freq: str, source: str
) -> pl.DataFrame:
    """``SOURCE_BARS`` without ``revision``, ordered by time and instrument; invalid rows as planted."""
    shown = [_delivered(r) for r in results]
    columns: dict[str, Any] = {
        "instrument_id": _names(np.concatenate([np.nonzero(m)[1] for m in shown]), roster),
        "ts_open": _times(results, shown, "ts_open"),
        "ts_close": _times(results, shown, "ts_close"),
        "session_date": np.repeat(
            np.asarray([r.session for r in results], dtype="datetime64[D]"), [int(m.sum()) for m in shown]
        ),
        "taken": _gathered([r.taker for r in results], shown),
        "n_trades": _gathered([r.trades for r in results], shown),
    }
    for name in (*_PRICES, "volume", "amount"):
        columns[name] = _gathered([getattr(r.bars, name) for r in results], shown)
    for name in ("traded", "prev_close", "limit_up", "limit_down"):
        columns[name] = _gathered([_wide(r, getattr(r, name)) for r in results], shown)
    frame = _typed(pl.DataFrame(columns), model, freq=freq, source=source)
    frame = _with_invalid(frame, results, roster).sort("ts_open", "instrument_id", maintain_order=True)
    return frame.with_columns(row_hashes(frame.select(HASHED)).alias("row_hash")).select(list(SOURCE_COLUMNS))


def signal_frame(results: Sequence[SessionResult], roster: Roster, *, every: int) -> pl.DataFrame:
    """``TRUTH_SIGNAL`` of every ``every``-th bar of a session: expected log return of the next bar."""
    who: list[Any] = []
    times: list[Any] = []
    days: list[Any] = []
    linear: list[Any] = []
    interaction: list[Any] = []
    for r in results:
        bars = np.arange(every - 1, len(r.ts_close), every)
        at, instrument = np.nonzero(np.broadcast_to(r.traded, (len(bars), roster.count)))
        bar = bars[at]
        who.append(instrument)
        times.append(r.ts_close[bar])
        days.append(np.full(len(bar), np.datetime64(r.session)))
        linear.append(r.bars.linear[bar, instrument] * r.signal_scale[bar])
        interaction.append(r.bars.interaction[bar, instrument] * r.signal_scale[bar])
    if not who:
        return pl.DataFrame(schema=TRUTH_SIGNAL.columns)
    parts = np.concatenate(linear), np.concatenate(interaction)
    return pl.DataFrame(
        {
            "instrument_id": _names(np.concatenate(who), roster),
            "ts_close": pl.Series(np.concatenate(times)).cast(UTC_US),
            "session_date": np.concatenate(days),
            "linear": parts[0],
            "interaction": parts[1],
            "expected_return": parts[0] + parts[1],
        },
        schema_overrides={"session_date": pl.Date()},
    )


def anomalies_frame(results: Sequence[SessionResult], roster: Roster) -> pl.DataFrame:
    """``TRUTH_ANOMALIES``, one row an anomaly and session; ``merged_anomalies`` joins them."""
    rows = []
    for r in results:
        windows = [(w.anomaly, w.window(len(r.ts_open))) for w in r.active if r.traded[w.anomaly.instrument]]
        windows += [(a, slice(a.first, a.first + 1)) for a in r.invalid]
        for a, window in windows:
            rows.append(
                {
                    "instrument_id": roster.ids[a.instrument],
                    "ts_start": int(r.ts_open[window.start]),
                    "ts_end": int(r.ts_close[window.stop - 1]),
                    "session_date": a.session,
                    "kind": a.kind,
                    "strength": a.strength,
                }
            )
    schema = {**TRUTH_ANOMALIES.columns, "ts_start": pl.Int64(), "ts_end": pl.Int64()}
    frame = pl.DataFrame(rows, schema=schema)
    return frame.with_columns(pl.col("ts_start", "ts_end").cast(UTC_US))


def merged_anomalies(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row an anomaly, from its first bar to its last one so far, in order of time."""
    frame = pl.concat([pl.DataFrame(schema=TRUTH_ANOMALIES.columns), *pieces])
    return (
        frame.group_by("instrument_id", "session_date", "kind", "strength")
        .agg(pl.col("ts_start").min(), pl.col("ts_end").max())
        .select(list(TRUTH_ANOMALIES.columns))
        .sort("ts_start", "instrument_id", "kind")
    )


def _delivered(result: SessionResult) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Bars that the vendor delivers, ``[B, N]``; a suspended instrument has rows without prices."""
    return np.asarray(np.where(result.traded, result.delivered, result.listed))


def _names(who: Any, roster: Roster) -> pl.Series:
    return pl.Series(list(roster.ids), dtype=pl.String).gather(who)


def _wide(result: SessionResult, values: Any) -> Any:
    return np.broadcast_to(values, result.bars.close.shape)


def _gathered(columns: Sequence[Any], masks: Sequence[Any]) -> Any:
    return np.concatenate([column[mask] for column, mask in zip(columns, masks, strict=True)])


def _times(results: Sequence[SessionResult], masks: Sequence[Any], name: str) -> pl.Series:
    values = np.concatenate([getattr(r, name)[np.nonzero(m)[0]] for r, m in zip(results, masks, strict=True)])
    return pl.Series(values).cast(UTC_US)


def _typed(raw: pl.DataFrame, model: MarketModel, *, freq: str, source: str) -> pl.DataFrame:
    traded, spot = pl.col("traded"), model.market == "crypto"
    taker = pl.when(traded).then("taken") if spot else pl.lit(None, pl.Float64)
    vwap = pl.col("amount") / pl.col("volume")
    return raw.with_columns(
        *[pl.when(traded).then(name).alias(name) for name in _PRICES],
        *[pl.when(traded).then(name).otherwise(0.0).alias(name) for name in ("volume", "amount")],
        pl.when(traded).then("n_trades").cast(pl.Int64).alias("n_trades"),
        *[pl.col(name).fill_nan(None) for name in ("limit_up", "limit_down")],
        taker.alias("taker_volume"),
        (taker * vwap).round(2).alias("taker_amount"),
        pl.lit(freq).alias("freq"),
        pl.lit("all" if freq == "1d" else "continuous").alias("session_phase"),
        pl.when(traded).then(pl.lit("traded")).otherwise(pl.lit("suspended")).alias("status"),
        pl.lit("unadjusted").alias("price_basis"),
        pl.lit(value=True).alias("is_final"),
        pl.lit([], pl.List(pl.String)).alias("quality"),
        pl.lit(source).alias("source"),
        pl.col("ts_close").alias("knowledge_time"),
        pl.lit("observed").alias("knowledge_kind"),
        pl.lit(None, pl.String).alias("source_rev"),
        pl.lit(None, pl.String).alias("raw_ref"),
    ).select(pl.col(name).cast(dtype) for name, dtype in SOURCE_COLUMNS.items() if name != "row_hash")


def _with_invalid(frame: pl.DataFrame, results: Sequence[SessionResult], roster: Roster) -> pl.DataFrame:
    """Break the rows that were chosen for it: a key twice, high below low, an open of zero."""
    for r in results:
        for a in r.invalid:
            here = (pl.col("instrument_id") == roster.ids[a.instrument]) & (
                pl.col("ts_open") == pl.lit(int(r.ts_open[a.first])).cast(UTC_US)
            )
            if a.kind == "duplicate":
                again = frame.filter(here).with_columns(pl.col("volume") * 1.01)
                frame = pl.concat([frame, again])
            elif a.kind == "zero_price":
                frame = frame.with_columns(pl.when(here).then(0.0).otherwise("open").alias("open"))
            else:
                swapped = [
                    pl.when(here).then(other).otherwise(name).alias(name)
                    for name, other in (("high", pl.col("low") * 0.99), ("low", pl.col("high")))
                ]
                frame = frame.with_columns(swapped)
    return frame

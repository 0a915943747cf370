"""Files to the lake against reading and writing the same rows without looking at them.

    python -m benchmarks.bench_ingestion

Ours recognises the file, checks every row against calendar and rules, hashes it, numbers revisions and
commits with checksums; the peers parse and write Parquet. The second row is a run on unchanged files.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.config import FeedConfig, SourceConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.ingest import ingest

SYMBOLS, DAYS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT"), 90
START = date(2024, 1, 1)
END, NOW = START + timedelta(days=DAYS), datetime(2024, 6, 1, tzinfo=UTC)


def write_minutes(path: Path) -> int:
    """A CSV of minute bars of four pairs; its number of rows."""
    rng, frames = np.random.default_rng(7), []
    bars = DAYS * 1440
    opens = pl.datetime_range(
        datetime(2024, 1, 1),
        datetime(2024, 1, 1) + timedelta(minutes=bars - 1),
        "1m",
        time_zone="UTC",
        eager=True,
    )
    for symbol in SYMBOLS:
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 5e-4, bars))), 2)
        opened = np.r_[close[0], close[:-1]]
        wick = np.round(np.abs(rng.normal(0, 0.02, (2, bars))), 2)
        volume = np.round(rng.lognormal(2, 1, bars), 3)
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": f"CRYPTO.BINANCE.SPOT.{symbol}", "ts_open": opens,
                    "ts_close": opens.dt.offset_by("1m"),
                    "open": opened, "high": np.maximum(opened, close) + wick[0],
                    "low": np.minimum(opened, close) - wick[1], "close": close, "volume": volume,
                    "amount": np.round(volume * close, 4),
                }
            )
        )  # fmt: skip
    rows = pl.concat(frames)
    rows.write_csv(path)
    return rows.height


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "minutes.csv"
        rows, turn = write_minutes(file), iter(range(1_000))
        feed = FeedConfig("crypto", "1m", (SourceConfig("files", file),), START, END)

        def ours(lake: Lake) -> None:
            done = ingest(lake, feed, start=START, end=END, now=NOW, run_id="bench", code_version="bench")
            assert done.rejected == 0, done
            assert done.new in (rows, 0), done

        def anew() -> None:
            ours(Lake(folder / f"lake{next(turn)}"))

        def with_polars() -> None:
            pl.read_csv(file, try_parse_dates=True).write_parquet(folder / "polars.parquet")

        def with_pandas() -> None:
            pd.read_csv(file, parse_dates=["ts_open"]).to_parquet(folder / "pandas.parquet")

        kept = Lake(folder / "kept")
        ours(kept)
        taken = {
            "NOFX, first ingestion": median_seconds(anew, repeats=3),
            "NOFX, the same files again": median_seconds(lambda: ours(kept), repeats=3),
            "Polars, read_csv and write_parquet": median_seconds(with_polars, repeats=3),
            "pandas, read_csv and to_parquet": median_seconds(with_pandas, repeats=3),
        }
    base = taken["NOFX, first ingestion"]
    shown = [(n, f"{t:.2f}", f"{rows / t:,.0f}", f"{t / base:.2f}x") for n, t in taken.items()]
    print(
        machine_table(
            f"Ingestion of {rows:,} minute bars from CSV", ("", "seconds", "rows a second", "to ours"), shown
        )
    )


if __name__ == "__main__":
    main()

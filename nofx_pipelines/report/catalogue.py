"""The catalogue of features: one self-contained page with each one's formula, reach, unit and picture.

Pictures are of the same simulated bars for all; nothing on the page is written by hand.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl

from nofx_pipelines.features import FeatureSet, compute
from nofx_pipelines.report.charts import Line, line_chart

INSTRUMENTS, BARS, SHOWN = 8, 240, 120
_YEAR = 243.0


def write_catalogue(path: Path, sets: Sequence[FeatureSet]) -> int:
    """Write the page beside ``path`` and rename it into place; its size in bytes."""
    markup = render(sets).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_bytes(markup)
    draft.replace(path)
    return len(markup)


def render(sets: Sequence[FeatureSet]) -> str:
    """The page as text; the same sets give the same bytes."""
    style = files("nofx_pipelines.report").joinpath("page.css").read_text(encoding="utf-8")
    bars = example_bars()
    links = " · ".join(f'<a href="#{escape(s.name)}">{escape(s.name)}</a> ({len(s.columns)})' for s in sets)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>NOFX features</title><style>{style}</style></head><body>"
        f'<header><h1>Features</h1><p class="soft">{links}. Pictures: one of {INSTRUMENTS} simulated '
        f"instruments, its last {SHOWN} of {BARS} bars.</p></header><main>"
        + "".join(_chapter(features, bars) for features in sets)
        + "</main></body></html>\n"
    )


def _chapter(features: FeatureSet, bars: pl.DataFrame) -> str:
    frame = compute(bars, features, bars_per_year=_YEAR).frame
    own = frame.filter(pl.col("instrument_id") == frame["instrument_id"][0]).tail(SHOWN)
    name = escape(features.name)
    return f'<section id="{name}"><h2>{name}</h2><p class="soft">version {features.version}, ' + (
        f"lookback {features.lookback} bars, first full row after {features.warm_up}</p>"
        + "".join(_entry(features, name, own) for name in features.columns)
        + "</section>"
    )


def _entry(features: FeatureSet, name: str, own: pl.DataFrame) -> str:
    feature = features[name]
    kept = "needs its state" if feature.expr.recursive else f"looks back {feature.expr.lookback} bars"
    drawn = picture(own, name)
    return (
        f"<h3>{escape(name)}</h3><p>{escape(feature.description)} "
        f'<span class="soft">{escape(feature.unit)}; {kept}; first value after {feature.expr.warm_up}; reads '
        f"{escape(', '.join(feature.expr.dependencies))}</span></p>"
        f"<p><code>{escape(repr(feature.expr))}</code></p>{drawn}"
    )


def picture(own: pl.DataFrame, name: str, height: int = 120) -> str:
    """One instrument's values of a feature as a line, over the dates of their sessions."""
    dates = [str(day) for day in own["session_date"].to_list()]
    return line_chart(dates, [Line(name, own[name].to_list())], height=height, title=name)


def example_bars(seed: int = 7) -> pl.DataFrame:
    """Daily random walks with every column that a feature may read."""
    rng, frames = np.random.default_rng(seed), []
    at = [datetime(2025, 1, 1, 7, tzinfo=UTC) + timedelta(days=k) for k in range(BARS)]
    for i in range(INSTRUMENTS):
        close = 20 * np.exp(np.cumsum(rng.normal(0.0003, 0.02, BARS)))
        opened = close * np.exp(rng.normal(0, 0.006, BARS))
        volume = np.round(rng.lognormal(11, 0.5, BARS))
        columns = {
            "open": opened,
            "high": np.maximum(close, opened) * (1 + 0.01 * rng.random(BARS)),
            "low": np.minimum(close, opened) * (1 - 0.01 * rng.random(BARS)),
            "close": close,
            "volume": volume,
            "amount": volume * close * (1 + rng.normal(0, 0.002, BARS)),
            "n_trades": np.round(volume / 100) + 1,
            "taker_volume": volume * rng.uniform(0.3, 0.7, BARS),
            "limit_up": close * 1.1,
            "limit_down": close * 0.9,
            "funding_rate": rng.normal(1e-4, 1e-4, BARS),
            "index_price": close * np.exp(rng.normal(0, 0.001, BARS)),
        }
        columns["taker_amount"] = columns["taker_volume"] * close
        frame = pl.DataFrame({"instrument_id": f"I{i}", "ts_close": at, **columns}).with_columns(
            pl.col("ts_close").cast(pl.Datetime("us", "UTC")), sector=pl.lit("bank" if i % 2 else "food")
        )
        frames.append(frame)
    return pl.concat(frames).with_columns(
        ts_open=pl.col("ts_close") - pl.duration(hours=4),
        session_date=pl.col("ts_close").dt.date(),
        session_phase=pl.lit("all"),
    )

"""From raw cells to typed rows: what cannot be read costs its row, and says which cell and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import polars as pl

from nofx_pipelines.market.checks import WORDS
from nofx_pipelines.market.sources.files.layout import NUMBERS, REQUIRED, TEXTS, Layout
from nofx_pipelines.market.sources.files.raw import LINE
from nofx_pipelines.market.sources.files.symbols import resolve
from nofx_pipelines.market.sources.files.times import wall_clock
from nofx_pipelines.market.venues import Listing

PRICES = ("open", "high", "low", "close")
_RAW = "raw:"
_MISSING = ("", "null", "none", "na", "n/a", "nan", "-", "--")
TYPED = {
    LINE: pl.Int64(),
    "instrument_id": pl.String(),
    "label": pl.Datetime("us"),
    "aware": pl.Boolean(),
    "label_close": pl.Datetime("us"),
    "session_date": pl.Date(),
    **{name: pl.Float64() for name in NUMBERS},
    **{name: pl.String() for name in TEXTS},
}


@dataclass
class Symbols:
    """The symbols met in a part, resolved once each.

    ``fallback`` is the listing of a file without a symbol column.
    """

    layout: Layout
    market: str | None
    fallback: Listing | None = None
    by_text: dict[str, Listing | None] = field(default_factory=dict)

    def ids(self, texts: Collection[str]) -> dict[str, str]:
        """Identifier by text, for the texts that name something."""
        for text in texts:
            if text not in self.by_text:
                layout = self.layout
                kind, exchange = layout.crypto_kind, layout.exchange
                self.by_text[text] = resolve(text, market=self.market, exchange=exchange, kind=kind)
        return {text: listing.instrument_id for text in texts if (listing := self.by_text[text]) is not None}

    def listings(self) -> dict[str, Listing]:
        """Every listing met, by identifier."""
        listings = [*self.by_text.values(), self.fallback]
        return {listing.instrument_id: listing for listing in listings if listing is not None}


def parse(
    frame: pl.DataFrame, layout: Layout, symbols: Symbols, *, zoned: bool | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``(typed, bad)``: rows with the columns of ``TYPED``; ``LINE``, instrument_id, rule, reason, value.

    Every row of ``frame`` is in one of the two. ``zoned``: whether times must (True) or must not (False)
    name their zone, None where both may.
    """
    typed = frame.select(LINE, *_time_columns(layout, frame), *_value_columns(layout, frame))
    typed.insert_column(1, named(frame, layout, symbols))
    raw = frame.select(pl.exclude(LINE).name.prefix(_RAW))
    whole = pl.concat([typed, raw], how="horizontal").with_columns(_plain(layout).alias("plain"))
    always = [*_symbol_checks(layout, symbols), *_time_checks(layout, zoned), *_text_checks(layout)]
    plain, plainly_bad = _judge(whole.filter("plain"), always)
    rest, bad = _judge(
        whole.filter(~pl.col("plain")), [*always, *_number_checks(layout), *_completeness(layout)]
    )
    return pl.concat([plain, rest]).sort(LINE), pl.concat([plainly_bad, bad])


def _plain(layout: Layout) -> pl.Expr:
    """Rows whose numbers are all there and finite, as nearly all are: their cells need no second look."""
    numbers = [name for name in NUMBERS if name in layout.columns]
    return pl.all_horizontal(pl.col(name).is_not_null() & pl.col(name).is_finite() for name in numbers)


def _judge(rows: pl.DataFrame, checks: list[_Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    judged = rows.with_columns(_first_failure(checks).alias("failed"))
    good = judged.filter(pl.col("failed").is_null())
    typed = good.select(pl.col(name).cast(dtype) for name, dtype in TYPED.items())
    return typed, _explained(judged.filter(pl.col("failed").is_not_null()), checks)


@dataclass(frozen=True)
class _Check:
    rule: str
    reason: str
    fails: pl.Expr
    value: pl.Expr


def _first_failure(checks: list[_Check]) -> pl.Expr:
    return pl.coalesce(
        [pl.when(check.fails).then(pl.lit(i, dtype=pl.Int32)) for i, check in enumerate(checks)]
    )


def _explained(failed: pl.DataFrame, checks: list[_Check]) -> pl.DataFrame:
    parts = [
        failed.filter(pl.col("failed") == i).select(
            LINE,
            "instrument_id",
            pl.lit(check.rule).alias("rule"),
            pl.lit(check.reason).alias("reason"),
            check.value.cast(pl.String, strict=False).alias("value"),
        )
        for i, check in enumerate(checks)
    ]
    return pl.concat(parts)


def named(frame: pl.DataFrame, layout: Layout, symbols: Symbols) -> pl.Series:
    """Each row's identifier, null where its symbol names nothing."""
    column = layout.columns.get("symbol")
    if column is None:
        name = symbols.fallback.instrument_id if symbols.fallback is not None else None
        return pl.Series("instrument_id", [name], dtype=pl.String).new_from_index(0, frame.height)
    text = frame[column].cast(pl.String, strict=False).str.strip_chars()
    if frame.schema[column].is_integer():
        # a code stored as a number lost its leading zeros
        text = text.str.zfill(6 if symbols.market == "cn" else 5)
    ids = symbols.ids(text.drop_nulls().unique().sort().to_list())
    return text.replace_strict(ids or {"": None}, default=None, return_dtype=pl.String).alias("instrument_id")


def _time_columns(layout: Layout, frame: pl.DataFrame) -> list[pl.Series]:
    wall, aware = wall_clock(frame[layout.columns["label"]])
    columns = [wall.alias("label"), aware.alias("aware")]
    nothing = pl.Series([None], dtype=pl.Datetime("us")).new_from_index(0, frame.height)
    for name, alias in (("ts_close", "label_close"), ("session_date", "session_date")):
        column = layout.columns.get(name)
        value = nothing if column is None else wall_clock(frame[column])[0]
        columns.append((value.cast(pl.Date) if alias == "session_date" else value).alias(alias))
    return columns


def _value_columns(layout: Layout, frame: pl.DataFrame) -> list[pl.Expr]:
    columns = []
    for name in NUMBERS:
        column = layout.columns.get(name)
        value = (
            _number(column, frame.schema[column]) if column is not None else pl.lit(None, dtype=pl.Float64)
        )
        columns.append(value.alias(name))
    for name in TEXTS:
        column = layout.columns.get(name)
        if column is None:
            columns.append(pl.lit(None, dtype=pl.String).alias(name))
        else:
            text = pl.col(column).cast(pl.String, strict=False).str.strip_chars()
            columns.append(pl.when(text != "").then(text).alias(name))
    return columns


def _number(column: str, dtype: pl.DataType) -> pl.Expr:
    """The cell as a number, infinite where it is; NaN and what is no number are null."""
    value = (
        pl.col(column)
        if dtype.is_numeric()
        else pl.col(column).cast(pl.String, strict=False).str.strip_chars()
    )
    return value.cast(pl.Float64, strict=False).fill_nan(None)


def _symbol_checks(layout: Layout, symbols: Symbols) -> list[_Check]:
    column = layout.columns.get("symbol")
    value = pl.lit(None, dtype=pl.String) if column is None else pl.col(f"{_RAW}{column}")
    checks = [_Check("bad_symbol", "no instrument has this symbol", pl.col("instrument_id").is_null(), value)]
    if symbols.market is not None:
        foreign = ~pl.col("instrument_id").str.starts_with(f"{symbols.market.upper()}.")
        reason = f"another market than {symbols.market}"
        checks.append(_Check("wrong_market", reason, foreign, pl.col("instrument_id")))
    return checks


def _time_checks(layout: Layout, zoned: bool | None) -> list[_Check]:
    raw = pl.col(f"{_RAW}{layout.columns['label']}")
    checks = [_Check("bad_time", "not a time in [1970, 2100)", pl.col("label").is_null(), raw)]
    if "ts_close" in layout.columns:
        raw_close = pl.col(f"{_RAW}{layout.columns['ts_close']}")
        unread = pl.col("label_close").is_null()
        checks.append(_Check("bad_time", "not a time in [1970, 2100)", unread, raw_close))
        backwards = pl.col("label_close") <= pl.col("label")
        checks.append(_Check("bad_time", "the bar closes before it opens", backwards, raw_close))
    if zoned is not None:
        reason = (
            "no time zone, where most rows name one" if zoned else "a time zone, where most rows name none"
        )
        checks.append(_Check("mixed_time_zone", reason, pl.col("aware") != zoned, raw))
    return checks


def _number_checks(layout: Layout) -> list[_Check]:
    checks = []
    for name in NUMBERS:
        if (column := layout.columns.get(name)) is None:
            continue
        raw = pl.col(f"{_RAW}{column}")
        text = raw.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
        unread = pl.col(name).is_null() & text.is_not_null() & ~text.is_in(_MISSING)
        checks.append(_Check("not_a_number", f"{name} is not a number", unread, raw))
        checks.append(_Check("not_finite", f"{name} is infinite", pl.col(name).is_infinite(), raw))
    return checks


def _text_checks(layout: Layout) -> list[_Check]:
    return [
        _Check(
            f"unknown_{name}",
            f"{name} is none of {', '.join(allowed)}",
            ~pl.col(name).is_in(allowed),
            pl.col(name),
        )
        for name, allowed in WORDS.items()
        if name in layout.columns
    ]


def _completeness(layout: Layout) -> list[_Check]:
    """A bar has four prices and a volume, or none of the prices and no volume."""
    empty = pl.all_horizontal(pl.col(name).is_null() for name in PRICES)
    idle = pl.col("volume") == 0
    if "status" in layout.columns:
        idle = idle | (pl.col("volume").is_null() & (pl.col("status") == "source_hole"))
    checks = []
    for name in REQUIRED:
        raw = pl.col(f"{_RAW}{layout.columns[name]}").cast(pl.String, strict=False)
        missing = pl.col(name).is_null() & ~(empty & idle.fill_null(value=False))
        nan = raw.str.strip_chars().str.to_lowercase() == "nan"
        checks.append(_Check("not_finite", f"{name} is NaN", missing & nan.fill_null(value=False), raw))
        checks.append(_Check("missing_value", f"{name} is missing", missing, raw))
    return checks

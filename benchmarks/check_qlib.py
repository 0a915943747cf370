"""Compare ``alpha158`` and ``alpha360`` with Qlib's own operators on the same bars, to 1e-6.

    python -m benchmarks.check_qlib

Needs ``pip install pyqlib`` beside this library. Qlib's expressions are evaluated by Qlib's operator
classes, fed with our bars in place of its data server; cells are missing and prices unmoved here and there.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import numpy as np
import polars as pl

from nofx_pipelines.features import compute, feature_set

TOLERANCE = 1e-6
INSTRUMENTS, BARS = 6, 400


def bars_with_holes(seed: int = 0) -> pl.DataFrame:
    """Random walks in cents, with cells missing and prices that do not move."""
    rng, frames = np.random.default_rng(seed), []
    for i in range(INSTRUMENTS):
        steps = np.where(rng.random(BARS) < 0.1, 0.0, rng.normal(0, 0.02, BARS))
        close = np.round(20 * np.exp(np.cumsum(steps)), 2)
        opened = np.round(close * np.exp(rng.normal(0, 0.01, BARS)), 2)
        columns = {
            "open": opened,
            "high": np.round(np.maximum(close, opened) * (1 + 0.01 * rng.random(BARS)), 2),
            "low": np.round(np.minimum(close, opened) * (1 - 0.01 * rng.random(BARS)), 2),
            "close": close,
            "volume": np.round(rng.lognormal(10, 1, BARS)),
        }
        columns["amount"] = columns["volume"] * close * (1 + rng.normal(0, 0.002, BARS))
        gone = rng.random(BARS) < (0.05 if i % 2 else 0.0)  # a suspended day has nothing
        cells = {name: np.where(gone, np.nan, values) for name, values in columns.items()}
        frames.append(pl.DataFrame({"instrument_id": f"I{i}", "n": np.arange(BARS), **cells}))
    at = pl.datetime(2024, 1, 1, 7, time_zone="UTC") + pl.duration(days="n")
    frame = pl.concat(frames).with_columns(ts_close=at.cast(pl.Datetime("us", "UTC"))).fill_nan(None)
    return frame.with_columns(session_date=pl.col("ts_close").dt.date())


def with_qlib(own: pl.DataFrame, fields: list[str]) -> list[np.ndarray]:
    """Qlib's value of every field over one instrument's bars."""
    import pandas as pd
    from qlib.data import ops
    from qlib.data.base import Expression

    class Column(Expression):
        """A column of our bars where Qlib would read its own files."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __str__(self) -> str:
            return f"${self.name}"

        def _load_internal(self, instrument: object, start: object, end: object, *args: object) -> object:
            return pd.Series(own[self.name].fill_null(np.nan).to_numpy().copy())

        def get_longest_back_rolling(self) -> int:
            return 0

        def get_extended_window_size(self) -> tuple[int, int]:
            return 0, 0

    columns = {name: Column(name) for name in ("open", "high", "low", "close", "volume")}
    own = own.with_columns(vwap=pl.col("amount") / pl.col("volume"))
    columns["vwap"] = Column("vwap")
    words = {cls.__name__: cls for cls in ops.OpsList}
    out = []
    for field in fields:
        tree = _parsed(re.sub(r"\$(\w+)", r"columns_\1", field), columns, words)
        out.append(tree.load(own["instrument_id"][0], None, None, "day").to_numpy().astype(np.float64))
    return out


def _parsed(text: str, columns: dict[str, object], words: dict[str, object]) -> object:
    """Read Qlib's expression as a tree of its operators, without evaluating it as code."""
    import ast

    infix = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Gt: "Gt", ast.Lt: "Lt"}

    def build(node: ast.AST) -> object:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return columns[node.id.removeprefix("columns_")]
        if isinstance(node, ast.Call):
            return words[node.func.id](*map(build, node.args))  # type: ignore[attr-defined, operator]
        if isinstance(node, ast.Compare):
            return words[infix[type(node.ops[0])]](build(node.left), build(node.comparators[0]))  # type: ignore[index, operator]
        assert isinstance(node, ast.BinOp)
        return words[infix[type(node.op)]](build(node.left), build(node.right))  # type: ignore[index, operator]

    return build(ast.parse(text, mode="eval").body)


def main() -> int:
    """Print the worst difference of each set; 1 where one is above the tolerance."""
    if not find_spec("qlib"):
        print("Qlib is not installed: pip install pyqlib")
        return 2
    from qlib.contrib.data.loader import Alpha158DL, Alpha360DL

    bars, failed = bars_with_holes(), 0
    for name, loader in (("alpha158", Alpha158DL), ("alpha360", Alpha360DL)):
        fields, names = loader.get_feature_config()
        ours = compute(bars, feature_set(name), bars_per_year=243).frame
        gaps: dict[str, float] = {}
        holes: dict[str, int] = {}
        for (who,), own in bars.partition_by("instrument_id", as_dict=True).items():
            mine = ours.filter(pl.col("instrument_id") == who)
            for column, theirs in zip(names, with_qlib(own, fields), strict=True):
                values = mine[column].fill_null(np.nan).to_numpy()
                theirs = np.where(np.isfinite(theirs), theirs, np.nan)
                holes[column] = holes.get(column, 0) + int((np.isnan(values) != np.isnan(theirs)).sum())
                gap = np.abs(values - theirs) / np.maximum(1, np.abs(theirs))
                gaps[column] = max(gaps.get(column, 0.0), float(np.nanmax(gap, initial=0.0)))
        worst = max(gaps, key=lambda c: gaps[c])
        missing = {c: n for c, n in holes.items() if n}
        wrong = {c: g for c, g in gaps.items() if g > TOLERANCE}
        print(f"{name}: {len(names)} columns, worst difference {gaps[worst]:.1e} ({worst})")
        print(f"  missing where the other is not: {dict(list(missing.items())[:8]) or 'never'}")
        print(f"  above {TOLERANCE:g}: {dict(list(wrong.items())[:8]) or 'none'}")
        failed |= bool(wrong or missing)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

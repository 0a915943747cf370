"""What each operator of the algebra is: its kind, its arity, what it returns.

A new operator is one row here, one function in `kernel.rows` with its loop in `kernel.blocks`, one rule in
`steps` and in `polars_engine`, and its tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["leaf", "elementwise", "window", "recursive", "clock", "cross"]
Dtype = Literal["number", "boolean"]


@dataclass(frozen=True)
class Operator:
    """One operator.

    ``window`` looks at the last ``params[0]`` rows of one instrument, ``recursive`` at all of them
    through a state, ``cross`` at all instruments of one ``ts_close``; ``clock`` goes to a slower clock or
    back.
    """

    name: str
    kind: Kind
    arity: int
    returns: Dtype = "number"
    takes: Dtype | Literal["any"] = "number"
    commutative: bool = False
    infix: str | None = None
    params: tuple[str, ...] = ()
    """Names of the parameters; a window's first two are its rows and the least number of valid ones."""
    optional: int = 0
    """How many more operands it may take."""


WINDOW = ("n", "min_valid")

_ROWS = (
    Operator("column", "leaf", 0),
    Operator("constant", "leaf", 0),
    Operator("parameter", "leaf", 0),
    Operator("add", "elementwise", 2, commutative=True, infix="+"),
    Operator("sub", "elementwise", 2, infix="-"),
    Operator("mul", "elementwise", 2, commutative=True, infix="*"),
    Operator("div", "elementwise", 2, infix="/"),
    Operator("pow", "elementwise", 2, infix="**"),
    Operator("neg", "elementwise", 1),
    Operator("abs", "elementwise", 1),
    Operator("sign", "elementwise", 1),
    Operator("log", "elementwise", 1),
    Operator("exp", "elementwise", 1),
    Operator("sqrt", "elementwise", 1),
    Operator("floor", "elementwise", 1),
    Operator("atan", "elementwise", 1),
    Operator("minimum", "elementwise", 2, commutative=True),
    Operator("maximum", "elementwise", 2, commutative=True),
    Operator("lt", "elementwise", 2, "boolean", infix="<"),
    Operator("le", "elementwise", 2, "boolean", infix="<="),
    Operator("eq", "elementwise", 2, "boolean", "any", commutative=True),
    Operator("not", "elementwise", 1, "boolean", "boolean"),
    Operator("and", "elementwise", 2, "boolean", "boolean", commutative=True, infix="&"),
    Operator("or", "elementwise", 2, "boolean", "boolean", commutative=True, infix="|"),
    Operator("where", "elementwise", 3, takes="any"),
    Operator("is_null", "elementwise", 1, "boolean", "any"),
    Operator("fill_null", "elementwise", 2),
    Operator("ref", "window", 1, params=("n",)),
    Operator("rolling_count", "window", 1, params=("n",)),
    Operator("rolling_sum", "window", 1, params=WINDOW),
    Operator("rolling_product", "window", 1, params=WINDOW),
    Operator("rolling_mean", "window", 1, params=WINDOW),
    Operator("rolling_var", "window", 1, params=(*WINDOW, "ddof")),
    Operator("rolling_std", "window", 1, params=(*WINDOW, "ddof")),
    Operator("rolling_skew", "window", 1, params=WINDOW),
    Operator("rolling_kurt", "window", 1, params=WINDOW),
    Operator("rolling_mad", "window", 1, params=WINDOW),
    Operator("rolling_min", "window", 1, params=WINDOW),
    Operator("rolling_max", "window", 1, params=WINDOW),
    Operator("rolling_argmin", "window", 1, params=(*WINDOW, "ties", "missing")),
    Operator("rolling_argmax", "window", 1, params=(*WINDOW, "ties", "missing")),
    Operator("rolling_quantile", "window", 1, params=(*WINDOW, "q")),
    Operator("rolling_rank", "window", 1, params=WINDOW),
    Operator("rolling_wmean", "window", 1, params=WINDOW),
    Operator("rolling_slope", "window", 1, params=WINDOW),
    Operator("rolling_rsquare", "window", 1, params=WINDOW),
    Operator("rolling_residual", "window", 1, params=WINDOW),
    Operator("rolling_cov", "window", 2, params=(*WINDOW, "ddof")),
    Operator("rolling_corr", "window", 2, params=WINDOW),
    Operator("rolling_beta", "window", 2, params=WINDOW),
    Operator("rolling_beta_residual", "window", 2, params=WINDOW),
    Operator("ewm", "recursive", 1, params=("alpha", "n", "seed_at")),
    Operator("decayed_mean", "recursive", 1, params=("alpha", "min_valid")),
    Operator("recur", "recursive", 3),
    Operator("cumsum", "recursive", 1),
    Operator("cumprod", "recursive", 1),
    Operator("cummin", "recursive", 1),
    Operator("cummax", "recursive", 1),
    Operator("age", "recursive", 1, takes="any"),
    Operator("bars_since", "recursive", 1, takes="boolean"),
    Operator("sar", "recursive", 2, params=("step", "largest")),
    Operator("first_since", "recursive", 2),
    Operator("sum_since", "recursive", 2),
    Operator("max_since", "recursive", 2),
    Operator("min_since", "recursive", 2),
    Operator("sample", "clock", 2),
    Operator("hold", "clock", 2),
    Operator("seasonal_mean", "recursive", 2, params=("slots", "n")),
    Operator("rank", "cross", 1, params=("min_count",), optional=1),
    Operator("rank_share", "cross", 1, params=("min_count",), optional=1),
    Operator("zscore", "cross", 1, params=("min_count",), optional=1),
    Operator("demean", "cross", 1, params=("min_count",), optional=1),
    Operator("cross_mean", "cross", 1, params=("min_count",), optional=1),
    Operator("cross_sum", "cross", 1, params=("min_count",), optional=1),
    Operator("apply", "cross", 1, params=("function", "n"), optional=10_000),
    Operator("neutralise", "cross", 2, params=("min_count",), optional=1),
)

OPERATORS: dict[str, Operator] = {row.name: row for row in _ROWS}
"""Every operator by name."""

BAR_COLUMNS = (
    "open", "high", "low", "close", "volume", "amount", "n_trades", "taker_volume", "taker_amount",
    "prev_close", "limit_up", "limit_down",
)  # fmt: skip
"""Numbers of ``bars`` that an expression may read."""

CLOCK_COLUMNS = ("open_minute", "close_minute", "session_day", "minute_of_day", "in_auction", "traded")
"""Numbers made of a bar's times, phase and status: minutes and days since 1970, minutes of the UTC day."""

OPTIONAL_COLUMNS = ("sector", "board", "funding_rate", "index_price")
"""What bars may hold besides: groups (texts become numbers that only their equality means) and what only
perpetuals have. Missing throughout where the bars lack them."""

COLUMNS = (*BAR_COLUMNS, *CLOCK_COLUMNS, *OPTIONAL_COLUMNS)
"""Everything that an expression may read of a bar."""

PARAMETERS = ("bars_per_year",)
"""Numbers that are given with the bars, not written into the expression."""

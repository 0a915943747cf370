"""What each operator of the algebra is: its kind, its arity, what it returns.

A new operator is one row here, one branch in `kernel`, one rule in `polars_engine` and one test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["leaf", "elementwise", "window", "recursive", "cross"]
Dtype = Literal["number", "boolean"]


@dataclass(frozen=True)
class Operator:
    """One operator.

    ``window`` looks at the last ``params[0]`` rows of one instrument, ``recursive`` at all of them
    through a state, ``cross`` at all instruments of one ``ts_close``.
    """

    name: str
    kind: Kind
    arity: int
    returns: Dtype = "number"
    takes: Dtype | Literal["any"] = "number"
    commutative: bool = False
    infix: str | None = None


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
    Operator("ref", "window", 1),
    Operator("rolling_count", "window", 1),
    Operator("rolling_sum", "window", 1),
    Operator("rolling_mean", "window", 1),
    Operator("rolling_var", "window", 1),
    Operator("rolling_std", "window", 1),
    Operator("rolling_min", "window", 1),
    Operator("rolling_max", "window", 1),
    Operator("ewm", "recursive", 1),
    Operator("cumsum", "recursive", 1),
    Operator("age", "recursive", 1, takes="any"),
    Operator("rank", "cross", 1),
)

OPERATORS: dict[str, Operator] = {row.name: row for row in _ROWS}
"""Every operator by name."""

COLUMNS = ("open", "high", "low", "close", "volume", "amount")
"""The columns of ``bars`` that an expression may read."""

PARAMETERS = ("bars_per_year",)
"""Numbers that are given with the bars, not written into the expression."""

"""Plain Python functions as features: slower, the same in batch and stream, and alone in their failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.expr import Expr, Param, walk
from nofx_pipelines.features.algebra.function_key import function_key, name_of

F64 = NDArray[np.float64]


@dataclass
class Applied:
    """A function, how often it was called, how often it raised and what it said last."""

    function: Callable[..., Any]
    calls: int = 0
    errors: int = 0
    last_error: str = ""

    def value(self, windows: list[F64]) -> float:
        """The function's value, NaN where it raises or a window lacks a value."""
        if any(np.isnan(window).any() for window in windows):
            return float("nan")
        self.calls += 1
        try:
            value = float(self.function(*(window.copy() for window in windows)))
        except Exception as error:  # noqa: BLE001 (somebody else's code: the other features go on)
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"
            return float("nan")
        return value if np.isfinite(value) else float("nan")


class FunctionKey(str):
    """The key of a function as a parameter of `apply`; it holds the function.

    So a function lives as long as an expression or a program that calls it, and no longer: a notebook that
    makes lambdas in a loop does not collect them.
    """

    applied: Applied


_LIVE: WeakValueDictionary[str, Applied] = WeakValueDictionary()
"""Functions by their keys, for as long as something calls them; two of one key compute the same."""


def register(function: Callable[..., Any]) -> FunctionKey:
    """The key of a function: its name and the digest of all that it reads (`function_key`)."""
    if not callable(function):
        raise FeatureError(f"{function!r} is not a function", hint="apply(lambda x: x.max(), 20, close)")
    key = FunctionKey(function_key(function))
    key.applied = _LIVE.setdefault(str(key), Applied(function))
    return key


def applied(key: Param) -> Applied:
    """The function of a parameter of `apply`."""
    assert isinstance(key, FunctionKey)
    return key.applied


def failures_of(expr: Expr) -> tuple[int, str | None]:
    """How often the Python functions in it have raised in this process, and what one said last."""
    functions = [applied(node.params[0]) for node in walk(expr) if node.op == "apply"]
    errors = [one.last_error for one in functions if one.errors]
    return sum(one.errors for one in functions), errors[-1] if errors else None


def require_unchanged(key: Param) -> None:
    """Refuse a function that reads another value now than when its feature was declared.

    Raises
    ------
    FeatureError
        Naming the function: its values would stand under the version of other ones.
    """
    function = applied(key).function
    if function_key(function) != key:
        raise FeatureError(
            f"what the Python function {name_of(function)!r} reads (globals, closure, defaults) has changed "
            "since its feature was declared, or changes while it runs",
            kept="nothing was computed with it",
            hint="declare the feature again; what changes from row to row belongs into its windows",
        )


def over_rows(key: FunctionKey, n: int, columns: list[F64]) -> F64:
    """The function over each row's windows; ``columns`` are n lags of each argument, the oldest first."""
    require_unchanged(key)
    one, out = key.applied, np.full(len(columns[0]), np.nan)
    values = np.stack(columns).reshape(len(columns) // n, n, -1)
    for row in range(len(out)):
        out[row] = one.value([np.ascontiguousarray(window) for window in values[:, :, row]])
    require_unchanged(key)
    return out

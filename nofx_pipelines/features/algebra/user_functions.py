"""Plain Python functions as features: slower, the same in batch and stream, and alone in their failures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.expr import Expr, walk

F64 = NDArray[np.float64]
_FUNCTIONS: dict[str, Applied] = {}


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


def register(function: Callable[..., Any]) -> str:
    """The key of a function: its name and the hash of its source, so that a changed one is another
    feature."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise FeatureError(
            f"{function!r} has no source text to take a version from",
            hint="def it in a module or a notebook cell",
        ) from error
    digest = blake2b(source.encode(), digest_size=8).hexdigest()
    key = f"{getattr(function, '__qualname__', 'function')}:{digest}"
    _FUNCTIONS[key] = Applied(function)
    return key


def applied(key: str) -> Applied:
    """The registered function of that key."""
    return _FUNCTIONS[key]


def failures_of(expr: Expr) -> tuple[int, str | None]:
    """How often the Python functions in it have raised in this process, and what one said last."""
    functions = [applied(str(node.params[0])) for node in walk(expr) if node.op == "apply"]
    errors = [one.last_error for one in functions if one.errors]
    return sum(one.errors for one in functions), errors[-1] if errors else None


def over_rows(key: str, n: int, columns: list[F64]) -> F64:
    """The function over each row's windows; ``columns`` are n lags of each argument, the oldest first."""
    one, out = _FUNCTIONS[key], np.full(len(columns[0]), np.nan)
    values = np.stack(columns).reshape(len(columns) // n, n, -1)
    for row in range(len(out)):
        out[row] = one.value([np.ascontiguousarray(window) for window in values[:, :, row]])
    return out

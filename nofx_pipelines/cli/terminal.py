"""Plain text for people: tables, durations, counts."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import polars as pl

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves the cursor, colours, or turns the direction of a line; not tabs and ends of lines."""


def plain(text: str) -> str:
    r"""Text that a terminal shows and does not obey: a file or an instrument may be named like a command.

    >>> print(plain("a\x1b[2Jb 价格"))
    a\x1b[2Jb 价格
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def home_option(home: Path) -> str:
    """``--home`` as a shell takes it, for the commands that messages name.

    >>> home_option(Path("my data"))
    "--home 'my data'"
    """
    return f"--home {shlex.quote(str(home))}"


def say(text: str = "") -> None:
    """One line to standard output, at once."""
    print(plain(text), flush=True)


def warn(text: str) -> None:
    """One line to standard error, at once."""
    print(plain(text), file=sys.stderr, flush=True)


@contextmanager
def only_ours() -> Iterator[None]:
    """Keep standard output for what we say; what plug-ins write meanwhile goes to standard error.

    Python's stream and the descriptor below it, to which compiled code writes.
    """
    sys.stdout.flush()
    try:
        ours = os.dup(1)
    except OSError:  # closed: nothing below Python's stream arrives anywhere
        with redirect_stdout(sys.stderr):
            yield
        return
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Columns padded to their widest cell; the columns in ``right`` are right-aligned.

    >>> print(table(["stage", "rows"], [["bars", 12], ["labels", 7]], right=[1]))
    stage   rows
    bars      12
    labels     7
    """
    cells = [[_one_line(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _one_line(value: object) -> str:
    return "" if value is None else plain(str(value)).replace("\n", "\\n").replace("\t", "\\t")


def seconds(value: float) -> str:
    """
    >>> seconds(3.14159), seconds(75)
    ('3.1 s', '1 min 15 s')
    """
    return f"{value:.1f} s" if value < 60 else f"{int(value) // 60} min {int(value) % 60} s"


def count(value: int | float | None) -> str:
    """
    >>> count(1234567)
    '1,234,567'
    """
    return "" if value is None else f"{int(value):,}"


def interval(value: float | None, lo: float | None, hi: float | None) -> str:
    """
    >>> interval(0.05123, 0.01, 0.09)
    '0.051 [0.010, 0.090]'
    """
    if value is None:
        return "unknown"
    return f"{value:.3f}" if lo is None or hi is None else f"{value:.3f} [{lo:.3f}, {hi:.3f}]"


def write_frame(frame: pl.DataFrame, format: str) -> None:
    """A frame to standard output as ``table``, ``csv`` or ``json``."""
    if format == "csv":
        sys.stdout.write(flat(frame).write_csv())
    elif format == "json":
        say(json.dumps(frame.to_dicts(), default=str, indent=1, ensure_ascii=False))
    else:
        numeric = [i for i, dtype in enumerate(frame.dtypes) if dtype.is_numeric()]
        say(table(frame.columns, [[_cell(c) for c in row] for row in frame.rows()], right=numeric))


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested columns as JSON text, which CSV can hold."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(
        pl.Series(name, [None if v is None else json.dumps(v, default=str) for v in frame[name].to_list()])
        for name in nested
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

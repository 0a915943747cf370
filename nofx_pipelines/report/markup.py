"""HTML out of values: everything that reaches the page is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import polars as pl


def number(value: float | int | None, digits: int = 3) -> str:
    """
    >>> number(0.05123), number(1234567), number(None)
    ('0.051', '1,234,567', 'unknown')
    """
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def interval(value: float | None, lo: float | None, hi: float | None) -> str:
    """A value with its interval."""
    if value is None or lo is None or hi is None:
        return number(value)
    return f"{number(value)} [{number(lo)}, {number(hi)}]"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], numeric: Sequence[int] = ()) -> str:
    """A table that scrolls sideways by itself on a phone.

    >>> "<td class=\\"n\\">3</td>" in table(["n"], [[3]], numeric=[0])
    True
    """

    def row(cells: Sequence[object], tag: str) -> str:
        shown = "".join(
            f"<{tag}{' class=' + chr(34) + 'n' + chr(34) if i in numeric else ''}>{_cell(c)}</{tag}>"
            for i, c in enumerate(cells)
        )
        return f"<tr>{shown}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table><thead>{row(header, "th")}</thead><tbody>{body}</tbody></table></div>'


class Html(str):
    """Text that is markup already."""


def _cell(value: object) -> str:
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        return number(value)
    return escape("" if value is None else str(value))


def figure(drawing: str, caption: str) -> str:
    """A drawing with what it says; nothing where there is no drawing."""
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>" if drawing else ""


def pill(passed: bool, yes: str, no: str) -> Html:
    """A coloured word; its text carries the meaning too."""
    return Html(f'<span class="pill {"good" if passed else "bad"}">{escape(yes if passed else no)}</span>')


def frame_table(frame: pl.DataFrame, limit: int = 50) -> str:
    """The first rows of a frame."""
    numeric = [i for i, dtype in enumerate(frame.dtypes) if dtype.is_numeric()]
    return table(frame.columns, frame.head(limit).rows(), numeric)

"""Text into Markdown: whatever a name or a reason holds is shown as it is written, and formats nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKS = re.compile(r"[\\`*\[\]<>|~&!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|data):|\bwww\.")
_BEGINNING = re.compile(r"^(#|[-+=](?!\d)|\d+(?=[.)]))")
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def escape(value: object) -> str:
    """A value as text of one line, without a meaning to Markdown or HTML.

    >>> print(escape("<script> [a](http://b) | *c* net_sharpe"))
    \\<script\\> \\[a\\](http\\://b) \\| \\*c\\* net_sharpe
    """
    text = _BREAKS.sub(" ", "" if value is None else str(value)).strip()
    text = _MARKS.sub(lambda found: f"\\{found[0]}", text)
    text = _ADDRESS.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", text)
    beginning = _BEGINNING.match(text)
    if beginning is None:
        return text
    end = beginning.end()
    return f"{text[:end]}\\{text[end:]}" if text[0].isdigit() else f"\\{text}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; its cells are escaped.

    >>> print(table(["name", "n"], [["a|b", 3], [None, 4]]))
    | name | n |
    |---|---|
    | a\\|b | 3 |
    |  | 4 |
    """
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(escape, row))} |" for row in rows)])

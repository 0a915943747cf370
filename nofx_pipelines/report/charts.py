"""Charts as inline SVG: a few hundred bytes each, themed by the page's CSS, no script, no font.

Coordinates are rounded to a tenth of a unit, so the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 26

Number = float | None


@dataclass(frozen=True)
class Line:
    """One series over a shared x; None breaks the line. ``tone`` is a CSS class of the page."""

    name: str
    values: Sequence[Number]
    tone: str = "a"
    thin: bool = False


@dataclass(frozen=True)
class Whisker:
    """A value with its interval."""

    name: str
    value: float
    lo: Number = None
    hi: Number = None
    tone: str = "a"


@dataclass(frozen=True)
class Mark:
    """A dot on a line chart: at a label's position and a value."""

    at: int
    value: float
    tone: str = "b"


def line_chart(
    labels: Sequence[str],
    lines: Sequence[Line],
    *,
    marks: Sequence[Mark] = (),
    band: tuple[Sequence[Number], Sequence[Number]] | None = None,
    rules: Sequence[float] = (),
    height: int = HEIGHT,
    title: str,
) -> str:
    """Lines over ``labels`` (x, evenly spaced), ``marks``, a shaded ``band`` and horizontal ``rules``.

    >>> "<polyline" in line_chart(["a", "b"], [Line("x", [1.0, 2.0])], title="two points")
    True
    """
    series = [line.values for line in lines] + list(band or ()) + [list(rules)]
    frame = _Frame(len(labels), *_range(series), height)
    parts = [frame.grid(), frame.x_labels(labels)]
    if band is not None:
        parts.append(frame.area(*band))
    parts += [
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{frame.y(v)}" y2="{frame.y(v)}"/>'
        for v in rules
    ]
    parts += [frame.polyline(line) for line in lines]
    parts += [
        f'<circle class="{mark.tone}" cx="{frame.x(mark.at)}" cy="{frame.y(mark.value)}" r="4"/>'
        for mark in marks
    ]
    return _svg(parts, height, title) + legend([(line.name, line.tone) for line in lines])


def scatter(
    points: Sequence[tuple[float, float, str]], *, x_name: str, y_name: str, title: str, height: int = HEIGHT
) -> str:
    """Points (x, y, tone) with named axes."""
    if not points:
        return ""
    lo, hi = _range([[x for x, _, _ in points]])
    frame = _Frame(2, *_range([[y for _, y, _ in points]]), height)
    span = hi - lo

    def across(x: float) -> str:
        return _n(LEFT + (x - lo) / span * (WIDTH - LEFT - RIGHT))

    dots = [f'<circle class="{tone}" cx="{across(x)}" cy="{frame.y(y)}" r="4"/>' for x, y, tone in points]
    ticks = [
        f'<text class="tick" x="{across(v)}" y="{height - 8}" text-anchor="middle">{_tick(v)}</text>'
        for v in _ticks(lo, hi)
    ]
    note = f'<p class="axes">{escape(y_name)} over {escape(x_name)}</p>'
    return _svg([frame.grid(), *ticks, *dots], height, title) + note


def bars(rows: Sequence[tuple[str, float]], *, title: str, tone: str = "a") -> str:
    """Horizontal bars, the longest first as given."""
    if not rows:
        return ""
    top = max(value for _, value in rows) or 1.0
    height = 26 * len(rows) + 8
    parts = []
    for i, (name, value) in enumerate(rows):
        y, width = 26 * i + 6, max(1.0, value / top * (WIDTH - 300))
        parts.append(f'<text class="name" x="220" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar {tone}" x="230" y="{y}" width="{_n(width)}" height="18" rx="2"/>')
        parts.append(f'<text class="tick" x="{_n(236 + width)}" y="{y + 14}">{_tick(value)}</text>')
    return _svg(parts, height, title)


def whiskers(rows: Sequence[Whisker], *, title: str) -> str:
    """Values as dots with their intervals as lines, zero marked."""
    if not rows:
        return ""
    lo, hi = _range([[r.value for r in rows], [r.lo for r in rows], [r.hi for r in rows], [0.0]])
    height = 28 * len(rows) + 30
    span = hi - lo

    def across(x: float) -> str:
        return _n(230 + (x - lo) / span * (WIDTH - 250))

    parts = [f'<line class="rule" x1="{across(0)}" x2="{across(0)}" y1="4" y2="{height - 24}"/>']
    for i, row in enumerate(rows):
        y = 28 * i + 18
        parts.append(f'<text class="name" x="220" y="{y + 5}" text-anchor="end">{escape(row.name)}</text>')
        if row.lo is not None and row.hi is not None:
            ends = f'x1="{across(row.lo)}" x2="{across(row.hi)}"'
            parts.append(f'<line class="whisker {row.tone}" {ends} y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="{row.tone}" cx="{across(row.value)}" cy="{y}" r="5"/>')
    parts += [
        f'<text class="tick" x="{across(v)}" y="{height - 6}" text-anchor="middle">{_tick(v)}</text>'
        for v in _ticks(lo, hi)
    ]
    return _svg(parts, height, title)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names beside their colours; empty for a single series."""
    if len(entries) < 2:
        return ""
    items = "".join(f'<span><i class="key {tone}"></i>{escape(name)}</span>' for name, tone in entries)
    return f'<p class="legend">{items}</p>'


class _Frame:
    """Maps positions and values to the drawing's units."""

    def __init__(self, count: int, lo: float, hi: float, height: int) -> None:
        self.count, self.lo, self.hi, self.height = count, lo, hi, height

    def x(self, i: int) -> str:
        return _n(LEFT + i / max(1, self.count - 1) * (WIDTH - LEFT - RIGHT))

    def y(self, value: float) -> str:
        share = (value - self.lo) / (self.hi - self.lo)
        return _n(self.height - BOTTOM - share * (self.height - TOP - BOTTOM))

    def grid(self) -> str:
        return "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(v)}" y2="{self.y(v)}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{self.y(v)}" dy="4" text-anchor="end">{_tick(v)}</text>'
            for v in _ticks(self.lo, self.hi)
        )

    def x_labels(self, labels: Sequence[str]) -> str:
        if not labels:
            return ""
        places = sorted({0, len(labels) // 3, 2 * len(labels) // 3, len(labels) - 1})
        anchors = {places[0]: "start", places[-1]: "end"}
        return "".join(
            f'<text class="tick" x="{self.x(i)}" y="{self.height - 8}" '
            f'text-anchor="{anchors.get(i, "middle")}">{escape(labels[i])}</text>'
            for i in places
        )

    def polyline(self, line: Line) -> str:
        css = f"line {line.tone}{' thin' if line.thin else ''}"
        return "".join(f'<polyline class="{css}" points="{points}"/>' for points in self._runs(line.values))

    def area(self, low: Sequence[Number], high: Sequence[Number]) -> str:
        pairs = [
            (i, a, b)
            for i, (a, b) in enumerate(zip(low, high, strict=True))
            if a is not None and b is not None
        ]
        there = [f"{self.x(i)},{self.y(b)}" for i, _, b in pairs]
        back = [f"{self.x(i)},{self.y(a)}" for i, a, _ in reversed(pairs)]
        return f'<polygon class="band" points="{" ".join(there + back)}"/>'

    def _runs(self, values: Sequence[Number]) -> list[str]:
        runs: list[list[str]] = [[]]
        for i, value in enumerate(values):
            if value is None or not math.isfinite(value):
                runs.append([])
            else:
                runs[-1].append(f"{self.x(i)},{self.y(value)}")
        return [" ".join(run) for run in runs if len(run) > 1]


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _range(series: Sequence[Sequence[Number]]) -> tuple[float, float]:
    known = [v for values in series for v in values if v is not None and math.isfinite(v)]
    lo, hi = (min(known), max(known)) if known else (0.0, 1.0)
    pad = (hi - lo) * 0.05 or abs(hi) * 0.05 or 1.0
    return lo - pad, hi + pad


def _ticks(lo: float, hi: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers within ``[lo, hi]``."""
    raw = (hi - lo) / count
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= raw * 0.999)
    first = math.ceil(lo / step)
    return [round(i * step, 12) for i in range(first, math.floor(hi / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

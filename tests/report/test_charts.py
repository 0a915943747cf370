"""Charts are well-formed SVG whose points stand where the numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.report import charts
from nofx_pipelines.report.charts import Line, Whisker

numbers = st.floats(-1e6, 1e6, allow_nan=False)
SVG = "{http://www.w3.org/2000/svg}"


def drawing(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup[: markup.index("</svg>") + 6])


def points(markup: str) -> list[tuple[float, float]]:
    found = [p for line in drawing(markup).iter("polyline") for p in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in (p.split(",") for p in found)]


@given(st.lists(numbers, min_size=2, max_size=30))
def test_higher_values_stand_higher_and_inside(values: list[float]) -> None:
    drawn = points(charts.line_chart([str(i) for i in range(len(values))], [Line("x", values)], title="t"))
    assert len(drawn) == len(values)
    assert all(charts.LEFT <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT for x, y in drawn)
    order = sorted(range(len(values)), key=values.__getitem__)
    heights = [drawn[i][1] for i in order]
    assert heights == sorted(heights, reverse=True)


def test_a_null_breaks_the_line() -> None:
    markup = charts.line_chart(list("abcde"), [Line("x", [1.0, 2.0, None, 3.0, 4.0])], title="t")
    assert len(list(drawing(markup).iter("polyline"))) == 2


def test_names_are_escaped() -> None:
    markup = charts.bars([("<script>alert(1)</script>", 1.0)], title="</svg><script>")
    assert "<script>" not in markup
    drawing(markup)


@pytest.mark.parametrize(("lo", "hi"), [(0, 1), (-0.03, 0.12), (1e-6, 2e-6), (3e4, 9e7)])
def test_ticks_are_few_round_and_inside(lo: float, hi: float) -> None:
    ticks = charts._ticks(lo, hi)
    assert 2 <= len(ticks) <= 9
    assert all(lo <= t <= hi for t in ticks)


def test_whiskers_span_their_interval() -> None:
    markup = charts.whiskers([Whisker("rank IC", 0.05, 0.01, 0.09)], title="t")
    line = next(e for e in drawing(markup).iter("line") if "whisker" in e.attrib["class"])
    dot = next(drawing(markup).iter("circle"))
    assert float(line.attrib["x1"]) < float(dot.attrib["cx"]) < float(line.attrib["x2"])


def test_empty_input_draws_nothing() -> None:
    assert charts.bars([], title="t") == charts.whiskers([], title="t") == ""
    assert charts.scatter([], x_name="x", y_name="y", title="t") == ""

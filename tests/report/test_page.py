"""The page: whole before and after a run, self-contained, escaped, the same bytes for the same input."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl

from nofx_pipelines.config_file import default_config
from nofx_pipelines.lake.schemas import GATES, LEADERBOARD
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.report.page import render, write_report
from nofx_pipelines.report.view import UniverseView, read_view

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
EVIL = "<script>alert('x')</script>"
VOID = {"meta", "line", "circle", "rect", "polyline", "polygon", "br", "i"}


class Balance(HTMLParser):
    """Fails on a tag that closes another than the one open; collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID - {"i"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID - {"i"}:
            assert self.open.pop() == tag


def checked(page: str) -> Balance:
    found = Balance()
    found.feed(page)
    assert found.open == []
    assert [address for address in found.loaded if not address.startswith("#")] == []
    return found


def empty_view(home: Path) -> UniverseView:
    config = default_config(home)
    return read_view(Lake(config.lake), config.universes["cn"], config.feeds["cn", "1d"])


def judged(view: UniverseView, reason: str, *, passed: bool) -> UniverseView:
    gates = [("m", "2", "net_sharpe", 1.0, 0.5, passed, reason, NOW)]
    board = [
        ("m", "1", "rank_ic", "baseline", 0.01, -0.01, 0.03, 90, 7, "{}"),
        ("m", "2", "rank_ic", "candidate", 0.05, 0.02, 0.08, 90, 7, "{}"),
        ("m", "2", "sharpe", "candidate", None, None, None, 90, 7, "{}"),
    ]
    return dataclasses.replace(
        view,
        gates=pl.DataFrame(gates, schema=GATES.columns, orient="row"),
        leaderboard=pl.DataFrame(board, schema=LEADERBOARD.columns, orient="row"),
    )


def test_before_any_run_the_page_says_what_to_do_next(tmp_path: Path) -> None:
    page = render([empty_view(tmp_path)], NOW)
    checked(page)
    assert "no verdict yet" in page
    assert "nofx run --universe cn" in page


def test_a_verdict_stands_with_its_figures(tmp_path: Path) -> None:
    page = render([judged(empty_view(tmp_path), "net Sharpe 1.00 is above", passed=True)], NOW)
    checked(page)
    assert "promoted" in page
    assert "not promoted" not in page
    assert "0.050 [0.020, 0.080]" in page
    assert "unknown" in page  # the Sharpe ratio that is not known
    refused = render([judged(empty_view(tmp_path), "net Sharpe 1.00 is not above", passed=False)], NOW)
    assert "not promoted" in refused


def test_what_comes_from_data_is_escaped(tmp_path: Path) -> None:
    page = render([judged(empty_view(tmp_path), EVIL, passed=False)], NOW)
    checked(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_it_fits_a_phone_and_both_themes(tmp_path: Path) -> None:
    page = render([empty_view(tmp_path)], NOW)
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page


def test_the_same_views_and_clock_give_the_same_bytes(tmp_path: Path) -> None:
    config = default_config(tmp_path)
    lake = Lake(config.lake)
    pages = []
    for name in ("one.html", "two.html"):
        size = write_report(lake, config, tmp_path / "report" / name, now=NOW)
        pages.append((tmp_path / "report" / name).read_bytes())
        assert size == len(pages[-1])
    assert pages[0] == pages[1]
    assert [*(tmp_path / "report").glob("*.part")] == []

"""What lies in the inbox joins the chain, read with the formats that the chain names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines.config import FeedConfig, SourceConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.inbox import inbox_folder, inbox_link, inbox_problem, takes_files, with_inbox
from nofx_pipelines.market.ingest import ingest

NOW = datetime(2024, 6, 1, tzinfo=UTC)
START, END = date(2024, 1, 1), date(2024, 2, 1)
OWN = "symbol,session_date,open,high,low,close,volume\n000001.SZ,2024-01-02,1,1,1,1,100\n"
BROKER = "Ticker,Day,O,H,L,C,Lots\n600519,2024-01-02,10,12,9,11,3\n"
PLUGIN = """
from nofx_pipelines.market.sources.files.layout import Layout


class Broker:
    name, title, rank = "broker", "broker statements", 50
    columns = ("Ticker", "Day", "O", "H", "L", "C", "Lots")

    def recognise(self, head):
        if not set(self.columns) <= set(head.names):
            return None
        ours = ("symbol", "label", "open", "high", "low", "close", "volume")
        return Layout(self.name, dict(zip(ours, self.columns)), labels="session")


FORMAT = Broker()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a plug-in format, and a folder of bars that a built-in knows."""
    for folder in ("plugins", "bars", "inbox/cn/1d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "plugins" / "broker.py").write_text(PLUGIN)
    (tmp_path / "bars" / "own.csv").write_text(OWN)
    return tmp_path


def feed_of(home: Path, *formats: tuple[str, ...]) -> FeedConfig:
    links = tuple(
        SourceConfig("files", home / "bars", formats=names, plugins=home / "plugins") for names in formats
    )
    return FeedConfig(market="cn", freq="1d", sources=links, start=START, end=END)


def test_an_empty_inbox_leaves_the_feed_as_it_is(home: Path) -> None:
    feed = feed_of(home, ())
    assert with_inbox(feed, home, NOW) is feed
    assert inbox_problem(feed, home, NOW) is None


def test_a_waiting_file_is_read_with_the_chain_s_formats(home: Path) -> None:
    (inbox_folder(feed_of(home, ()), home) / "january.csv").write_text(BROKER)
    feed = with_inbox(feed_of(home, ("broker:FORMAT",)), home, NOW)
    assert [link.path for link in feed.sources] == [home / "bars", home / "inbox" / "cn" / "1d"]
    lake = Lake(home / "lake")
    options: dict[str, Any] = {"start": START, "end": END, "now": NOW, "run_id": "r", "code_version": "c"}
    assert ingest(lake, feed, **options).new == 2
    rows = lake.table("cn", "source_bars_1d").scan().collect().sort("instrument_id")
    assert rows.select("instrument_id", "close").rows() == [("CN.SSE.600519", 11.0), ("CN.SZSE.000001", 1.0)]


def test_a_file_that_no_format_of_the_chain_knows_is_a_problem(home: Path) -> None:
    feed = feed_of(home, ())
    (inbox_folder(feed, home) / "january.csv").write_text(BROKER)
    assert with_inbox(feed, home, NOW) is feed
    assert "january.csv: not recognised" in (inbox_problem(feed, home, NOW) or "")


def test_a_format_that_does_not_load_is_a_problem_that_names_it(home: Path) -> None:
    (home / "plugins" / "broker.py").write_text("import nowhere_to_be_found")
    feed = feed_of(home, ("broker:FORMAT",))
    (inbox_folder(feed, home) / "january.csv").write_text(BROKER)
    assert "plug-in 'broker:FORMAT'" in (inbox_problem(feed, home, NOW) or "")
    assert with_inbox(feed, home, NOW) is feed


def test_the_formats_of_all_links_count_once_each_in_the_chain_s_order(home: Path) -> None:
    feed = feed_of(home, ("b:FORMAT", "own"), (), ("a:FORMAT", "own"))
    link = inbox_link(feed, home / "one.csv")
    assert link == SourceConfig(
        "files", home / "one.csv", formats=("b:FORMAT", "own", "a:FORMAT"), plugins=home / "plugins"
    )


def test_only_a_simulation_takes_no_files(home: Path) -> None:
    simulated = SourceConfig("simulated", plugins=home / "plugins")
    feed = FeedConfig(market="cn", freq="1d", sources=(simulated,), start=START, end=END)
    (inbox_folder(feed, home) / "own.csv").write_text(OWN)
    assert not takes_files(feed)
    assert with_inbox(feed, home, NOW) is feed
    vendor = SourceConfig("vendor:SOURCE", plugins=home / "plugins")
    mixed = FeedConfig(market="cn", freq="1d", sources=(vendor,), start=START, end=END)
    assert [link.kind for link in with_inbox(mixed, home, NOW).sources] == ["vendor:SOURCE", "files"]

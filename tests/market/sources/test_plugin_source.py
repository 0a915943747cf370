"""Sources of the user's: ingested like the built-in ones; a broken promise names the plug-in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.bars import refresh_bars
from nofx_pipelines.market.ingest import IngestResult, ingest, pending_sessions
from nofx_pipelines.market.sources import Source, open_source
from nofx_pipelines.market.window import data_window

NOW = datetime(2024, 6, 1, tzinfo=UTC)
START, END = date(2024, 1, 1), date(2024, 2, 1)
SKELETONS = Path(plugins.__file__).parent / "skeletons"
ID = "CN.SSE.600519"
BAR = {"id": ID, "open": 10.0, "high": 10.2, "low": 9.9, "close": 10.1, "volume": 100.0, "amount": 1010.0}

# a source whose every answer can be replaced
MADE = """
from dataclasses import asdict
from datetime import date, datetime, timedelta

import polars as pl

from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, INSTRUMENTS, QUARANTINE, SOURCE_BARS
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources import Decision, SourceBatch
from nofx_pipelines.market.venues import listing


class Made:
    name = "made:SOURCE"

    def instruments(self):
        row = {**asdict(listing("CN.SSE.600519")), "valid_from": date(2024, 1, 2), "name": "x"}
        row |= {"lot_size": 100.0, "tick_size": 0.01}
        return pl.DataFrame([row], schema=INSTRUMENTS.columns)

    def bars(self, start, end):
        grid = calendar("cn").grid("1d", start, end)
        return grid.select(
            pl.lit("CN.SSE.600519").alias("instrument_id"), "ts_open", "ts_close", "session_date",
            "session_phase", pl.lit("1d").alias("freq"),
            *(pl.lit(10.0).alias(name) for name in ("open", "high", "low", "close", "volume")),
            pl.lit("traded").alias("status"), pl.lit("unadjusted").alias("price_basis"),
            pl.col("ts_close").alias("knowledge_time"), pl.lit("observed").alias("knowledge_kind"),
        )

    def batches(self, start, end):
        yield SourceBatch(self.bars(start, end))

    def corporate_actions(self):
        return pl.DataFrame(schema=CORPORATE_ACTIONS.columns)

    def truth(self):
        return {}

    def fingerprint(self):
        return "0123456789abcdef"

    def span(self):
        return date(2024, 1, 2), date(2024, 2, 1)

    def decisions(self):
        return [Decision("made", "format", "made up")]


class Kind:
    def open(self, config, *, market, freq, start, end, now):
        return Made()


SOURCE = Kind()
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Source]:
    """``made(method, body)``: the source above with another body of one method."""

    def opening(method: str = "", body: str = "") -> Source:
        text = MADE
        if method:
            head = next(line for line in MADE.splitlines() if line.startswith(f"    def {method}("))
            renamed = head.replace(f"def {method}(", f"def was_{method}(")
            text = MADE.replace(head, f"{head}\n        {body}\n\n{renamed}")
        (tmp_path / "made.py").write_text(text, encoding="utf-8")
        link = SourceConfig("made:SOURCE", plugins=tmp_path)
        return open_source(link, market="cn", freq="1d", start=START, end=END, now=NOW)

    return opening


def ask_everything(source: Source) -> None:
    source.span()
    source.fingerprint()
    source.decisions()
    source.instruments()
    source.corporate_actions()
    source.truth()
    list(source.batches(START, END))


def test_a_sound_source_delivers_whole_frames_under_its_name(made: Callable[..., Source]) -> None:
    source = made()
    ask_everything(source)
    (batch,) = source.batches(START, END)
    assert source.name == "made:SOURCE"
    assert batch.bars.height == 22
    assert batch.bars["source"].unique().to_list() == ["made:SOURCE"]
    assert batch.bars["amount"].null_count() == 22


@pytest.mark.parametrize(
    "method", ["instruments", "batches", "corporate_actions", "truth", "fingerprint", "span", "decisions"]
)
def test_whatever_raises_names_the_plugin_and_the_call(made: Callable[..., Source], method: str) -> None:
    for body, kind in (
        ("raise KeyError('token')", "KeyError"),
        ("from nofx_pipelines.errors import DataError; raise DataError('quota used up')", "DataError"),
    ):
        with pytest.raises(PluginError) as refused:
            ask_everything(made(method, body))
        assert "plug-in 'made:SOURCE' (source, " in refused.value.problem
        assert f"raised {kind} when asked for {method}()" in refused.value.problem


def test_what_raises_between_two_batches_names_the_plugin(made: Callable[..., Source]) -> None:
    source = made("batches", "yield SourceBatch(self.bars(start, end)); raise OSError('gone')")
    batches = source.batches(START, END)
    assert next(batches).bars.height == 22
    with pytest.raises(PluginError, match=r"'made:SOURCE'.*raised OSError when asked for batches\(\): gone"):
        next(batches)


def bars(change: str) -> tuple[str, str]:
    return "batches", f"yield SourceBatch(self.bars(start, end).{change})"


@pytest.mark.parametrize(
    ("method", "body", "says"),
    [
        (*bars("drop('close')"), None),  # may be null, so it may be missing: ingestion judges it
        (*bars("drop('status')"), "bars of batches(): lacks columns status"),
        (*bars("with_columns(pl.col('volume').cast(pl.Int64))"), "column volume is Int64, not Float64"),
        (*bars("with_columns(pl.lit(1.0).alias('vwap'))"), "has columns vwap, none of"),
        (*bars("lazy()"), "is LazyFrame"),
        (*bars("with_columns(pl.lit('files').alias('source'))"), "source = 'files' is not 'made:SOURCE'"),
        (*bars("with_columns(pl.lit('1m').alias('freq'))"), "freq = '1m' is not '1d'"),
        (*bars("with_columns(pl.lit('ok').alias('status'))"), "status = 'ok' is none of traded, no_trade"),
        (*bars("with_columns(pl.lit('raw').alias('price_basis'))"), "price_basis = 'raw' is none of"),
        (*bars("with_columns(pl.lit('day').alias('session_phase'))"), "session_phase = 'day' is none of"),
        (*bars("with_columns(pl.lit('sure').alias('knowledge_kind'))"), "knowledge_kind = 'sure' is none"),
        (*bars("with_columns(pl.col('ts_open').alias('knowledge_time'))"), "is before the bar's ts_close"),
        (*bars("with_columns(pl.lit('CN.SSE.600000').alias('instrument_id'))"), "is not in instruments()"),
        (
            "batches",
            "yield SourceBatch(self.bars(start, end + timedelta(days=9)))",
            "session_date = datetime.date(2024, 2, 1) is not in [2024-01-01, 2024-02-01)",
        ),
        (
            "batches",
            "yield SourceBatch(self.bars(date(2023, 12, 1), end))",
            "session_date = datetime.date(2023, 12, 1) is not in [2024-01-01, 2024-02-01)",
        ),
        ("batches", "yield self.bars(start, end)", "gave DataFrame as a batch, not a SourceBatch"),
        ("batches", "yield None", "gave NoneType as a batch"),
        ("batches", "return 5", "raised TypeError when asked for batches()"),
        (
            "batches",
            "yield SourceBatch(self.bars(start, end), pl.DataFrame({'rule': ['x']}))",
            "rejects of batches(): lacks columns quarantine_id",
        ),
        ("instruments", "return self.was_instruments().drop('board')", "instruments(): lacks columns board"),
        (
            "instruments",
            "return self.was_instruments().with_columns(pl.lit('hk').alias('market'))",
            "market = 'hk' is not 'cn'",
        ),
        (
            "instruments",
            "return self.was_instruments().with_columns(pl.lit('HK.SEHK.00700').alias('instrument_id'))",
            "instrument_id = 'HK.SEHK.00700' does not begin with CN.",
        ),
        (
            "instruments",
            "return self.was_instruments().with_columns(pl.lit('CN.600519').alias('instrument_id'))",
            "instrument_id 'CN.600519' breaks a rule",
        ),
        ("corporate_actions", "return None", "corporate_actions(): is NoneType, not a polars DataFrame"),
        (
            "corporate_actions",
            "return pl.DataFrame({'instrument_id': ['CN.SSE.600519'], 'ex_date': [date(2024, 1, 3)],"
            " 'kind': ['gift'], 'knowledge_time': [datetime(2024, 1, 3)]}).with_columns("
            "pl.col('knowledge_time').dt.replace_time_zone('UTC'))",
            "kind = 'gift' is none of dividend, bonus, rights, split",
        ),
        (
            "truth",
            "return {'bars': self.bars(date(2024, 1, 2), date(2024, 1, 3))}",
            "not a dict of truth_signal",
        ),
        ("truth", "return {'truth_signal': pl.DataFrame()}", "truth_signal of truth(): lacks columns"),
        ("truth", "return None", "gave truth() = None"),
        ("fingerprint", "return 12345678", "gave fingerprint() = 12345678, not 8 to 200 hex digits"),
        ("fingerprint", "return 'yesterday'", "gave fingerprint() = 'yesterday'"),
        ("span", "return [date(2024, 1, 2), date(2024, 2, 1)]", "not two dates in order"),
        ("span", "return date(2024, 2, 1), date(2024, 1, 2)", "not two dates in order"),
        ("span", "return datetime(2024, 1, 2), datetime(2024, 2, 1)", "not two dates in order"),
        ("decisions", "return ['format']", "gave 'format' among decisions()"),
        ("decisions", "return [Decision('made', 'rows', 5)]", "among decisions(), not a Decision of texts"),
        ("open", "return None", "opened NoneType, which lacks instruments, batches"),
        ("open", "raise OSError('no route')", "raised OSError when opening it: no route"),
        ("open", "other = Made(); other.name = 'vendor'; return other", "a source with name = 'vendor'"),
        ("open", "other = Made(); other.name = 'files'; return other", "a source with name = 'files'"),
    ],
)
def test_a_broken_promise_names_the_plugin(
    made: Callable[..., Source], method: str, body: str, says: str | None
) -> None:
    if says is None:
        ask_everything(made(method, body))
        return
    with pytest.raises(PluginError) as refused:
        ask_everything(made(method, body))
    assert "plug-in 'made:SOURCE' (source, " in refused.value.problem
    assert says in refused.value.problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_to_be_found", "raised ModuleNotFoundError when importing it"),
        (MADE.replace("SOURCE =", "KIND ="), "has no 'SOURCE'"),
        (MADE.replace("def open", "def connect"), "has no method open(config, "),
        (MADE.replace("def span", "def extent"), "opened Made, which lacks span"),
        (MADE.replace("class Kind:", "class Kind:\n    name = 'simulated'"), "which is a built-in source"),
    ],
)
def test_what_is_no_source_is_refused_when_it_is_opened(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "made.py").write_text(text, encoding="utf-8")
    link = SourceConfig("made:SOURCE", plugins=tmp_path)
    with pytest.raises(PluginError, match=r"plug-in 'made:SOURCE' \(source, .*made\.py\)") as refused:
        open_source(link, market="cn", freq="1d", start=START, end=END, now=NOW)
    assert says in refused.value.problem


class Home:
    """A lake and a feed of the skeleton's source, whose file of lines can be rewritten."""

    def __init__(self, folder: Path, *others: SourceConfig) -> None:
        self.folder = folder
        (folder / "plugins").mkdir()
        render("sources", "vendor", folder / "plugins")
        options = (("path", str(folder / "bars.jsonl")),)
        link = SourceConfig("vendor:SOURCE", options=options, plugins=folder / "plugins")
        self.feed = FeedConfig(market="cn", freq="1d", sources=(link, *others), start=START, end=END)
        self.lake = Lake(folder / "lake")

    def write(self, *bars: dict[str, Any]) -> None:
        text = "\n".join(json.dumps(BAR | bar) for bar in bars)
        (self.folder / "bars.jsonl").write_text(text, encoding="utf-8")

    def run(self, now: datetime = NOW) -> IngestResult:
        options: dict[str, Any] = {"start": START, "end": END, "now": now, "run_id": "r", "code_version": "c"}
        return ingest(self.lake, self.feed, **options)

    def table(self, name: str) -> pl.DataFrame:
        return self.lake.table("cn", name).scan().collect()


def render(kind: str, name: str, folder: Path) -> None:
    for source, target in ((f"{kind}.py.txt", f"{name}.py"), (f"{kind}_test.py.txt", f"test_{name}.py")):
        text = (SKELETONS / source).read_text(encoding="utf-8").replace("__NAME__", name)
        (folder / target).write_text(text, encoding="utf-8")


def test_a_plugin_source_is_ingested_with_revisions_and_quarantine(tmp_path: Path) -> None:
    home = Home(tmp_path)
    bad = {"day": "2024-01-04", "high": 9.0}  # below open and close
    home.write({"day": "2024-01-02"}, {"day": "2024-01-03"}, bad, {"day": "2024-01-06"})
    first = home.run()
    assert (first.rows, first.new, first.revised, first.rejected) == (2, 2, 0, 2)
    assert [each.value for each in first.decisions] == ["JSON lines", "unadjusted"]
    rules = home.table("quarantine").sort("rule").select("rule", "file", "source").rows()
    assert rules == [
        ("not_a_session", "bars.jsonl:4", "vendor:SOURCE"),
        ("ohlc_order", "bars.jsonl:3", "vendor:SOURCE"),
    ]
    assert home.table("instruments")["instrument_id"].to_list() == [ID]
    assert home.run().sessions == ()  # its fingerprint is the file's
    home.write({"day": "2024-01-02"}, {"day": "2024-01-03", "close": 10.15})
    asked: dict[str, Any] = {"start": START, "end": END, "now": NOW, "code_version": "c"}
    assert len(pending_sessions(home.lake, home.feed, **asked)) == 22
    again = home.run()
    assert (again.new, again.revised, again.rejected) == (0, 1, 0)
    rows = home.table("source_bars_1d").sort("session_date", "revision")
    assert rows.select("revision", "close", "source").rows() == [
        (0, 10.1, "vendor:SOURCE"),
        (0, 10.1, "vendor:SOURCE"),
        (1, 10.15, "vendor:SOURCE"),
    ]
    assert data_window(home.feed, None, None, NOW) == (date(2024, 1, 2), date(2024, 1, 4))


def test_a_plugin_source_stands_where_the_chain_puts_it(tmp_path: Path) -> None:
    """The bars' source is the link's kind, so the chain's first one wins, plug-in or not."""
    (tmp_path / "own.csv").write_text(
        "symbol,session_date,open,high,low,close,volume\n600519.SH,2024-01-02,5,5,5,5,100\n"
        "600519.SH,2024-01-03,5,5,5,5,100\n"
    )
    files = SourceConfig("files", tmp_path / "own.csv")
    home = Home(tmp_path, files)
    home.write({"day": "2024-01-02"})
    home.run()
    assert set(home.table("source_bars_1d")["source"]) == {"files", "vendor:SOURCE"}
    universe = UniverseConfig(name="mine", market="cn", freq="1d")
    refresh_bars(home.lake, universe, home.feed, start=START, end=END, now=NOW, run_id="r", code_version="c")
    bars = home.lake.table("mine", "bars").scan().collect().filter(pl.col("close").is_not_null())
    assert bars.sort("session_date").select("source", "close").rows() == [
        ("vendor:SOURCE", 10.1),
        ("files", 5.0),
    ]


def test_a_source_that_fails_leaves_the_lake_as_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write({"day": "2024-01-02"})
    home.run()
    before = home.table("source_bars_1d")
    (tmp_path / "bars.jsonl").unlink()
    with pytest.raises(
        PluginError, match=r"plug-in 'vendor:SOURCE'.*raised FileNotFoundError when opening it"
    ):
        home.run()
    assert home.table("source_bars_1d").equals(before)


def test_the_skeleton_passes_its_own_test(tmp_path: Path) -> None:
    render("sources", "mine", tmp_path)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout

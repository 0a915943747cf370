"""Formats of the user's: read like the built-in ones, refused by their name, and alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import ConfigError, DataError, PluginError, UnrecognisedFile
from nofx_pipelines.market.fingerprints import text_hash
from nofx_pipelines.market.sources.files import file_index, open_files
from nofx_pipelines.market.sources.files.file_index import digest
from nofx_pipelines.market.sources.files.formats import load_formats
from nofx_pipelines.market.sources.files.source import FilesSource
from nofx_pipelines.plugins import builtin_names
from tests.member_files import members_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
START, END = date(2024, 1, 1), date(2024, 2, 1)
BROKER = "Ticker,Day,O,H,L,C,Lots\n600519,2024-01-02,10,12,9,11,3\n600519,2024-01-03,11,13,10,12,4\n"
OWN = "symbol,session_date,open,high,low,close,volume\n000001.SZ,2024-01-02,1,1,1,1,100\n"
PLUGIN = """
from nofx_pipelines.market.sources.files.layout import Layout, Units


class Broker:
    name = "broker"
    title = "broker statements"
    columns = ("Ticker", "Day", "O", "H", "L", "C", "Lots")
    rank = 50

    def recognise(self, head):
        if not set(self.columns) <= set(head.names):
            return None
        ours = ("symbol", "label", "open", "high", "low", "close", "volume")
        layout = Layout(
            self.name, dict(zip(ours, self.columns)), labels="session", units=Units(volume=100.0)
        )
        return layout


FORMAT = Broker()
"""

Open = Callable[..., FilesSource]


@pytest.fixture
def read(tmp_path: Path) -> Open:
    """``read(plugin_text, files=…, formats=…)``: a files source over the files, with plug-ins in a folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "bars").mkdir()

    def reading(
        text: str = PLUGIN,
        files: dict[str, str] | None = None,
        formats: tuple[str, ...] = ("broker:FORMAT",),
        path: str = "bars",
    ) -> FilesSource:
        (tmp_path / "plugins" / "broker.py").write_text(text, encoding="utf-8")
        for name, content in ({"january.csv": BROKER} if files is None else files).items():
            file = tmp_path / "bars" / name
            if (
                not file.exists()
            ):  # what stands there keeps its time of change, by which surveys are remembered
                file.write_text(content, encoding="utf-8")
        link = SourceConfig("files", tmp_path / path, formats=formats, plugins=tmp_path / "plugins")
        return open_files(link, market="cn", freq="1d", start=START, end=END, now=NOW)

    return reading


def closes(source: FilesSource) -> dict[tuple[str, date], float]:
    rows = [
        row
        for batch in source.batches(START, END)
        for row in batch.bars.select("instrument_id", "session_date", "close").iter_rows()
    ]
    return {(name, day): close for name, day, close in rows}


def test_every_file_of_the_folder_that_assigns_format_is_asked_the_particular_before_the_general() -> None:
    assert builtin_names("formats") == members_of("formats")
    first_ones = ("corporate_actions", "futu", "tushare", "hikyuu", "czsc", "binance_klines", "own")
    asked = [each.name for each in load_formats()]
    assert len(asked) == len(members_of("formats"))
    assert [name for name in asked if name in first_ones] == [*first_ones]


def test_a_file_that_no_built_in_knows_is_read(read: Open) -> None:
    source = read()
    assert closes(source) == {
        ("CN.SSE.600519", date(2024, 1, 2)): 11.0,
        ("CN.SSE.600519", date(2024, 1, 3)): 12.0,
    }
    (batch,) = source.batches(START, END)
    assert batch.bars["volume"].to_list() == [300.0, 400.0]
    assert [each.value for each in source.decisions() if each.matter == "format"] == ["broker"]
    with pytest.raises(DataError, match=r"january\.csv: not recognised"):
        read(formats=())


def test_formats_that_are_named_come_before_the_built_in_ones(read: Open) -> None:
    text = PLUGIN.replace(
        '("Ticker", "Day", "O", "H", "L", "C", "Lots")', repr(tuple(OWN.split()[0].split(",")))
    )
    source = read(text.replace('labels="session"', 'price_basis="forward"'), {"own.csv": OWN})
    (batch,) = source.batches(START, END)
    assert batch.bars["price_basis"].to_list() == ["forward"]
    assert batch.bars["volume"].to_list() == [10_000.0]


def test_several_are_asked_by_rank_and_a_built_in_may_be_named(tmp_path: Path) -> None:
    for name, rank in (("late", 70), ("early", 5)):
        (tmp_path / f"{name}.py").write_text(PLUGIN.replace("50", str(rank)).replace('"broker"', f'"{name}"'))
    asked = load_formats(("late:FORMAT", "own", "early:FORMAT"), tmp_path)
    assert [each.name for each in asked][:4] == ["early", "late", "own", "corporate_actions"]
    assert len(asked) == len(load_formats()) + 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise KeyError('Ticker')", "raised KeyError when looking at january.csv"),
        ("from nofx_pipelines.errors import DataError; raise DataError('odd')", "raised DataError"),
        ("return 'broker'", "gave str, not a Layout or None"),
        ("return Layout('broker', {'label': 'Day'})", "maps nothing to open, high, low, close, volume"),
        (
            "return Layout('broker', {'label': 'Date'})",
            "maps 'label' to 'Date', a column that the file lacks",
        ),
        ("return Layout('broker', {'label': 'Day', 'closing': 'C'})", "maps 'closing', which is none of"),
    ],
)
def test_one_that_fails_on_a_file_costs_that_file_and_names_itself(read: Open, body: str, says: str) -> None:
    guarded = f"if 'Ticker' not in head.names: return None\n        {body}"
    text = PLUGIN.replace("if not set(self.columns) <= set(head.names):\n            return None", guarded)
    source = read(text, {"january.csv": BROKER, "own.csv": OWN})
    assert closes(source) == {("CN.SZSE.000001", date(2024, 1, 2)): 1.0}
    (failed,) = [each for each in source.decisions() if each.value == "plugin error"]
    assert failed.subject == "january.csv"
    assert "plug-in 'broker:FORMAT'" in failed.evidence
    assert says in failed.evidence
    (batch, _) = source.batches(START, END)
    assert batch.rejects.select("rule", "file").rows() == [("plugin_error", "january.csv")]
    assert says in batch.rejects["reason"][0]
    says_so = r"january\.csv: plug-in 'broker:FORMAT' \(format, .*mend the plug-in's file"
    with pytest.raises(DataError, match=says_so):
        read(text, path="bars/january.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_to_be_found", "raised ModuleNotFoundError when importing it"),
        ("FORMATS = 1", "has no 'FORMAT'"),
        (PLUGIN.replace('name = "broker"', 'name = "own"'), "calls itself 'own', which is a built-in format"),
        (PLUGIN.replace('name = "broker"', "name = 7"), "has name = 7"),
        (PLUGIN.replace('title = "broker statements"', "title = ''"), "has title = ''"),
        (PLUGIN.replace("    rank = 50\n", ""), "is no format: it lacks rank"),
        (PLUGIN.replace("rank = 50", "rank = '50'"), "has rank = '50'"),
        (PLUGIN.replace("def recognise", "def recognize"), r"has no method recognise\(head\)"),
        (PLUGIN.replace('columns = ("Ticker",', 'columns = (1, "Ticker",'), r"has columns = \(1,"),
    ],
)
def test_one_that_is_no_format_blocks_the_source_and_names_itself(read: Open, text: str, says: str) -> None:
    with pytest.raises(PluginError, match=rf"plug-in 'broker:FORMAT' \(format, .*broker\.py\) .*{says}"):
        read(text, {"own.csv": OWN})


def test_an_unknown_name_is_refused_with_the_known_ones(read: Open) -> None:
    with pytest.raises(ConfigError, match=r"'elsewhere:FORMAT'.*known are actions, binance"):
        read(formats=("elsewhere:FORMAT",))


def test_a_changed_format_has_its_files_read_again(read: Open) -> None:
    before = read()
    prints, known = before.fingerprint(), closes(before)
    assert read().fingerprint() == prints
    swapped = read(PLUGIN.replace('"open", "high", "low", "close"', '"close", "high", "low", "open"'))
    assert swapped.fingerprint() != prints
    assert sorted(closes(swapped).values()) == [10.0, 11.0]
    assert sorted(known.values()) == [11.0, 12.0]
    # a comment leaves the surveys alone, but it is another version of the code
    surveys = len(file_index._surveys)
    assert read(PLUGIN + "# mended\n").fingerprint() != prints
    assert len(file_index._surveys) == surveys


def test_without_formats_the_fingerprint_is_that_of_the_bytes(read: Open, tmp_path: Path) -> None:
    source = read(files={"own.csv": OWN}, formats=())
    path = tmp_path / "bars" / "own.csv"
    assert source.fingerprint() == text_hash(["cn", "1d", str(path), digest(path)])
    assert read(files={}, formats=("own",)).fingerprint() != source.fingerprint()


def test_a_file_of_no_format_hears_of_the_plugin_too(read: Open) -> None:
    lacking = BROKER.replace("Lots", "Shares")
    with pytest.raises(UnrecognisedFile, match="the nearest format, broker, needs Lots too") as refused:
        read(files={"january.csv": lacking}, path="bars/january.csv")
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("give one of: broker statements, corporate actions")


def test_its_corporate_actions_are_mapped_too(read: Open) -> None:
    body = """
        if "Ex" in head.names:
            columns = {"symbol": "Ticker", "label": "Ex", "kind": "What", "cash": "Yuan"}
            return Layout("broker_actions", columns, kind="actions")
        if not set(self"""
    text = PLUGIN.replace("\n        if not set(self", body)
    actions = "Ticker,Ex,What,Yuan\n600519,2024-01-03,dividend,2.5\n600519,2024-01-04,gift,1\n"
    source = read(text, {"january.csv": BROKER, "actions.csv": actions})
    assert source.corporate_actions().select("instrument_id", "ex_date", "kind", "cash").rows() == [
        ("CN.SSE.600519", date(2024, 1, 3), "dividend", 2.5)
    ]
    (batch, _) = source.batches(START, END)
    assert batch.rejects.select("rule", "file").rows() == [("bad_action", "actions.csv:3")]


def test_the_skeleton_passes_its_own_test(tmp_path: Path) -> None:
    from nofx_pipelines import plugins

    skeletons = Path(plugins.__file__).parent / "skeletons"
    for source, target in (("formats.py.txt", "mine.py"), ("formats_test.py.txt", "test_mine.py")):
        text = (skeletons / source).read_text(encoding="utf-8").replace("__NAME__", "mine")
        (tmp_path / target).write_text(text, encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout

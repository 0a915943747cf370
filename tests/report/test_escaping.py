"""Names and reasons with markup, in every page and every text of the UI: they come out as text."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from markdown_it import MarkdownIt

from assets.build import config_error_definitions
from assets.outcome import column_schema, decisions_markdown, image
from nofx_pipelines.anomaly.formatting import events_markdown, recovery_markdown
from nofx_pipelines.anomaly.investigation import investigate
from nofx_pipelines.cli.terminal import plain, table
from nofx_pipelines.config import SourceConfig
from nofx_pipelines.features import Feature, FeatureSet, close
from nofx_pipelines.figures.style import new_figure, png, style
from nofx_pipelines.market.sources import Decision
from nofx_pipelines.report import catalogue
from nofx_pipelines.report.page import render
from nofx_pipelines.report.view import UniverseView, read_view
from tests.chain import Chain

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
EVIL = (
    "</td></svg></style><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "' onload='document.title=1' [a](javascript:1) **b** | [red]r[/red] & &lt;"
)
NAMES = (
    "instrument_id", "gate", "reason", "rule", "version", "model", "model_version", "cluster", "name",
    "role", "agent", "run", "source", "table", "code", "content", "type", "channel", "note", "code_version",
    "policy_version",
)  # fmt: skip
"""Columns of text whose values nothing in a page decides on."""
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])  # raw HTML is HTML here
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3", "p",
    "a", "b", "i", "dl", "dt", "dd", "div", "span", "code", "table", "thead", "tbody", "tr", "th", "td",
    "details", "summary", "figure", "figcaption", "svg", "text", "line", "circle", "rect", "polyline",
    "polygon",
}  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and texts as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(page: str) -> Page:
    """The page's only tags and attributes are ours; EVIL is text."""
    read = Page(page)
    assert read.tags <= TAGS, read.tags - TAGS
    assert not [name for name in read.attributes if name.startswith("on") or name in ("src", "srcdoc")]
    assert EVIL in read.text
    return read


def evil(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with EVIL where nothing in a page decides on the text."""
    names = [n for n, kind in frame.schema.items() if n in NAMES and kind in (pl.String, pl.Categorical)]
    frame = frame.with_columns(pl.lit(EVIL).alias(name) for name in names)
    if "explanation" in frame.columns and frame.height:
        found = [
            [{**line, "feature": EVIL, "contribution": 9.0} for line in lines]
            for lines in frame["explanation"]
        ]
        frame = frame.with_columns(pl.Series("explanation", found, dtype=frame.schema["explanation"]))
    return frame


def evil_everywhere(value: Any) -> Any:
    """Every frame of a view, and of the views in it."""
    if isinstance(value, pl.DataFrame):
        return evil(value)
    if dataclasses.is_dataclass(value) and type(value).__name__.endswith("View"):
        fields = {f.name: evil_everywhere(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)  # type: ignore[type-var]
    return value


@pytest.fixture(scope="module")
def view(finished_chain: Chain) -> UniverseView:
    """A finished universe whose instruments, gates, reasons, roles and versions are all called EVIL."""
    read = read_view(finished_chain.lake, finished_chain.universe, finished_chain.feed)
    read = evil_everywhere(read)
    quarantine = pl.DataFrame({"rule": [EVIL], "rows": [3]}, schema={"rule": pl.String, "rows": pl.UInt32})
    feed = dataclasses.replace(read.feed, sources=(SourceConfig(kind=EVIL),))
    return dataclasses.replace(read, quarantine=quarantine, feed=feed)


def test_the_report_shows_names_as_text(view: UniverseView) -> None:
    page = harmless(render([view], NOW))
    assert page.text.count(EVIL) > 30
    for chapter in ("Verdict and gates", "Price with features", "Anomalies", "Agents", "Latest signals"):
        part = page.text.partition(f"{chapter}")[2]
        assert EVIL in part[:60_000], chapter


def test_the_catalogue_shows_names_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    features = FeatureSet(EVIL, (Feature("plain", close, "price", EVIL, False),))
    page = harmless(catalogue.render([features]))
    assert page.text.count(EVIL) == 3
    assert f"#{EVIL}" in page.values


def only_text(markdown: str) -> str:
    """The text of Markdown that holds nothing but headings, paragraphs and tables."""
    blocks = {"heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td", "inline"}
    text = ""
    for token in PARSER.parse(markdown):
        assert token.type.removesuffix("_open").removesuffix("_close") in blocks, token
        for child in token.children or []:
            assert child.type in ("text", "text_special", "softbreak"), child
            text += child.content
    return text


def test_what_dagster_shows_as_markdown_is_text(finished_chain: Chain, view: UniverseView) -> None:
    assert EVIL in only_text(events_markdown(view.anomalies.events))
    recovered = pl.DataFrame({"kind": [EVIL], "planted": [2], "found": [1], "recall": [0.5]})
    assert EVIL in only_text(recovery_markdown(recovered, None))
    assert EVIL in only_text(decisions_markdown([Decision(EVIL, EVIL, EVIL, EVIL)]))
    (asset,) = config_error_definitions(EVIL).assets or ()
    assert EVIL in only_text(next(iter(asset.descriptions_by_key.values())))  # type: ignore[union-attr]
    shown = image(b"png", EVIL).md_str
    assert shown is not None
    children = [child for token in PARSER.parse(shown) for child in token.children or []]
    assert [child.type for child in children] == ["image"]
    described = column_schema(finished_chain.table("bars"), {"close": EVIL})
    assert EVIL in only_text(next(c.description or "" for c in described.columns if c.name == "close"))


def test_an_investigation_s_page_is_text(chain: Chain) -> None:
    events = chain.table("anomalies")
    first = events.scan().collect().head(1)
    first = evil(first).with_columns(instrument_id=events.scan().collect()["instrument_id"].head(1))
    events.overwrite(first)
    page = investigate(chain.lake, chain.universe, chain.feed, first["anomaly_id"][0])
    assert EVIL in only_text(page)


def test_a_terminal_shows_and_does_not_obey() -> None:
    name = "a\x1b[2J\x1b]0;title\x07\r\u202eb\nc\td"
    shown = table(["name"], [[name], ["x"]])
    assert shown.split("\n")[1] == "a\\x1b[2J\\x1b]0;title\\x07\\r\\u202eb\\nc\\td"
    assert shown.count("\n") == 2
    assert plain("价格 [red] é\n\t") == "价格 [red] é\n\t"


def test_a_figure_s_texts_are_not_formulas() -> None:
    with style():
        drawing, axes = new_figure()
        axes.plot([0, 1], label="$\\frac{$ _{x} $")
        axes.set_title("$not a formula")
        axes.legend()
    assert png(drawing)


def test_no_browser_runs_what_a_name_says(view: UniverseView, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    features = FeatureSet(EVIL, (Feature("plain", close, "price", EVIL, False),))
    page = render([view], NOW)
    pages = {
        "report": page,
        "catalogue": catalogue.render([features]),
        "control": page.replace("<main>", f"<main>{EVIL}", 1),
    }
    titles, errors = {}, []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, text in pages.items():
            (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
            tab = browser.new_page()
            tab.on("request", lambda request: errors.append(request.url) if request.url[-1] == "x" else None)
            tab.goto((tmp_path / f"{name}.html").as_uri())
            titles[name] = tab.title()
            if name != "control":
                assert tab.locator("script, img").count() == 0
            tab.close()
        browser.close()
    assert titles == {"report": "NOFX report", "catalogue": "NOFX features", "control": "taken"}

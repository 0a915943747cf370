"""Escaped text against a Markdown parser: text comes out, and nothing but text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nofx_pipelines.markdown import escape, table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])  # raw HTML is HTML here
MARKS = st.text(alphabet="ab1 \\`*_{}[]()<>#+-.!|~&;:/=^$\"'\n\t\r\x00\x1b价www.http", max_size=40)
AWFUL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://example.org/a.png)",
    "<http://example.org>",
    "http://example.org/ and www.example.org and mailto:a@example.org",
    "**bold** __bold__ _i_ *i* ~~s~~ `code` ``` x",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "# title",
    "- list",
    "1. list",
    "1) list",
    "> quote",
    "---",
    "a\n===",
    "&lt;b&gt; &amp; &#60;",
    "\\*a\\*",
    "    code",
    "a  \nb",
    "[ref]: http://example.org",
    "net_sharpe deflated_sharpe _x_",
]


def shown(text: str) -> str:
    """What a reader sees of a text of one line."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).split())


def read(markdown: str) -> list[tuple[str, str]]:
    """Kinds and texts of what a parser finds inside its blocks."""
    return [
        (child.type, child.content)
        for token in PARSER.parse(markdown)
        for child in (token.children or [token])
        if token.type == "inline" or token.content
    ]


ADDRESSES = re.compile(r"(https?|mailto|javascript|data):|www\.")
"""What GitHub's dialect makes links of, which this parser does not."""


@pytest.mark.parametrize("text", AWFUL)
def test_the_parser_sees_more_in_it(text: str) -> None:
    """The cases are cases: as they stand, each is more than its text."""
    found = read(text)
    only = {kind for kind, _ in found} <= {"text"} and "".join(part for _, part in found) == shown(text)
    assert not only or ADDRESSES.search(text)


@given(MARKS)
@example("1.")
@example("- ")
@example("[red]rich[/red]")
@example("a\\")
@example("===")
def test_escaped_text_is_text(text: str) -> None:
    tokens = PARSER.parse(f"{escape(text)}\n")
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    children = [child for token in tokens for child in token.children or []]
    assert {child.type for child in children} <= {"text", "text_special"}
    assert " ".join("".join(child.content for child in children).split()) == shown(text)


@pytest.mark.parametrize("text", AWFUL)
def test_awful_text_is_text(text: str) -> None:
    assert not ADDRESSES.search(escape(text))
    test_escaped_text_is_text.hypothesis.inner_test(text)


@given(st.lists(st.tuples(MARKS, MARKS), min_size=1, max_size=3))
def test_a_table_s_cells_are_text(rows: list[tuple[str, str]]) -> None:
    tokens = PARSER.parse(table(("one", "two"), rows))
    kinds = {token.type for token in tokens if not token.type.endswith("_close")}
    assert kinds <= {"table_open", "thead_open", "tbody_open", "tr_open", "th_open", "td_open", "inline"}
    cells = [token for token in tokens if token.type == "inline"][2:]
    assert len(cells) == 2 * len(rows)
    for cell, text in zip(cells, (text for row in rows for text in row), strict=True):
        assert {child.type for child in cell.children or []} <= {"text", "text_special"}
        assert " ".join("".join(c.content for c in cell.children or []).split()) == shown(text)

"""docs/architecture.md shows the imports as they are: none upwards, and no circle."""

from __future__ import annotations

from tests.architecture import PAGE, PICTURE, ROOT, block, imports, nearest, picture, upwards


def test_no_import_leads_upwards_and_none_is_left_out() -> None:
    edges = imports()
    assert upwards(edges) == []
    assert sum(map(len, edges.values())) > 100
    package = ROOT / "nofx_pipelines"
    modules = {file.stem for file in package.glob("*.py")} - {"__init__"}
    modules |= {folder.parent.name for folder in package.glob("*/__init__.py")} | {"assets", "resources"}
    assert modules == set(edges)


def test_an_import_that_leads_upwards_would_be_seen() -> None:
    edges = dict(imports())
    edges["market"] = edges["market"] | {"promotion"}
    assert upwards(edges) == [("market", "promotion")]


def test_what_is_not_drawn_leads_through_another_package() -> None:
    assert nearest({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}) == {
        "a": frozenset("b"),
        "b": frozenset("c"),
        "c": frozenset(),
    }


def test_the_page_and_the_picture_are_those_of_this_code() -> None:
    edges = imports()
    assert block(edges) in PAGE.read_text(encoding="utf-8")
    assert PICTURE.read_text(encoding="utf-8") == picture(edges)

"""The report: one self-contained HTML file; nothing is loaded from a network, nothing runs."""

from __future__ import annotations

import os
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from nofx_pipelines import __version__
from nofx_pipelines.config import Config
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.report.chapter import card, chapter
from nofx_pipelines.report.view import UniverseView, read_view


def write_report(lake: Lake, config: Config, path: Path, *, now: datetime) -> int:
    """Write the report over all universes beside ``path`` and rename it into place; its size in bytes."""
    views = [read_view(lake, universe, config.feed_of(universe)) for universe in config.universes.values()]
    markup = render(views, now).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_bytes(markup)
    draft.replace(path)
    return len(markup)


def render(views: list[UniverseView], now: datetime) -> str:
    """The page as text; the same views and clock give the same bytes."""
    style = files("nofx_pipelines.report").joinpath("page.css").read_text(encoding="utf-8")
    cards = "".join(card(view) for view in views)
    chapters = "\n".join(chapter(view) for view in views)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>NOFX report</title>"
        f"<style>{style}</style></head><body>"
        f'<header><h1>NOFX report</h1><p class="soft">{now:%Y-%m-%d %H:%M} UTC · '
        f"nofx-pipelines {__version__}</p></header>"
        f'<main><div class="cards">{cards}</div>{chapters}</main></body></html>\n'
    )

"""Which format a part is, by its columns and values."""

from __future__ import annotations

from collections.abc import Sequence

from nofx_pipelines.market.sources.files.formats import Format, load_formats
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head


def recognise(head: Head, formats: Sequence[Format] | None = None) -> Layout | None:
    """The layout by the first of ``formats`` (the built-in ones) that knows the columns, None if none does.

    Raises ``PluginError`` when a plug-in among them fails on this file.

    >>> recognise(Head("a.csv", ("timestamp", "open", "high", "low", "close", "volume"), ())).format
    'ohlcv'
    """
    if not head.rows and head.columns is None:
        return None
    formats = load_formats() if formats is None else formats
    return next((layout for each in formats if (layout := each.recognise(head)) is not None), None)


def known_formats(formats: Sequence[Format]) -> str:
    """What the formats read, as a sentence.

    >>> "Futu candles, Tushare daily, hikyuu daily" in known_formats(load_formats())
    True
    """
    *others, last = [each.title for each in formats]
    return f"{', '.join(others)}, and {last}"


def closest(head: Head, formats: Sequence[Format]) -> str:
    """What the nearest format lacks, for the message about a file that none knows."""
    names = {name.lower() for name in head.names}
    described = [each for each in formats if each.columns]
    lacking = {
        each.name: [column for column in each.columns if column.lower() not in names] for each in described
    }
    general = described[-1].name
    name = min(lacking, key=lambda each: (len(lacking[each]), each != general))
    return f"the nearest format, {name}, needs {', '.join(lacking[name])} too" if lacking[name] else ""

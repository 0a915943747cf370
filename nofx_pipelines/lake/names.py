"""The one place where scopes, table names and SQL identifiers are checked and quoted.

A scope is a market (``cn``) or a universe (``csi300_1d``); a name is a table of
`nofx_pipelines.lake.schemas`, where ``source_bars`` carries its frequency.
"""

from __future__ import annotations

import re
from dataclasses import replace

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.schemas import SOURCE_BARS, TABLES, TableSchema

_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_SOURCE_BARS = re.compile(r"source_bars_[0-9]{1,3}[a-z]\Z")


def checked_scope(scope: str) -> str:
    """Return ``scope`` unchanged if it can be a folder's name, else raise `LakeError`.

    >>> checked_scope("csi300_1d")
    'csi300_1d'
    """
    if not isinstance(scope, str) or not _SCOPE.match(scope):
        raise LakeError(
            f"scope {scope!r} is not a name: it takes letters, digits, '_' and '-', first a letter or digit",
            kept="nothing was read or written",
            hint="use a market (cn, hk, crypto) or the name of a universe in nofx.toml",
        )
    return scope


def schema_of(name: str) -> TableSchema:
    """Return the schema of a table's name, or raise `LakeError` with the names that exist.

    >>> schema_of("source_bars_1d").key
    ('instrument_id', 'ts_open', 'source', 'revision')
    """
    if isinstance(name, str):
        if _SOURCE_BARS.match(name):
            return replace(SOURCE_BARS, name=name)
        if name in TABLES and name != SOURCE_BARS.name:
            return TABLES[name]
    raise LakeError(
        f"{name!r} is not a table",
        kept="nothing was read or written",
        hint=f"use one of {', '.join(known_names())}",
    )


def known_names() -> list[str]:
    """Every name a table may have, with ``<freq>`` where a frequency stands."""
    return sorted(f"{name}_<freq>" if name == SOURCE_BARS.name else name for name in TABLES)


def quoted(identifier: str) -> str:
    """Quote an identifier for SQL.

    >>> quoted('a"; drop table b')
    '"a""; drop table b"'
    """
    if not identifier or "\0" in identifier:
        raise LakeError(f"{identifier!r} is not an identifier", hint="use a column's or table's name")
    return '"' + identifier.replace('"', '""') + '"'

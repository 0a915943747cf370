"""SQL over the lake: DuckDB in memory, one view a table name, a union over all scopes.

The caller's SQL sees those views and nothing else: one statement that reads, no files, no network,
no extensions, no settings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.files import scan_files
from nofx_pipelines.lake.names import quoted
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SETTINGS = {
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",  # no files, no network, no Python variables
    "lock_configuration": "true",
}


def query(
    lake: Lake,
    sql: str,
    *,
    scopes: Sequence[str] | None = None,
    frames: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Answer one SELECT over the lake's tables, each a view by name with a leading column ``scope``.

    Only tables that the SQL names are opened, and only of ``scopes`` where given; their files are
    checked against their SHA-256 and excluded sessions left out, as by `LakeTable.scan`. ``frames``
    are further views. Raises `LakeError` for SQL that is not one SELECT, does not parse, or names an
    unknown table.
    """
    with closing(duckdb.connect(":memory:")) as connection:
        for setting, value in _SETTINGS.items():
            connection.execute(f"SET {setting} = {value}")
        statement = _only_select(connection, sql)
        views = _mentioned(sql, {*table_names(lake, scopes), *(frames or {})})
        for name in views:
            if frames and name in frames:
                connection.register(name, frames[name].to_arrow())
            else:
                _create_view(connection, name, lake, scopes)
        try:
            return pl.DataFrame(connection.sql(statement).to_arrow_table())
        except duckdb.CatalogException as error:
            names = ", ".join(sorted({*table_names(lake, scopes), *(frames or {})}))
            raise _refused(sql, error, hint=f"tables are {names or 'not there yet: nofx run'}") from error
        except duckdb.Error as error:
            raise _refused(sql, error) from error
        except pl.exceptions.PolarsError as error:
            raise _refused(sql, error, hint="CAST the column, an interval to seconds or VARCHAR") from error


def table_names(lake: Lake, scopes: Sequence[str] | None = None) -> list[str]:
    """The names that SQL may use, sorted."""
    return sorted({name for scope, name in lake.tables() if scopes is None or scope in scopes})


def _only_select(connection: DuckDBPyConnection, sql: str) -> duckdb.Statement:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise _refused(sql, error) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "none"
        raise LakeError(
            f"SQL must be one SELECT statement, this is: {kinds}",
            kept="nothing was run",
            hint="SELECT … FROM <table>; tables are written by nofx run",
        )
    return statements[0]


def _mentioned(sql: str, known: set[str]) -> list[str]:
    """The known names among the words of the SQL: perhaps a column's too, never one too few."""
    encoded = sql.encode()
    starts = [offset for offset, _ in duckdb.tokenize(sql)]
    words = [
        encoded[start:end].decode(errors="replace").strip()
        for start, end in itertools.pairwise([*starts, len(encoded)])
    ]
    bare = {word.strip('"').replace('""', '"').lower() for word in words}
    return sorted(name for name in known if name.lower() in bare)


def _create_view(connection: DuckDBPyConnection, name: str, lake: Lake, scopes: Sequence[str] | None) -> None:
    parts = []
    for scope, table in lake.tables():
        if table != name or (scopes is not None and scope not in scopes):
            continue
        source = f"{scope}/{name}"  # no table of the lake can have a slash in its name
        excluded = lake.table(scope, name).excluded_sessions()
        connection.register(source, _arrow(lake.table(scope, name)))
        days = ", ".join(f"DATE '{day}'" for day in excluded)
        left_out = f" WHERE session_date NOT IN ({days})" if days else ""
        parts.append(f"SELECT '{scope}' AS scope, * FROM {quoted(source)}{left_out}")
    connection.execute(f"CREATE VIEW {quoted(name)} AS {' UNION ALL BY NAME '.join(parts)}")


def _arrow(table: LakeTable) -> pa.Table | ds.Dataset:
    """The newest version as Arrow: a dataset that DuckDB reads column by column, batch by batch."""
    files, columns = table.checked_files()
    empty = pl.DataFrame(schema=columns).to_arrow()
    if not files:
        return empty
    if table.schema.renamed:
        return scan_files(table.folder, files, columns, table.schema.renamed).collect().to_arrow()
    paths = [str(table.folder / file.name) for file in files]
    return ds.dataset(paths, schema=empty.schema, format="parquet")


def _refused(sql: str, error: Exception, hint: str | None = None) -> LakeError:
    first = str(error).strip().splitlines()[0]
    return LakeError(f"SQL failed: {first} (in {sql.strip()[:200]!r})", kept="nothing was changed", hint=hint)

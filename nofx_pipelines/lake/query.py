"""SQL over the lake: DuckDB in memory, one view a table name, a union over all scopes.

The caller's SQL sees those views and nothing else: one statement that reads, no files, no network,
no extensions, no settings (`sql_names`), within limits of time and memory.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.files import scan_files
from nofx_pipelines.lake.names import quoted
from nofx_pipelines.lake.sql_names import require_lake_only
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SETTINGS = {
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # no variables of this process
    "temp_directory": "''",  # nothing is written beside the lake
    "arrow_large_buffer_size": "true",
}
_SHOW_TABLES = re.compile(r"\s*show\s+(all\s+)?tables\s*;?\s*", re.IGNORECASE)
_BATCH_ROWS = 2_048
"""Rows that are taken from the engine at once: what a result comes to is counted between."""


@dataclass(frozen=True)
class Limits:
    """What one query may take; None is no limit.

    >>> Limits(seconds=1.5).settings()
    {'max_execution_time': '1500'}
    """

    seconds: float | None = None
    memory: int | None = None
    """Bytes, of the engine and of the result each."""

    def settings(self) -> dict[str, str]:
        """As DuckDB's settings."""
        chosen = {}
        if self.seconds is not None:
            chosen["max_execution_time"] = str(max(1, round(1000 * self.seconds)))
        if self.memory is not None:
            chosen["memory_limit"] = f"'{self.memory}B'"
        return chosen


def query(
    lake: Lake,
    sql: str,
    *,
    scopes: Sequence[str] | None = None,
    frames: Mapping[str, pl.DataFrame] | None = None,
    limits: Limits | None = None,
    allow_files: bool = False,
) -> pl.DataFrame:
    """Answer one SELECT over the lake's tables, each a view by name with a leading column ``scope``.

    Parameters
    ----------
    lake
        Whose tables; only those that the SQL names are opened, their files checked against their SHA-256
        and excluded sessions left out, as by `LakeTable.scan`.
    sql
        One statement that reads; ``SHOW TABLES`` lists the names.
    scopes
        The scopes that it sees; all without it.
    frames
        Further views, by name.
    limits
        Of time and memory; none without it.
    allow_files
        Whether it may read files besides.

    Raises
    ------
    LakeError
        For SQL that is not one SELECT, does not parse, names something else than a table of the lake, or
        takes more than its limits.
    """
    limits = limits or Limits()
    if _SHOW_TABLES.fullmatch(sql):
        return _listing(lake, scopes)
    tables = {*table_names(lake, scopes), *(frames or {})}
    listed = f"tables are {', '.join(sorted(tables)) or 'not there yet: nofx run'}"
    with closing(duckdb.connect(":memory:")) as connection:
        for setting, value in {
            **_SETTINGS,
            **limits.settings(),
            **({} if allow_files else {"enable_external_access": "false"}),  # no files, no network
            "lock_configuration": "true",
        }.items():
            connection.execute(f"SET {setting} = {value}")
        statement = _only_select(connection, sql)
        _require_tables(connection, sql, tables, listed, allow_files=allow_files)
        for name in _mentioned(sql, tables):
            if frames and name in frames:
                connection.register(name, frames[name].to_arrow())
            else:
                _create_view(connection, name, lake, scopes)
        try:
            return pl.DataFrame(_result(connection, statement, limits))
        except duckdb.CatalogException as error:
            raise _refused(sql, error, hint=listed) from error
        except duckdb.InterruptException as error:
            raise _refused(
                sql,
                f"it takes longer than {limits.seconds:g} s",
                hint="narrow it by scope and session_date, or nofx sql --timeout SECONDS",
            ) from error
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            raise _too_large(sql, limits) from error
        except duckdb.Error as error:
            raise _refused(sql, error) from error
        except pl.exceptions.PolarsError as error:
            raise _refused(sql, error, hint="CAST the column, an interval to seconds or VARCHAR") from error


def _result(connection: DuckDBPyConnection, statement: duckdb.Statement, limits: Limits) -> pa.Table:
    """The rows, batch after batch: a result lies outside of what the engine counts."""
    reader = connection.sql(statement).to_arrow_reader(_BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if limits.memory is not None and size > limits.memory:
            raise MemoryError
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _require_tables(
    connection: DuckDBPyConnection, sql: str, tables: set[str], listed: str, *, allow_files: bool
) -> None:
    """Refuse what is neither a table nor a function over values."""
    serialized = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()[0][0]
    tree = json.loads(serialized)
    if tree["error"]:
        raise _refused(sql, str(tree["error_message"]))
    try:
        require_lake_only(tree["statements"], tables, allow_files=allow_files)
    except LakeError as error:
        raise _refused(sql, error.problem, hint=error.hint or listed) from error


def _listing(lake: Lake, scopes: Sequence[str] | None) -> pl.DataFrame:
    """The tables and the scopes that have them."""
    names = table_names(lake, scopes)
    having = [
        ", ".join(sorted(s for s, name in lake.tables() if name == n and (scopes is None or s in scopes)))
        for n in names
    ]
    return pl.DataFrame({"name": names, "scopes": having}, schema={"name": pl.String, "scopes": pl.String})


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


def _too_large(sql: str, limits: Limits) -> LakeError:
    bound = "there is" if limits.memory is None else f"{limits.memory / 2**30:.3g} GiB"
    return _refused(
        sql,
        f"it needs more memory than {bound}",
        hint="narrow it by scope, columns and session_date, or nofx sql --memory 8GB",
    )


def _refused(sql: str, error: Exception | str, hint: str | None = None) -> LakeError:
    first = str(error).strip().splitlines()[0]
    return LakeError(f"SQL failed: {first} (in {sql.strip()[:200]!r})", kept="nothing was changed", hint=hint)

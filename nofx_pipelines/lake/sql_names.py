"""What a SELECT names: tables of the lake and functions over values pass, everything else is refused.

DuckDB's own switches close files and the network. They leave settings, catalogs, logs, secrets, functions
that run text, and table functions that read memory by its address (``arrow_scan(1, 2, 3)`` ends the process);
so the parsed statement is walked, and table functions pass by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

from nofx_pipelines.errors import LakeError

OVER_VALUES = frozenset({
    "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree",
    "regexp_split_to_table", "generate_subscripts",
})  # fmt: skip
"""Table functions that see their arguments and nothing else."""
READERS = frozenset({
    "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects", "read_ndjson",
    "read_ndjson_auto", "read_ndjson_objects", "read_parquet", "parquet_scan", "parquet_metadata",
    "parquet_schema", "parquet_file_metadata", "parquet_kv_metadata", "read_text", "read_blob", "glob",
    "sniff_csv",
})  # fmt: skip
"""Those that read files; for whoever allows them."""
_BEYOND = frozenset({
    "getenv", "current_setting", "getvariable", "set_config", "write_log", "json_serialize_plan",
    "json_execute_serialized_sql", "nextval", "currval", "setval", "current_query", "which_secret",
})  # fmt: skip
"""Functions over values that see settings, the environment, secrets, or run text."""
_BEYOND_PREFIXES = ("pragma_", "duckdb_", "inet_", "has_", "pg_get_", "pg_has_")


def require_lake_only(tree: Any, tables: Set[str], *, allow_files: bool = False) -> None:
    """Walk a statement as ``json_serialize_sql`` writes it.

    Parameters
    ----------
    tree
        The parsed JSON.
    tables
        Names that are tables here; case does not matter, as in SQL.
    allow_files
        Whether files may be read, too.

    Raises
    ------
    LakeError
        Naming the first table or function that is neither the lake's nor one over values.
    """
    known = {name.lower() for name in tables} | set(_own_names(tree))
    for node in _nodes(tree):
        kind = node.get("type")
        if kind == "BASE_TABLE":
            _require_table(node, known, allow_files)
        elif kind == "SHOW_REF" and node.get("query") is None:
            name = str(node.get("table_name", "")).strip('"')
            if name.lower() not in known:
                raise LakeError(f"SHOW {name} is not answered", hint="SHOW TABLES or DESCRIBE <table>")
        elif kind == "TABLE_FUNCTION":
            _require_table_function(str(node["function"].get("function_name", "")).lower(), allow_files)
        elif node.get("class") == "FUNCTION":
            _require_function(str(node.get("function_name", "")).lower())


def _require_table(node: dict[str, Any], known: Set[str], allow_files: bool) -> None:
    name, schema = str(node.get("table_name", "")), str(node.get("schema_name") or "")
    catalog = str(node.get("catalog_name") or "")
    if schema.lower() in ("", "main") and not catalog and name.lower() in known:
        return
    if allow_files and not schema and any(mark in name for mark in "./*"):
        return
    full = ".".join(filter(None, (catalog, schema, name)))
    raise LakeError(f"table with name {full} does not exist")


def _require_table_function(name: str, allow_files: bool) -> None:
    if name in OVER_VALUES or (allow_files and name in READERS):
        return
    if name in READERS:
        raise LakeError(f"{name}() reads files, SQL here reads tables", hint="nofx sql --allow-files")
    raise LakeError(f"{name}() is neither a table of the lake nor a function over values")


def _require_function(name: str) -> None:
    if name in _BEYOND or name.startswith(_BEYOND_PREFIXES):
        raise LakeError(f"{name}() sees more than values and the lake's tables")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the parsed statement; without recursion, for statements nested a thousand deep."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _own_names(tree: Any) -> Iterator[str]:
    """The names that the statement gives its own parts by WITH."""
    for node in _nodes(tree):
        for entry in (node.get("cte_map") or {}).get("map", ()):
            yield str(entry["key"]).lower()
        for key in ("cte_name", "ctename"):
            if node.get(key):
                yield str(node[key]).lower()

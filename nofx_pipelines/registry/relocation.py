"""A home that was moved or copied: MLflow's database names its artifacts by their absolute address."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_FOLDER = "/mlflow/artifacts"


def relocate(database: Path, artifacts: Path) -> int:
    """Point every address of another place's ``…/mlflow/artifacts`` to ``artifacts``; how many changed.

    Without it a copied home would log into the one it was copied from. Addresses of other kinds (an
    object store, MLflow's default experiment) are left alone. One transaction: all addresses or none.
    """
    here = artifacts.as_uri()
    changed = 0
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in _ADDRESSES:
            elsewhere = f"{column} LIKE 'file://%{_FOLDER}/%' AND substr({column}, 1, :length) <> :here"
            tail = f"substr({column}, instr({column}, '{_FOLDER}/') + {len(_FOLDER)})"
            changed += connection.execute(
                f"UPDATE {table} SET {column} = :here_bare || {tail} WHERE {elsewhere}",
                {"length": len(here) + 1, "here": f"{here}/", "here_bare": here},
            ).rowcount
    return changed

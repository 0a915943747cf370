"""``nofx compact``: merge small files, remove old versions that no registered model was made from."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import count, say, table
from nofx_pipelines.lake.compaction import compact_lake
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.registry.tracking import Tracker


def compact_home(home: Path, recent: int) -> None:
    """Compact every table of ``home`` and say what was merged and removed."""
    config = usable_config(home)
    keep = Tracker(home).kept_versions() if (home / "mlflow" / "mlflow.db").exists() else {}
    done = list(compact_lake(Lake(config.lake), keep=keep, recent=recent))
    rows = [
        (
            each.table,
            count(each.merged),
            count(each.into),
            count(each.removed),
            f"{each.removed_bytes / 2**20:.1f}",
        )
        for each in done
        if each.merged or each.removed
    ]
    if rows:
        say(table(("table", "files", "merged into", "removed", "MiB freed"), rows, right=(1, 2, 3, 4)))
    say(f"{len(done)} tables compacted; the newest {recent} versions and those of registered models stay")

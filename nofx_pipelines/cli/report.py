"""``nofx report``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import say
from nofx_pipelines.lake.store import Lake


def write_report(home: Path, output: Path | None = None) -> None:
    """Build the report, under the home unless told where, and print where it lies."""
    from nofx_pipelines.report import page

    config = usable_config(home)
    path = home / "report" / "index.html" if output is None else output.expanduser().resolve()
    size = page.write_report(Lake(config.lake), config, path, now=datetime.now(UTC))
    say(f"{path} ({size / 1024:.0f} KiB)")

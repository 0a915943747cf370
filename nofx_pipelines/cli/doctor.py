"""``nofx doctor``: is the installation, the configuration and every byte of the lake in order?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nofx_pipelines.cli.terminal import say, table
from nofx_pipelines.config import ComputeConfig, Config
from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import NofxError
from nofx_pipelines.lake.maintenance import VerifyReport
from nofx_pipelines.lake.store import Lake

PACKAGES = (
    "dagster",
    "polars",
    "pyarrow",
    "duckdb",
    "deltalake",
    "numba",
    "lightgbm",
    "optuna",
    "mlflow",
    "torch",
)
LEAST_FREE_GIB = 2.0

Finding = tuple[str, bool, str]


def examine(home: Path) -> int:
    """Print a line a check; 1 when one of them failed."""
    findings = [*_installation(), *_configuration(home)]
    say(table(("check", "", "finding"), [(n, "ok" if ok else "FAIL", text) for n, ok, text in findings]))
    return 0 if all(ok for _, ok, _ in findings) else 1


def _installation() -> Iterator[Finding]:
    yield "python", True, platform.python_version()
    for name in PACKAGES:
        try:
            yield name, True, version(name)
        except PackageNotFoundError:
            yield name, False, "not installed. Next: pip install -e . -c constraints.txt"
    from nofx_pipelines.compute import resolve_device

    yield "device", True, resolve_device(ComputeConfig().device).name


def _configuration(home: Path) -> Iterator[Finding]:
    try:
        config = load_config(home)
    except NofxError as error:
        yield "nofx.toml", False, str(error)
        return
    shown = home / "nofx.toml" if (home / "nofx.toml").exists() else "not written yet: the defaults apply"
    yield "nofx.toml", True, f"{shown} ({', '.join(config.universes)})"
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (_disk, _calendars, _lake)
    for check in checks:
        yield from check(config)


def _disk(config: Config) -> Iterator[Finding]:
    folder = config.home if config.home.exists() else config.home.parent
    free = shutil.disk_usage(folder).free / 2**30
    yield "disk", free >= LEAST_FREE_GIB, f"{free:.0f} GiB free at {folder}"


def _calendars(config: Config) -> Iterator[Finding]:
    from nofx_pipelines.market.sessions import calendar

    for market in sorted({feed.market for feed in config.feeds.values()}):
        days = calendar(market)
        yield f"calendar {market}", True, f"verified {days.verified_from} to {days.verified_until}"


def _lake(config: Config) -> Iterator[Finding]:
    lake = Lake(config.lake)
    for scope, name in lake.tables():
        try:
            report = lake.table(scope, name).verify()
        except NofxError as error:
            yield f"{scope}/{name}", False, str(error)
            continue
        yield f"{scope}/{name}", report.whole, _files(report)


def _files(report: VerifyReport) -> str:
    bad = {"other bytes": report.mismatched, "no record": report.unrecorded, "gone": report.missing}
    named = "; ".join(f"{why}: {', '.join(files)}" for why, files in bad.items() if files)
    return f"version {report.version}: {len(report.ok)} files as recorded" + (f"; {named}" if named else "")

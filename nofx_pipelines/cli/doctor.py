"""``nofx doctor``: is the installation, the configuration and every byte of the lake in order?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.cli.dagster_home import missing_settings, prepare_dagster_home
from nofx_pipelines.cli.dead_runs import daemon_lives, dead_runs, leaked_slots, recover, waiting_backfills
from nofx_pipelines.cli.members import open_member
from nofx_pipelines.cli.terminal import say, table
from nofx_pipelines.config import ComputeConfig, Config
from nofx_pipelines.config_file import load_usable
from nofx_pipelines.config_members import feed_members, universe_members
from nofx_pipelines.errors import NofxError
from nofx_pipelines.lake.maintenance import VerifyReport
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.inbox import with_inbox
from nofx_pipelines.market.window import data_window
from nofx_pipelines.plan import StageState, plan_feed, plan_universe
from nofx_pipelines.storage import is_writable

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


def examine(home: Path, *, repair: bool = False) -> int:
    """Print a line a check; 1 when one of them failed. ``repair`` first ends what nobody executes."""
    if repair:
        _repair(home)
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
        config, refused = load_usable(home)
    except NofxError as error:
        yield "nofx.toml", False, str(error)
        return
    shown = home / "nofx.toml" if (home / "nofx.toml").exists() else "not written yet: the defaults apply"
    yield "nofx.toml", True, f"{shown} ({', '.join(config.universes)})"
    yield from ((name, False, str(absent)) for name, absent in refused.items())
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _disk,
        _runs,
        _calendars,
        _plugins,
        _stages,
        _lake,
    )
    for check in checks:
        yield from check(config)


def _disk(config: Config) -> Iterator[Finding]:
    folder = config.home if config.home.exists() else config.home.parent
    free = shutil.disk_usage(folder).free / 2**30
    if not is_writable(config.home):
        yield "home", True, f"{config.home} is read-only here: it can be read, nofx run and compact refuse"
    yield "disk", free >= LEAST_FREE_GIB, f"{free:.0f} GiB free at {folder}"


def _repair(home: Path) -> None:
    """Do what the start of `nofx run` does by itself, and say what was done."""
    from dagster import DagsterInstance

    load_usable(home)
    with DagsterInstance.from_config(str(prepare_dagster_home(home))) as instance:
        done = recover(instance)
    for line in done or ["no dead run, no slot without a run, no backfill without a daemon"]:
        say(f"repair: {line}")
    say()


def _runs(config: Config) -> Iterator[Finding]:
    """Runs, slots and backfills that nobody will finish; settings of Dagster that a hand removed."""
    if not (config.home / "dagster" / "dagster.yaml").exists() or not is_writable(config.home):
        return  # Dagster opens its records to write
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(config.home / "dagster")) as instance:
        dead = [f"{each.shown}: {each.reason}" for each in dead_runs(instance)]
        slots = [f"run {run[:8]} keeps {', '.join(steps)}" for run, steps in leaked_slots(instance).items()]
        backfills = [] if daemon_lives(instance) else waiting_backfills(instance)
    left = [*dead, *slots, *(f"backfill {name} waits for a daemon" for name in backfills)]
    yield "runs", not left, "; ".join(left) + ". Next: nofx doctor --repair" if left else "none left behind"
    if missing := missing_settings(config.home):
        path = config.home / "dagster" / "dagster.yaml"
        yield "dagster.yaml", True, f"{path}, changed by hand, lacks {', '.join(missing)}"


def _calendars(config: Config) -> Iterator[Finding]:
    from nofx_pipelines.market.sessions import calendar

    for market in sorted({feed.market for feed in config.feeds.values()}):
        days = calendar(market)
        yield f"calendar {market}", True, f"verified {days.verified_from} to {days.verified_until}"


def _plugins(config: Config) -> Iterator[Finding]:
    """Every plug-in that the file names, opened as a run opens it; those named like a built-in."""
    folder = config.home / plugins.FOLDER
    named = [member for universe in config.universes.values() for member in universe_members(universe)]
    named += [member for feed in config.feeds.values() for member in feed_members(feed)]
    for kind, name in dict.fromkeys(named):
        reference = plugins.find(kind, name, folder)
        if reference.origin == "built-in":
            continue
        try:
            open_member(reference)
            yield f"plug-in {name}", True, f"{reference.shown}, sources {reference.digest()}"
        except NofxError as error:
            yield f"plug-in {name}", False, str(error)
    for kind in plugins.KINDS:
        for point in plugins.refused_members(kind):
            taken = f"{point.value} is announced as {point.name!r}, a built-in {plugins.KINDS[kind].what}"
            yield f"plug-in {point.name}", True, f"not used: {taken}"


def _stages(config: Config) -> Iterator[Finding]:
    """What the next run computes again, and why: after an upgrade, all that other code wrote."""
    lake, now = Lake(config.lake), datetime.now(UTC)
    for feed in config.feeds.values():
        universes = [u for u in config.universes.values() if config.feed_of(u) == feed]
        try:
            start, end = data_window(with_inbox(feed, config.home, now), None, None, now)
            fed = plan_feed(lake, config, feed, start=start, end=end, now=now)
            yield f"stages {feed.market} {feed.freq}", True, _again([fed])
            for universe in universes:
                states = plan_universe(
                    lake, feed, universe, start=start, end=end, now=now, feed_fresh=fed.fresh
                )
                yield f"stages {universe.name}", True, _again(states)
        except NofxError as error:
            yield f"stages {feed.market} {feed.freq}", False, str(error)


def _again(states: Sequence[StageState]) -> str:
    """The stages that are not fresh, by reason."""
    by_reason: dict[str, list[str]] = {}
    for state in states:
        if not state.fresh:
            by_reason.setdefault(state.reason.partition(":")[0], []).append(state.stage)
    if not by_reason:
        return "fresh"
    named = "; ".join(f"{', '.join(stages)} ({reason})" for reason, stages in by_reason.items())
    return f"the next run computes {named}"


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

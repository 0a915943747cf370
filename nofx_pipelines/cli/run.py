"""``nofx run``: plan, execute each feed's jobs in processes side by side, then mart and report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.dead_runs import recover
from nofx_pipelines.cli.plan import Selection
from nofx_pipelines.cli.summary import StageLine, summary
from nofx_pipelines.cli.terminal import count, say, seconds
from nofx_pipelines.cli.worker_processes import Workers, raising_terminated
from nofx_pipelines.config import Config, UniverseConfig
from nofx_pipelines.config_file import load_usable, with_seed
from nofx_pipelines.cores import cores
from nofx_pipelines.errors import AbsentPlugin, ConfigError, DataError, NofxError, PluginError
from nofx_pipelines.file_lock import wait_limit_s
from nofx_pipelines.storage import said_of_storage

_TRACKER_LIMIT_S = 120.0


@dataclass(frozen=True)
class RunOptions:
    """What the command line asked for."""

    home: Path
    universes: tuple[str, ...] | None
    start: date | None
    end: date | None
    seed: int | None
    force: bool

    @classmethod
    def parse(
        cls,
        home: Path,
        universe: str | None,
        start: str | None,
        end: str | None,
        seed: int | None,
        force: bool,
    ) -> RunOptions:
        """Validate the flags.

        Raises:
            ConfigError: naming the flag, its value and an example.
        """
        names = tuple(n.strip() for n in universe.split(",") if n.strip()) if universe else None
        first, last = _date("--start", start), _date("--end", end)
        if first and last and last <= first:
            raise ConfigError(
                f"--end {last} is not after --start {first}", hint=f"--end {date(first.year + 1, 1, 1)}"
            )
        if seed is not None and not 0 <= seed < 2**32:
            raise ConfigError(f"--seed {seed} is outside [0, 2**32)", hint="--seed 7")
        return cls(home, names, first, last, seed, force)


@dataclass
class Outcome:
    """What the workers said."""

    lines: list[StageLine] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def run_universes(options: RunOptions) -> int:
    """Bring the chosen universes up to date; 0 when every stage succeeded."""
    began = time.monotonic()
    config, refused = _config(options)
    chosen, absent = _chosen(config, refused, options)
    prepare_dagster_home(options.home)
    wait_limit_s()  # a wrong limit is said before anything starts
    outcome = Outcome(failures=absent)
    for name, message in absent:
        say(f"{name:<28} failed: {message}")
    workers = Workers(options.home)
    with raising_terminated():
        _recover(options.home)
        work = _jobs(config, chosen, options, outcome)
        if work:
            with _tracker_prepared(options.home):
                _side_by_side(options, work, outcome, workers)
        if outcome.lines or not (config.home / "report" / "index.html").exists():
            with workers.ended_with_this_process():
                _worker(options, ["publish"], outcome, workers)
    say()
    say(summary(config, chosen, outcome.lines, outcome.fresh, outcome.failures))
    say(f"done in {seconds(time.monotonic() - began)}")
    return 1 if outcome.failures else 0


def _config(options: RunOptions) -> tuple[Config, dict[str, AbsentPlugin]]:
    if not (options.home / "nofx.toml").exists():
        from nofx_pipelines.cli.init import write_default

        write_default(options.home)
        say(f"wrote {options.home / 'nofx.toml'}: three simulated universes")
    config, refused = load_usable(options.home)
    return (config if options.seed is None else with_seed(config, options.seed)), refused


def _chosen(
    config: Config, refused: Mapping[str, AbsentPlugin], options: RunOptions
) -> tuple[list[UniverseConfig], list[tuple[str, str]]]:
    """The universes to run; and those asked for that name an absent plug-in, with the reason.

    Raises:
        ConfigError: for an unknown universe, and where none is left to run.
    """
    asked = options.universes or (*config.universes, *refused)
    unknown = [name for name in asked if name not in config.universes and name not in refused]
    if unknown:
        raise ConfigError(
            f"--universe {unknown[0]!r} is not in {config.home / 'nofx.toml'}, "
            f"which has {', '.join(config.universes)}",
            kept="nothing was run",
            hint=f"nofx run --universe {next(iter(config.universes), 'cn')}",
        )
    chosen = [config.universes[name] for name in asked if name in config.universes]
    absent = [(name, refused[name]) for name in asked if name in refused]
    if absent and not chosen:
        raise absent[0][1]
    return chosen, [(name, str(error)) for name, error in absent]


def _jobs(
    config: Config, chosen: Sequence[UniverseConfig], options: RunOptions, outcome: Outcome
) -> list[list[str]]:
    """Per feed, the jobs of one worker process: its ingestion, then its universes."""
    from dagster import DagsterInstance

    from assets.jobs import ingest_job_name
    from nofx_pipelines.market.inbox import inbox_problem

    selection = Selection(config, options.start, options.end, datetime.now(UTC), options.force)
    work: list[list[str]] = []
    unread: list[tuple[str, NofxError]] = []
    planned = 0
    with DagsterInstance.from_config(str(options.home / "dagster")) as instance:
        for key, feed in config.feeds.items():
            universes = [u for u in chosen if (u.market, u.freq) == key]
            if not universes:
                continue
            if problem := inbox_problem(feed, options.home, selection.now):
                say(f"inbox left out: {problem}")
            try:
                above = selection.of_feed(feed, instance)
            except (DataError, PluginError) as error:  # its sources cannot be read: the other feeds go on
                unread.append((f"{feed.scope}/{feed.source_bars}", error))
                continue
            planned += 1
            below = [(u, selection.of_universe(u, instance, feed_fresh=not above.keys)) for u in universes]
            stale = [u.name for u, plan in below if plan.keys]
            # after an ingestion its universes are planned again, by the same process
            work += [[ingest_job_name(feed), *stale]] if above.keys else [[name] for name in stale]
            if not above.keys:
                outcome.fresh += [s.key for s in above.states]
            outcome.fresh += [s.key for u, plan in below if u.name not in stale for s in plan.states]
    if unread and not planned:
        raise unread[0][1]
    for stage, refusal in unread:
        outcome.failures.append((stage, str(refusal)))
        say(f"{stage:<28} failed: {refusal}")
    return work


def _side_by_side(
    options: RunOptions, work: Sequence[Sequence[str]], outcome: Outcome, workers: Workers
) -> None:
    # one process more than cores: none idles while the last universe runs alone
    with ThreadPoolExecutor(max_workers=cores() + 1) as pool, workers.ended_with_this_process():
        # the workers end before the pool is waited for
        list(pool.map(lambda jobs: _worker(options, jobs, outcome, workers), work))


def _recover(home: Path) -> None:
    """End the runs that died before this one, and say so."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        for line in recover(instance):
            say(f"left behind: {line}")


def _worker(options: RunOptions, jobs: Sequence[str], outcome: Outcome, workers: Workers) -> None:
    command = [sys.executable, "-m", "nofx_pipelines.cli.worker", *jobs, f"--home={options.home}"]
    command += [f"--start={options.start}"] if options.start else []
    command += [f"--end={options.end}"] if options.end else []
    command += [f"--seed={options.seed}"] if options.seed is not None else []
    command += ["--force"] if options.force else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    log = options.home / "logs" / f"{'-'.join(jobs)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    told = False
    with log.open("wb") as errors:
        process = workers.start(command, errors, environment)
        if process is None:
            return
        for event in _events(process):
            told = told or event["event"] == "failed"
            _show(event, outcome)
        status = process.wait()
    if status < 0:
        _recover(options.home)
    if status and not told and not workers.ending:
        outcome.failures.append(
            (" ".join(jobs), f"{_last_words(status, log, options.home)} (all of it: {log})")
        )


def _last_words(status: int, log: Path, home: Path) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    lines = log.read_text(encoding="utf-8", errors="replace").strip()
    return said_of_storage(lines, home) or lines.rpartition("\n")[2] or "no message"


def _events(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"{"):
            yield json.loads(line)


def _show(event: dict[str, Any], outcome: Outcome) -> None:
    kind, stage = event["event"], event.get("stage", "")
    if kind == "fresh":
        outcome.fresh.append(stage)
    elif kind == "failed":
        outcome.failures.append((stage, event["message"]))
        say(f"{stage:<28} failed: {event['message']}")
    elif kind == "waiting":
        say(f"{stage:<28} {event['message']}")
    elif kind == "done":
        metadata = event["metadata"]
        problems = metadata.get("problems", "")
        line = StageLine(stage, metadata.get("rows"), event["seconds"], event["checks"], problems)
        outcome.lines.append(line)
        device = metadata.get("device", "cpu")
        say(f"{stage:<28} {count(line.rows):>10} rows  {line.seconds:>6.1f} s  {device}")
        if problems:
            say(f"{'':<28} {problems}")


class _tracker_prepared:
    """MLflow's database takes long to create the first time: begin while bars are ingested."""

    def __init__(self, home: Path) -> None:
        code = "import sys; from pathlib import Path; from nofx_pipelines.registry.tracking import Tracker"
        self._command = [sys.executable, "-c", f"{code}; Tracker(Path(sys.argv[1])).prepare()", str(home)]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *exc: object) -> None:
        try:
            self._process.wait(_TRACKER_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the stage that needs the registry creates it, or says why not


def _date(flag: str, text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigError(f"{flag} {text!r} is not a date", hint=f"{flag} 2024-01-31") from error

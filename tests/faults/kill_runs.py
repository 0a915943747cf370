"""Kill a run, its worker, its group or Dagster's daemon at random moments, and judge what follows.

``python -m tests.faults.kill_runs --kills 200 --seed 1`` prints the table of faults in docs/results.md.
One episode: a finished home whose verdict is stale, killed time after time until a run ends by itself; then
its tables, slots, runs, backfills and registered versions are held against a home that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nofx_pipelines.config_file import render_config
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.registry.tracking import Tracker
from tests.end_to_end.conftest import command, small_config

KINDS = ("parent", "worker", "group", "daemon")
WEIGHTS = {"parent": 30, "worker": 30, "group": 35, "daemon": 5}
ENDS_WITHIN_S = 600.0
_START_WITHIN_S = 180.0
_MOMENTS_S = 5.0


@dataclass
class Tally:
    """What was done and what came of it; every entry of ``faults`` is one violation in words."""

    kills: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    """Kills that met a Dagster run under way."""
    claimed: int = 0
    """Kills that met a slot of a pool in use."""
    episodes: int = 0
    faults: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The table of docs/results.md."""
        lines = ["| killed (SIGKILL) | kills | with a run under way |", "|---|---:|---:|"]
        lines += [f"| {kind} | {self.kills[kind]} | {self.hits[kind]} |" for kind in KINDS]
        total = f"| all | {sum(self.kills.values())} | {sum(self.hits.values())} |"
        after = (
            f"{self.claimed} of them held a slot of the pool; {self.episodes} homes brought to an end; "
            f"violations: {len(self.faults)}"
        )
        return "\n".join([*lines, total, "", after, *(f"- {fault}" for fault in self.faults)])


@dataclass(frozen=True)
class Reference:
    """A home to disturb, and the same after one undisturbed run."""

    stale: Path
    fresh: Path

    @classmethod
    def make(cls, finished: Path, folder: Path) -> Reference:
        """From a finished home: its gates' resamples change, so that the verdict is stale."""
        stale, fresh = folder / "stale", folder / "fresh"
        shutil.copytree(finished, stale)
        text = (stale / "nofx.toml").read_text()
        changed = text.replace("resamples = 200", "resamples = 203")
        assert changed != text
        (stale / "nofx.toml").write_text(changed)
        shutil.copytree(stale, fresh)
        command(fresh)("run")
        return cls(stale, fresh)


def dagster_rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of Dagster's index, [] while there is none."""
    index = home / "dagster" / "history" / "runs" / "index.db"
    runs = home / "dagster" / "history" / "runs.db"
    try:
        path = index if "concurrency" in query or "pending" in query else runs
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def open_runs(home: Path) -> list[tuple[Any, ...]]:
    """Runs that Dagster takes for unfinished."""
    states = "'QUEUED','NOT_STARTED','STARTING','STARTED','CANCELING'"
    return dagster_rows(home, f"select run_id, status from runs where status in ({states})")


def claimed_slots(home: Path) -> list[tuple[Any, ...]]:
    """Slots of pools in use."""
    return dagster_rows(
        home, "select run_id, step_key from concurrency_slots where run_id is not null and deleted = 0"
    )


def open_backfills(home: Path) -> list[tuple[Any, ...]]:
    """Backfills that Dagster takes for unfinished."""
    states = "'REQUESTED','CANCELING','FAILING'"
    return dagster_rows(home, f"select key, status from bulk_actions where status in ({states})")


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """``nofx`` as the leader of a group of its own."""
    with (home / "out.txt").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "nofx_pipelines.cli", *arguments, f"--home={home}"],
            stdout=out,
            stderr=out,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def children(pid: int, word: bytes) -> list[int]:
    """The processes below ``pid`` with ``word`` in their command line."""
    below: list[int] = []
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    reached = {pid}
    while more := {child for child, parent in parents.items() if parent in reached} - reached:
        reached |= more
    for child in reached - {pid}:
        with contextlib.suppress(OSError):
            if word in (Path("/proc") / str(child) / "cmdline").read_bytes():
                below.append(child)
    return below


def kill_run(home: Path, kind: str, draw: random.Random, tally: Tally) -> bool:
    """Start ``nofx run`` and kill it; False when it ended by itself before."""
    process = start(home, "run")
    end = time.monotonic() + _START_WITHIN_S
    while process.poll() is None and not open_runs(home) and time.monotonic() < end:
        if draw.random() < 0.002:
            break  # some die before they have a run
        time.sleep(0.05)
    time.sleep(draw.uniform(0, _MOMENTS_S))
    if process.poll() is not None:
        return False
    tally.kills[kind] += 1
    tally.hits[kind] += bool(open_runs(home))
    tally.claimed += bool(claimed_slots(home))
    if kind == "worker":
        for child in children(process.pid, b"nofx_pipelines.cli.worker"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            tally.faults.append(f"{home.name}: the parent of a killed worker waits")
            os.killpg(process.pid, signal.SIGKILL)
    elif kind == "parent":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


LAUNCH = """
mutation L($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) { __typename } }
"""
BACKFILL = """
mutation B($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }
"""


def _ask(port: int, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def kill_daemon(home: Path, draw: random.Random, tally: Tally) -> bool:
    """Start ``nofx ui``, have it launch a run and a backfill, and kill the daemon, or all of it."""
    port = _free_port()
    process = start(home, "ui", "--port", str(port), "--mlflow-port", str(_free_port()))
    groups = {process.pid}
    try:
        end = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError, KeyError, TypeError):
                if _ask(port, "{ assetNodes { id } }")["data"]["assetNodes"]:
                    break
            time.sleep(0.5)
        selector = {
            "repositoryLocationName": "nofx",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["cn", "candidate_model"]}],
            "assetCheckSelection": None,
        }
        run = {"mode": "default", "executionMetadata": {"tags": []}, "runConfigData": "{}"}
        backfill = {"assetSelection": [{"path": ["cn", "bars"]}], "partitionNames": ["2024-02-01"]}
        with contextlib.suppress(OSError):
            said = _ask(port, LAUNCH, p={**run, "selector": selector})
            asked = _ask(port, BACKFILL, p=backfill)
            if "LaunchRunSuccess" not in str(said) or "LaunchBackfillSuccess" not in str(asked):
                tally.faults.append(f"{home.name}: the UI took neither: {said} {asked}")
        time.sleep(draw.uniform(0, 2 * _MOMENTS_S))
        tally.kills["daemon"] += 1
        tally.hits["daemon"] += bool(open_runs(home) or open_backfills(home))
        tally.claimed += bool(claimed_slots(home))
        below = children(process.pid, b"")
        for child in below:
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(child))
        if draw.random() < 0.5:
            for child in children(process.pid, b"dagster._daemon"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(draw.uniform(0, 1))
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        process.wait()
    return True


def judge(home: Path, reference: Reference, tally: Tally) -> None:
    """Note every way in which ``home`` differs from the undisturbed one."""
    tally.faults += [f"{home.name}: {text}" for text in differences(home, reference.fresh)]


def differences(home: Path, undisturbed: Path) -> list[str]:
    """What is wrong with a home after its last run."""
    wrong = [f"run {row} left" for row in open_runs(home)]
    wrong += [f"slot {row} taken" for row in claimed_slots(home)]
    wrong += [f"backfill {row} left" for row in open_backfills(home)]
    mine, theirs = Lake(home / "lake"), Lake(undisturbed / "lake")
    if mine.tables() != theirs.tables():
        wrong.append(f"tables {sorted(set(mine.tables()) ^ set(theirs.tables()))}")
    for scope, name in theirs.tables():
        if not mine.table(scope, name).verify().whole:
            wrong.append(f"{scope}/{name} is not whole")
        elif _rows(mine, scope, name) != _rows(theirs, scope, name):
            wrong.append(f"{scope}/{name} has other rows")
    versions = [Tracker(place).models().group_by("name").len().sort("name") for place in (home, undisturbed)]
    if not versions[0].equals(versions[1]):
        wrong.append(f"versions {versions[0].rows()} for {versions[1].rows()}")
    return wrong


_OF_ITS_RUN = {"run_id", "seconds", "trained_at", "decided_at", "computed_at", "created_at", "worker"}


def _rows(lake: Lake, scope: str, name: str) -> list[str]:
    """A table's rows as text, sorted, without what names the run or the time."""
    rows = lake.table(scope, name).scan().collect()
    return sorted(str(row) for row in rows.select(c for c in rows.columns if c not in _OF_ITS_RUN).rows())


def disturb(
    reference: Reference,
    folder: Path,
    tally: Tally,
    *,
    kills: int,
    seed: int,
    kinds: Sequence[str] = KINDS,
) -> None:
    """Homes, each killed some times and then run to the end, until there were ``kills``."""
    draw = random.Random(seed)
    while sum(tally.kills.values()) < kills:
        home = folder / f"home-{seed}-{tally.episodes}"
        shutil.copytree(reference.stale, home)
        hits = draw.randint(1, 6)
        for _ in range(min(hits, kills - sum(tally.kills.values()))):
            (kind,) = draw.choices(kinds, [WEIGHTS[kind] for kind in kinds])
            hit = kill_daemon(home, draw, tally) if kind == "daemon" else kill_run(home, kind, draw, tally)
            if not hit:
                break
        finish(home, reference, tally)
        shutil.rmtree(home)


def finish(home: Path, reference: Reference, tally: Tally) -> None:
    """Let the next run end by itself, and judge the home."""
    tally.episodes += 1
    process = start(home, "run")
    try:
        if process.wait(ENDS_WITHIN_S):
            tally.faults.append(f"{home.name}: exit {process.returncode}: {(home / 'out.txt').read_text()}")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        tally.faults.append(f"{home.name}: the next run still waits after {ENDS_WITHIN_S:.0f} s")
    judge(home, reference, tally)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        finished = Path(name) / "finished"
        finished.mkdir()
        (finished / "nofx.toml").write_text(render_config(small_config(finished)))
        command(finished)("run")
        reference = Reference.make(finished, Path(name))
        for part in range(0, args.kills, 5):
            disturb(reference, Path(name), tally, kills=min(part + 5, args.kills), seed=args.seed + part)
            print(sum(tally.kills.values()), dict(tally.hits), tally.faults, file=sys.stderr, flush=True)
    print(f"seed {args.seed}, {os.cpu_count()} cores\n\n{tally.table()}")


if __name__ == "__main__":
    main()

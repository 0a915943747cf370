"""One process of ``nofx run``: the ingestion of a feed and its universes, or mart and report.

It runs ordinary Dagster jobs in-process against the instance under ``$NOFX_HOME/dagster`` and
prints stage events as JSON lines (`assets.progress`).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from nofx_pipelines.cli.pool_waits import watched_pools
from nofx_pipelines.processes import PROCESS_TAG, ProcessId, end_with_parent


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m nofx_pipelines.cli.worker``; 0 when every run succeeded."""
    parser = argparse.ArgumentParser(prog="nofx-worker")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("jobs", nargs="+", help="an ingestion's, universes', or publish: run in this order")
    parser.add_argument("--start", type=date.fromisoformat)
    parser.add_argument("--end", type=date.fromisoformat)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args(argv)

    from assets.progress import separate_events
    from nofx_pipelines.cli.dagster_home import prepare_dagster_home

    end_with_parent()
    _show_waits()
    separate_events()
    folder = prepare_dagster_home(args.home)
    if args.seed is not None:
        os.environ["NOFX_SEED"] = str(args.seed)
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(folder)) as instance:
        return _work(args, instance)


def _work(args: argparse.Namespace, instance: Any) -> int:
    from assets.build import build_definitions, configuration
    from assets.jobs import PUBLISH, ingest_job_name
    from nofx_pipelines.cli.plan import Selection

    config = configuration(args.home)
    definitions = build_definitions(config)
    selection = Selection(config, args.start, args.end, datetime.now(UTC), args.force)
    feeds = {ingest_job_name(feed): feed for feed in config.feeds.values()}
    for name in args.jobs:
        if name == PUBLISH:
            chosen = None
        elif name in feeds:
            chosen = selection.of_feed(feeds[name], instance)
        else:
            chosen = selection.of_universe(config.universes[name], instance)
        if not _execute(definitions, instance, name, chosen, args.force):
            return 1
    return 0


def _execute(definitions: Any, instance: Any, job: str, chosen: Any, force: bool) -> bool:
    import dagster as dg

    from assets.progress import NAME, write_event
    from assets.schedules import RANGE_END, RANGE_START

    for state in chosen.states if chosen else ():
        if state.fresh:
            write_event({"event": "fresh", "stage": state.key, "reason": state.reason})
    if chosen and not chosen.keys:
        return True
    ops = {"__".join(key): {"config": {"force": True}} for key in chosen.keys} if chosen and force else {}
    span = {RANGE_START: chosen.range[0], RANGE_END: chosen.range[1]} if chosen and chosen.range else {}
    run_id = str(uuid.uuid4())
    with watched_pools(instance, run_id, _waits, _give_up):
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=[dg.AssetKey(key) for key in chosen.keys] if chosen else None,
            tags={**span, PROCESS_TAG: ProcessId.own().text},
            run_config={"loggers": {NAME: {}}, "ops": ops},
            raise_on_error=False,
        )
    write_event({"event": "run", "job": job, "run_id": result.run_id, "success": result.success})
    return bool(result.success)


class _Waits(logging.Handler):
    """Shows what locks are waited for, which the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        from assets.progress import write_event

        write_event({"event": "waiting", "stage": "", "message": record.getMessage()})


def _show_waits() -> None:
    logging.getLogger("nofx_pipelines.file_lock").addHandler(_Waits())


def _waits(step: str, message: str) -> None:
    from assets.progress import write_event

    write_event({"event": "waiting", "stage": step.replace("__", "/", 1), "message": message})


def _give_up(message: str) -> None:
    from assets.progress import write_event

    write_event({"event": "failed", "stage": "run", "message": f"{message}. Next: nofx doctor --repair"})
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

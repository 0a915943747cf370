"""``nofx ui``: Dagster's UI and daemon on this home, MLflow's UI beside it, on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.dead_runs import recover
from nofx_pipelines.cli.terminal import home_option, say
from nofx_pipelines.errors import NofxError

GRACE_SECONDS = 10.0
LOOK_SECONDS = 15.0


def serve(home: Path, port: int, mlflow_port: int) -> int:
    """Run both servers until Ctrl-C, or until one ends, whose exit status is returned."""
    usable_config(home)
    workspace = prepare_dagster_home(home) / "workspace.yaml"
    _recover(home)
    from nofx_pipelines.registry.tracking import Tracker

    tracker = Tracker(home)
    tracker.prepare()
    dagster = ["dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    mlflow = ["mlflow", "server", "--backend-store-uri", tracker.tracking_uri, "--workers", "1"]
    mlflow += ["--host", "127.0.0.1", "--port", str(mlflow_port)]
    say(f"Dagster  http://127.0.0.1:{port}")
    say(f"MLflow   http://127.0.0.1:{mlflow_port}")
    servers = [_start(command) for command in (dagster, mlflow)]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        looked = time.monotonic()
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
            if time.monotonic() - looked >= LOOK_SECONDS:
                _look(home)
                looked = time.monotonic()
        return next(server.returncode for server in servers if server.poll() is not None)
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers:
            _stop(server)


def _recover(home: Path) -> None:
    """End runs whose process is gone; the daemon launches what is queued and goes on with backfills."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        for line in recover(instance, launches=True):
            say(f"left behind: {line}")


def _look(home: Path) -> None:
    """`_recover`, beside servers that go on when a database is busy: the next look comes soon."""
    from sqlalchemy.exc import OperationalError

    try:
        _recover(home)
    except (NofxError, OperationalError) as error:
        say(f"dead runs could not be looked for ({error}). Next: nofx doctor --repair {home_option(home)}")


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # MLflow's job runners serve its generative features, which nothing here uses
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen(
        [sys.executable, "-m", "nofx_pipelines.cli.attached", sys.executable, "-m", *command],
        start_new_session=True,
        env={**os.environ, **quiet},
    )


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End a server and what it started: asked first, then told."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(timeout=GRACE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)

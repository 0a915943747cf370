"""``nofx ui``: Dagster's UI and daemon on this home, MLflow's UI beside it, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from nofx_pipelines.cli.dagster_home import prepare_dagster_home
from nofx_pipelines.cli.terminal import say
from nofx_pipelines.config_file import load_config


def serve(home: Path, port: int, mlflow_port: int) -> int:
    """Run both servers until Ctrl-C; returns the first exit status that is not zero."""
    load_config(home)
    workspace = prepare_dagster_home(home) / "workspace.yaml"
    from nofx_pipelines.models.tracking import Tracker

    tracker = Tracker(home)
    tracker.prepare()
    module = [sys.executable, "-m"]
    dagster = [*module, "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    mlflow = [*module, "mlflow", "server", "--backend-store-uri", tracker.tracking_uri]
    mlflow += ["--host", "127.0.0.1", "--port", str(mlflow_port), "--workers", "1"]
    say(f"Dagster  http://127.0.0.1:{port}")
    say(f"MLflow   http://127.0.0.1:{mlflow_port}")
    servers = [subprocess.Popen(command, start_new_session=True) for command in (dagster, mlflow)]
    try:
        return max(server.wait() for server in servers)
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGINT)
                server.wait(timeout=20)

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import polars as pl
import pytest

from nofx_pipelines.lake.schemas import HPO_TRIALS
from nofx_pipelines.registry.tracking import Tracker


def test_everything_lies_under_the_home_and_nothing_is_created_before_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Tracker(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_metrics_parameters_files_and_its_end(tracker):
    with tracker.run("a study", experiment="runs", tags={"nofx.universe": "runs"}) as run:
        run.log_params({"trees": 40, "crosses": True})
        run.log_metrics({"rank_ic": 0.05, "sharpe": None})
        run.log_file("figures/history.png", b"\x89PNG")
    found = tracker.client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "a study")
    assert found.data.params == {"trees": "40", "crosses": "True"}
    assert found.data.metrics == {"rank_ic": 0.05}
    assert found.data.tags["nofx.universe"] == "runs"
    files = [path for path in tracker.artifacts.rglob("history.png") if run.run_id in str(path)]
    assert [path.read_bytes() for path in files] == [b"\x89PNG"]


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_ends_badly_says_so(tracker, error, status):
    with pytest.raises(error), tracker.run("broken", experiment="runs") as run:
        raise error
    assert tracker.client.get_run(run.run_id).info.status == status


def test_trials_are_logged_by_number_in_few_calls(tracker, monkeypatch):
    day = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (
            "s",
            n,
            "COMPLETE" if n else "PRUNED",
            [n / 10, 0.2] if n else None,
            "{}",
            7,
            1.0,
            day,
            day,
            0.5,
            "local",
            "gbdt",
        )
        for n in range(700)
    ]
    trials = pl.DataFrame(rows, schema=HPO_TRIALS.columns, orient="row")
    calls = []
    real = tracker.client.log_batch
    monkeypatch.setattr(tracker.client, "log_batch", lambda *a, **k: calls.append(1) or real(*a, **k))
    with tracker.run("trials", experiment="runs") as run:
        run.log_trials(trials)
    assert len(calls) == 3  # 700 x seconds and 699 x two values, a thousand a call
    history = tracker.client.get_metric_history(run.run_id, "trial_rank_ic")
    assert [(entry.step, entry.value) for entry in history][:2] == [(1, 0.1), (2, 0.2)]
    assert len(history) == 699


def test_mlflow_leaves_the_process_and_the_folder_as_they_were(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from nofx_pipelines.registry.tracking import Tracker\n"
        "tracker = Tracker(Path('home')); tracker.prepare()\n"
        "with tracker.run('r', experiment='e') as run: run.log_file('a.txt', b'a')\n"
        "import mlflow; assert mlflow.active_run() is None\n"
        "print(sorted(os.listdir('.')), os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['home'] false"
    assert done.stderr == ""


def test_a_kill_while_the_database_is_made_leaves_none(tmp_path):
    """Half of its tables under the final name would stop every later run."""
    made = "from nofx_pipelines.registry.tracking import Tracker; Tracker(Path(sys.argv[1])).prepare()"
    code = f"import sys; from pathlib import Path; {made}"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    draft = tmp_path / "mlflow" / "mlflow.db.part"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        if draft.exists() and draft.stat().st_size > 50_000:
            child.kill()
        time.sleep(0.002)
    assert child.wait() == -9
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()
    tracker = Tracker(tmp_path)
    tracker.prepare()
    assert tracker.models().is_empty()
    assert not draft.exists()

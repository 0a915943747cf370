"""A home that was moved keeps its models and logs into itself."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from nofx_pipelines.registry.relocation import relocate
from nofx_pipelines.registry.tracking import Tracker
from tests.chain import Chain


def addresses(tracker: Tracker) -> list[str]:
    found = []
    for experiment in tracker.client.search_experiments():
        found.append(experiment.artifact_location)
        found += [run.info.artifact_uri for run in tracker.client.search_runs([experiment.experiment_id])]
    found += [str(version.source) for version in tracker.client.search_model_versions()]
    return [address for address in found if address.startswith("file:")]


def test_a_copied_home_logs_into_itself_and_loads_without_the_first(
    trained_chain: Chain, tmp_path: Path
) -> None:
    first = trained_chain.copied(tmp_path / "first").tracker
    before = addresses(first)
    assert len(before) >= 4
    (tmp_path / "a moved home").mkdir()
    second = Tracker(tmp_path / "a moved home")
    shutil.move(first.folder, second.folder)
    assert all(address.startswith(f"{second.artifacts.as_uri()}/") for address in addresses(second))
    with second.run("later", experiment="cn") as run:
        run.log_file("notes/one.txt", b"here")
    assert [path.read_bytes() for path in second.artifacts.rglob("one.txt")] == [b"here"]
    assert not first.folder.exists()
    version = second.client.search_model_versions()[0]
    assert second.load(f"{version.name}/{version.version}").onnx
    # MLflow's own way to the files, as a person in a notebook takes it
    assert Path(second.client.download_artifacts(version.run_id, "")).is_dir()


def test_only_our_own_addresses_elsewhere_are_changed(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    kept = [
        "s3://bucket/mlflow/artifacts/cn",
        "file:///other/mlruns/0",
        f"{tmp_path.as_uri()}/mlflow/artifacts/x",
    ]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
        connection.execute("CREATE TABLE runs (artifact_uri TEXT)")
        connection.execute("CREATE TABLE model_versions (source TEXT, storage_location TEXT)")
        addresses = [*kept, "file:///old%20home/mlflow/artifacts/cn/1/model"]
        connection.executemany("INSERT INTO experiments VALUES (?)", [(each,) for each in addresses])
    artifacts = tmp_path / "mlflow" / "artifacts"
    assert relocate(database, artifacts) == 1
    assert relocate(database, artifacts) == 0
    with closing(sqlite3.connect(database)) as connection:
        found = [row[0] for row in connection.execute("SELECT artifact_location FROM experiments")]
    assert found == [*kept, f"{artifacts.as_uri()}/cn/1/model"]

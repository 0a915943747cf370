"""``dagster dev -w workspace.yaml``: over GraphQL as the UI calls it, and in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nofx_pipelines.config_file import render_config
from tests.end_to_end.conftest import small_config

pytestmark = pytest.mark.xdist_group("ui")

ROOT = Path(__file__).resolve().parents[2]
MONTH = "2024-02-01"

LAUNCH = """
mutation LaunchPipelineExecution($executionParams: ExecutionParams!) {
  launchPipelineExecution(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
NEWEST = "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"
MATERIALIZED = """
query($key: AssetKeyInput!, $partitions: [String!]) {
  assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: 1) {
      partition metadataEntries {
        label
        ... on IntMetadataEntry { intValue }
        ... on TableSchemaMetadataEntry { schema { columns { name type description } } }
      }
    }
  } }
}
"""
NODES = "{ assetNodes { assetKey { path } groupName description } }"


class Ui:
    """A running ``dagster dev``."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def finish(self, run_id: str, seconds: float = 180.0) -> str:
        """Wait for a run; its last status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = str(self.ask(RUN, id=run_id)["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.5)
        return "TIMEOUT"

    def materialize(self, key: list[str], partition: str) -> str:
        """What the UI's button sends for one partition of one asset."""
        parameters = {
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
            "runConfigData": "{}",
            "selector": {
                "repositoryLocationName": "nofx",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": key}],
                "assetCheckSelection": None,
            },
        }
        answer = self.ask(LAUNCH, executionParams=parameters)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return self.finish(answer["run"]["runId"])


@contextlib.contextmanager
def dagster_dev(home: Path) -> Iterator[Ui]:
    """Start ``dagster dev`` on a free port; end it with all that it started."""
    from nofx_pipelines.cli.dagster_home import instance_settings

    (home / "dagster").mkdir(parents=True, exist_ok=True)
    (home / "dagster" / "dagster.yaml").write_text(instance_settings())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "NOFX_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    log = (home / "dev.log").open("wb")
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-w",
        "workspace.yaml",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        ui = Ui(f"http://127.0.0.1:{port}")
        _wait(ui, process, home / "dev.log")
        yield ui
    finally:
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
        log.close()


def _wait(ui: Ui, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            if ui.ask(NODES)["assetNodes"]:
                return
        time.sleep(0.5)
    pytest.fail(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    home = tmp_path_factory.mktemp("ui")
    (home / "nofx.toml").write_text(render_config(small_config(home)))
    with dagster_dev(home) as running:
        yield running


def test_one_partition_is_materialised_as_the_ui_does_it(ui: Ui) -> None:
    assert ui.materialize(["cn", "instruments"], MONTH) == "SUCCESS"
    for name in ("source_bars_1d", "bars"):
        assert ui.materialize(["cn", name], MONTH) == "SUCCESS"
    asset = ui.ask(MATERIALIZED, key={"path": ["cn", "bars"]}, partitions=[MONTH])["assetOrError"]
    (found,) = asset["assetMaterializations"]
    figures = {entry["label"]: entry.get("intValue") for entry in found["metadataEntries"]}
    assert found["partition"] == MONTH
    # eight instruments over the fifteen sessions of February 2024
    assert figures["sessions_written"] == 15
    assert 8 * 15 - 8 <= figures["rows"] <= 8 * 15


def test_the_columns_of_features_say_what_they_are(ui: Ui) -> None:
    for name in ("instruments", "source_bars_1d", "bars", "features"):
        assert ui.materialize(["cn", name], MONTH) == "SUCCESS"
    asset = ui.ask(MATERIALIZED, key={"path": ["cn", "features"]}, partitions=[MONTH])["assetOrError"]
    (found,) = asset["assetMaterializations"]
    schemas = [entry["schema"]["columns"] for entry in found["metadataEntries"] if "schema" in entry]
    columns = {column["name"]: (column["type"], column["description"]) for column in schemas[0]}
    assert columns["sma_20"] == ("Float64", "Mean close of 20 bars. (price)")
    assert columns["session_date"] == ("Date", None)


def test_the_graph_is_there_with_its_groups(ui: Ui) -> None:
    nodes = ui.ask(NODES)["assetNodes"]
    groups = {"/".join(node["assetKey"]["path"]): node["groupName"] for node in nodes}
    assert groups["cn/signals"] == "cn"
    assert groups["cn/source_bars_1d"] == "ingest_cn"
    assert groups["report"] == "publish"


def test_a_wrong_file_shows_as_one_asset_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "nofx.toml").write_text("[universes.cn]\nmarket = 'mars'\n")
    with dagster_dev(tmp_path) as broken:
        (node,) = broken.ask(NODES)["assetNodes"]
    assert node["assetKey"]["path"] == ["CONFIG_ERROR"]
    assert "nofx.toml:2" in node["description"]
    assert "Traceback" not in node["description"]


def test_the_ui_in_a_browser(ui: Ui, tmp_path: Path) -> None:
    """Open the graph, materialise a partition of the ingestion by its button, see the run succeed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=[*flags, "--disable-sync"])
        try:
            page = browser.new_page(viewport={"width": 1500, "height": 900})
            page.set_default_timeout(60_000)
            page.goto(f"{ui.address}/locations/nofx/asset-groups/cn/lineage")
            for name in ("bars", "features", "training_set", "candidate_model", "champion", "signals"):
                expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=60_000)
            page.goto(f"{ui.address}/assets/cn/instruments")
            page.get_by_text("Materialize", exact=True).first.click()
            expect(page.get_by_text("Launched run").first).to_be_visible()
            (newest,) = ui.ask(NEWEST)["runsOrError"]["results"]
            assert ui.finish(newest["runId"]) == "SUCCESS"
            page.goto(f"{ui.address}/runs/{newest['runId']}")
            expect(page.get_by_text("Success", exact=True).first).to_be_visible()
        except BaseException:
            page.screenshot(path=str(tmp_path / "failed.png"))
            raise
        finally:
            browser.close()

"""Both models of a universe: trained, judged once, registered with their lineage."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import ModelError
from nofx_pipelines.evaluation.holdout import hold_out
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.promotion.candidate import (
    FOLD_METRIC,
    PARITY,
    PARITY_METRIC,
    known_candidate,
    refresh_candidate,
)
from tests.chain import Chain
from tests.skeleton_files import write_skeleton


def test_the_ridge_is_registered_first(trained_chain: Chain) -> None:
    board = trained_chain.table("leaderboard").scan().collect()
    assert dict(board.select("kind", "version").unique().rows()) == {"baseline": "1", "candidate": "2"}


def test_figures_are_those_of_the_registered_models(trained_chain: Chain) -> None:
    """The leaderboard's rank IC is what the loaded ONNX scores on the hold-out."""
    chain, board = trained_chain, trained_chain.table("leaderboard").scan().collect()
    test = hold_out(chain.lake, chain.universe)
    for kind, version in (("baseline", "1"), ("candidate", "2")):
        model = chain.tracker.load(f"{chain.universe.model_name}/{version}")
        judged = test.evaluate(test.rows.predictions(model.predict(test.rows.x)))
        told = board.filter((pl.col("kind") == kind) & (pl.col("metric") == "rank_ic")).row(0, named=True)
        assert told["value"] == pytest.approx(judged.rank_ic.value, abs=1e-4)
        assert told["lo"] <= told["value"] <= told["hi"]


def test_onnx_scores_as_the_trained_model_did(trained_chain: Chain) -> None:
    board = trained_chain.table("leaderboard").scan().collect()
    parity = board.filter(pl.col("metric") == PARITY_METRIC)["value"]
    assert len(parity) == 2
    assert parity.max() <= PARITY  # type: ignore[operator]


def test_each_fold_has_its_rank_ic_and_the_hold_out_is_the_last(trained_chain: Chain) -> None:
    board = trained_chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()
    named = dict(board.select("metric", "value").rows())
    folds = sorted(name for name in named if name.startswith(FOLD_METRIC))
    assert len(folds) == trained_chain.universe.folds.count
    assert named[folds[-1]] == named["rank_ic"]


def test_lineage_names_the_versions_that_were_read(trained_chain: Chain) -> None:
    lineage = trained_chain.tracker.lineage(f"{trained_chain.universe.model_name}/2")
    assert lineage.kind == "candidate"
    for key, version in lineage.data_versions.items():
        table = trained_chain.lake.table(*key.split("/"))
        assert version <= (table.version() or 0)
    board = trained_chain.table("leaderboard").scan().filter(pl.col("metric") == "rank_ic").collect()
    assert json.loads(board["data_versions"][0]) == dict(lineage.data_versions)


def test_what_a_killed_run_registered_is_not_registered_again(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions() -> list[str]:
        return chain.tracker.models().filter(pl.col("name") == chain.universe.model_name)["version"].to_list()

    def killed(table: LakeTable, *args: object, **options: object) -> None:
        raise KeyboardInterrupt

    assert versions() == ["1", "2"]
    whole = LakeTable.overwrite
    monkeypatch.setattr(LakeTable, "overwrite", killed)
    with pytest.raises(KeyboardInterrupt):
        chain.compute("candidate_model", force=True)
    monkeypatch.setattr(LakeTable, "overwrite", whole)
    assert versions() == ["1", "2", "3", "4"]
    chain.compute("candidate_model", force=True)  # the run after it
    assert versions() == ["1", "2", "3", "4"]
    board = chain.table("leaderboard").scan().collect()
    assert dict(board.select("kind", "version").unique().rows()) == {"baseline": "3", "candidate": "4"}
    chain.compute("candidate_model", force=True)  # asked for once more, after the tables were written
    assert versions() == ["1", "2", "3", "4", "5", "6"]


def test_plug_ins_that_rows_come_from_are_recorded_by_name(chain: Chain) -> None:
    folder = chain.home / plugins.FOLDER
    write_skeleton("features", folder, "mine")
    write_skeleton("labels", folder, "ours")
    kinds = {"features": "mine:FEATURES", "labels": "ours:LABEL"}
    labels = dataclasses.replace(chain.universe.labels, kind=kinds["labels"])
    features = (*chain.universe.features, kinds["features"])
    chain.set(features=features, labels=labels, plugins=folder).compute("candidate_model", force=True)
    digests = {f"{kind} {name}": plugins.find(kind, name, folder).digest() for kind, name in kinds.items()}
    for version in chain.tracker.models()["version"].to_list()[-2:]:  # the ridge's too
        assert dict(chain.tracker.lineage(f"{chain.universe.model_name}/{version}").plugins) == digests
    assert dict(chain.tracker.lineage(f"{chain.universe.model_name}/1").plugins) == {}


def test_equity_starts_at_one_and_is_net_of_costs(trained_chain: Chain) -> None:
    equity = trained_chain.table("equity").scan().sort("policy", "ts_close").collect()
    for _, rows in equity.group_by("policy"):
        assert rows["equity"][0] == pytest.approx(1.0, abs=0.15)
        assert (rows["cost"] >= 0).all()
        assert np.isfinite(rows["equity"].to_numpy()).all()


def test_known_is_what_was_refreshed(trained_chain: Chain) -> None:
    known = known_candidate(trained_chain.lake, trained_chain.universe)
    assert (known.baseline_version, known.candidate_version) == ("1", "2")
    assert known.rows == trained_chain.table("leaderboard").scan().collect().height
    assert "| rank_ic |" in known.markdown


def test_a_study_without_a_complete_trial_is_refused(chain: Chain) -> None:
    trials = chain.table("hpo_trials")
    failed = (
        trials.scan()
        .collect()
        .with_columns(state=pl.lit("FAIL"), values=pl.lit(None, dtype=pl.List(pl.Float64)))
    )
    trials.overwrite(failed)
    before = chain.versions()
    with pytest.raises(ModelError):
        refresh_candidate(chain.lake, chain.tracker, chain.universe, inputs="", run_id="r", code_version="c")
    assert chain.table("leaderboard").version() == before["cn/leaderboard"]


def test_every_stage_s_runs_find_each_other_by_the_dagster_run(finished_chain: Chain) -> None:
    client = finished_chain.tracker.client
    experiment = client.get_experiment_by_name("cn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`nofx.dagster_run_id` = 'run'")
    stages = {run.data.tags["nofx.stage"] for run in runs}
    assert stages >= {"anomaly_scores", "hpo_study", "nas_search", "candidate_model", "marl_training"}

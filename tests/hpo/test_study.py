from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import SearchConfig
from nofx_pipelines.errors import ConfigError, ModelError, PluginError
from nofx_pipelines.hpo.ledger import open_ledger
from nofx_pipelines.hpo.study import run_study
from nofx_pipelines.hpo.summary import importance
from nofx_pipelines.lake.schemas import HPO_TRIALS
from nofx_pipelines.models.families.gbdt import gbdt_space
from nofx_pipelines.models.space import Parameter, SearchSpace
from nofx_pipelines.search.pruning import thresholds
from nofx_pipelines.search.samplers import sampler
from tests.skeleton_files import write_skeleton

SPACE = SearchSpace(
    "small",
    (
        Parameter("trees", "int", 3, 20, log=True),
        Parameter("learning_rate", "float", 0.01, 0.3, log=True),
        Parameter("crosses", "choice", choices=(True, False)),
        Parameter("linear_share", "float", 0.0, 1.0),
    ),
    (10, 0.05, True, 0.5),
)
CONFIG = SearchConfig(trials=14, workers=1, batch=4, seed=3)
OF_STUDY = ("gbdt", SPACE, sampler("tpe"), CONFIG.seed)


def clock():
    ticks = count()
    return lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(ticks))


@pytest.fixture(scope="module")
def world(plant):
    return plant(sessions=150)


def run(world, folder, config=CONFIG, space=SPACE, **more):
    return run_study(*world, "gbdt", config, space=space, folder=folder, name="cn", clock=clock(), **more)


def drawn(result):
    """What must not depend on workers, kills or machine."""
    return result.trials.select("study", "trial", "state", "values", "params", "seed", "fidelity").rows()


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    return run(world, tmp_path_factory.mktemp("whole"))


def test_the_table_has_a_row_a_trial_as_the_schema_says(whole):
    assert whole.trials.schema == pl.Schema(HPO_TRIALS.columns)
    assert whole.trials["trial"].to_list() == list(range(14))
    assert json.loads(whole.trials["params"][0]) == SPACE.first_params
    done = whole.trials.filter(state="COMPLETE")
    assert done["values"].list.len().unique().to_list() == [4]
    assert done["values"].list.get(3).is_between(-1, 1).all()
    assert (whole.trials["finished"] > whole.trials["started"]).all()
    best = done.sort(pl.col("values").list.get(0), descending=True).row(0, named=True)
    assert (best["trial"], best["values"][0]) == (whole.best.trial, whole.best.rank_ic)
    assert json.loads(best["params"]) == whole.best.params
    assert set(whole.trials["family"]) == {whole.best.family} == {"gbdt"}


def test_two_workers_draw_and_score_the_same_trials(world, whole, tmp_path):
    two = run(world, tmp_path, SearchConfig(trials=14, workers=2, batch=4, seed=3))
    assert drawn(two) == drawn(whole)
    assert set(two.trials["worker"]) <= {"worker-0", "worker-1"}


def test_another_seed_draws_others_after_the_first(world, whole, tmp_path):
    other = run(world, tmp_path, SearchConfig(trials=6, batch=4, seed=4))
    assert other.study != whole.study
    assert other.trials["params"][0] == whole.trials["params"][0]
    assert other.trials["params"].to_list()[1:] != whole.trials["params"].to_list()[1:6]


def test_a_finished_study_is_read_and_not_run(world, whole, tmp_path, monkeypatch):
    first = run(world, tmp_path)
    monkeypatch.setattr("nofx_pipelines.hpo.objective.Objective.evaluate", None)
    assert run(world, tmp_path).trials.equals(first.trials)


@pytest.mark.parametrize("asked", range(1, 13, 3))
def test_stopped_after_any_number_of_trials_it_goes_on_to_the_same_end(world, whole, tmp_path, asked):
    seen = []

    def stop(row):
        seen.append(row["trial"])
        if len(seen) == asked:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path, on_trial=stop)
    assert drawn(run(world, tmp_path)) == drawn(whole)


def test_a_torn_last_line_is_dropped_and_its_trial_run_again(world, whole, tmp_path):
    run(world, tmp_path)
    (journal,) = tmp_path.glob("*.journal")
    content = journal.read_bytes()
    for share in (0.2, 0.55, 0.9):
        journal.write_bytes(content[: int(len(content) * share)])
        assert drawn(run(world, tmp_path)) == drawn(whole)


def test_other_rows_space_seed_batch_or_code_are_another_study(world, whole, tmp_path):
    frame, folds = world
    moved = frame.with_columns(pl.col("drift") + 1e-9)
    short = SearchConfig(trials=1, seed=3)
    names = {
        run((moved, folds), tmp_path, short).study,
        run(world, tmp_path, short, SearchSpace("small", SPACE.parameters, (11, 0.05, True, 0.5))).study,
        run(world, tmp_path, SearchConfig(trials=1, seed=9)).study,
        run(world, tmp_path, SearchConfig(trials=1, seed=3, batch=5)).study,
        run(world, tmp_path, short, code_version="b").study,
        run(world, tmp_path, short, row_budget=100).study,
        whole.study,
    }
    assert len(names) == 7
    assert run(world, tmp_path, short).study == whole.study


def test_more_trials_go_on_where_fewer_ended(world, tmp_path, whole):
    run(world, tmp_path, SearchConfig(trials=8, batch=4, seed=3))
    assert drawn(run(world, tmp_path)) == drawn(whole)


def test_pruning_looks_at_earlier_batches_only(world, tmp_path):
    config = SearchConfig(trials=24, batch=4, seed=3)
    result = run(world, tmp_path, config)
    with open_ledger(tmp_path, result.study, *OF_STUDY) as ledger:
        steps = [list(trial.intermediate_values.values()) for trial in ledger.trials()]
    assert result.count("PRUNED") > 0
    for number, state in result.trials.select("trial", "state").iter_rows():
        limits = thresholds(steps[: number - number % 4], 3)
        below = [
            limit is not None and step < limit for step, limit in zip(steps[number], limits, strict=False)
        ]
        assert (state == "PRUNED") == any(below), number
        assert not any(below[:-1])


def test_a_batch_that_is_taken_up_again_is_pruned_by_earlier_batches_only(world, tmp_path, monkeypatch):
    told = []

    def stop(row):
        told.append(row["trial"])
        if len(told) == 10:  # two of the third batch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path, on_trial=stop)
    looked_at = []
    monkeypatch.setattr(
        "nofx_pipelines.hpo.study.thresholds",
        lambda earlier, folds: looked_at.append(len(earlier)) or (None,) * folds,
    )
    run(world, tmp_path)
    assert looked_at[-2:] == [8, 12]


def test_no_two_trials_are_the_same_and_they_are_told_in_order(world, tmp_path, whole):
    assert whole.trials["params"].n_unique() == 14
    told = []
    config = SearchConfig(trials=8, workers=2, batch=4, seed=3)
    run(world, tmp_path, config, on_trial=lambda row: told.append(row["trial"]))
    assert told == list(range(8))


def test_a_failed_trial_has_its_reason_and_the_others_count(world, tmp_path):
    space = SearchSpace(
        "risky", (Parameter("lambda_l2", "float", -5.0, 5.0), Parameter("trees", "int", 3, 5)), (1.0, 4)
    )
    result = run(world, tmp_path, SearchConfig(trials=8, seed=1), space)
    assert 0 < result.count("FAIL") < 8
    assert set(result.failures) == set(result.trials.filter(state="FAIL")["trial"])
    assert all("lambda_l2" in reason for reason in result.failures.values())
    assert result.best.params["lambda_l2"] >= 0


def test_a_study_of_failures_says_why(world, tmp_path):
    space = SearchSpace("hopeless", (Parameter("lambda_l2", "float", -5.0, -1.0),), (-2.0,))
    result = run(world, tmp_path, SearchConfig(trials=3, seed=1), space)
    assert result.best is None
    assert set(result.trials["state"]) == {"FAIL"}
    assert re.match(r"(?s)none of the 3 trials of study cn-\w+ completed: .*lambda_l2", result.why_none())


def test_one_process_at_a_time_runs_a_study(world, tmp_path, monkeypatch):
    monkeypatch.setattr("nofx_pipelines.search.study_lock.PATIENCE_S", 0.0)
    name = run(world, tmp_path, SearchConfig(trials=1, seed=3)).study
    with open_ledger(tmp_path, name, *OF_STUDY), pytest.raises(ModelError, match="another process"):
        run(world, tmp_path)


def test_importance_finds_the_parameter_that_matters():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    spans = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("strong", "weak", "none")}
    for _ in range(200):
        trial = study.ask(spans)
        study.tell(trial, -((trial.params["strong"] - 0.3) ** 2) - 0.02 * trial.params["weak"])
    found = importance(study.trials, list(spans))
    assert next(iter(found)) == "strong"
    assert found["strong"] > 0.6
    assert sum(found.values()) == pytest.approx(1.0)
    assert importance(study.trials[:1], ["a", "b"]) == {"a": 0.5, "b": 0.5}


KILLED = """
    import json, sys; from datetime import UTC, datetime; from pathlib import Path
    import polars as pl
    from nofx_pipelines.config import SearchConfig
    from nofx_pipelines.hpo.study import run_study
    folder = Path(sys.argv[1])
    frames = [pl.read_parquet(folder / f"{name}.parquet") for name in ("rows", "folds")]
    config = SearchConfig(trials=12, workers=int(sys.argv[2]), batch=4, seed=3)
    result = run_study(*frames, "gbdt", config, folder=folder, name="cn",
        clock=lambda: datetime.now(UTC), on_trial=lambda row: print(row["trial"], flush=True))
    print(json.dumps(result.trials.select("trial", "state", "values", "params").rows()))
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_end(world, tmp_path):
    frame, folds = world
    frame.write_parquet(tmp_path / "rows.parquet")
    folds.write_parquet(tmp_path / "folds.parquet")
    expected = run(world, tmp_path / "whole", SearchConfig(trials=12, batch=4, seed=3), gbdt_space())
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), "2"]
    environment = dict(os.environ)
    for told in (1, 5):  # killed once this many trials are told
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(told):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    columns = expected.trials.select("trial", "state", "values", "params").rows()
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(columns))


def test_a_family_without_parameters_to_search_is_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="model family ridge has no hyper-parameters to search"):
        run_study(*world, "ridge", CONFIG, folder=tmp_path, name="cn", clock=clock())


def test_another_sampler_is_another_study_and_asks_other_trials_after_the_first(world, whole, tmp_path):
    other = run(world, tmp_path, SearchConfig(trials=6, batch=4, seed=3, sampler="random"))
    assert other.study != whole.study
    assert other.trials["params"][0] == whole.trials["params"][0]
    assert not set(other.trials["params"][1:]) & set(whole.trials["params"])
    two = SearchConfig(trials=6, batch=4, seed=3, sampler="random", workers=2)
    assert drawn(run(world, tmp_path / "two", two)) == drawn(other)


def test_a_user_s_sampler_is_used_and_is_part_of_the_study(world, tmp_path):
    file = write_skeleton("samplers", tmp_path / "plugins")
    config = SearchConfig(trials=9, batch=3, seed=3, sampler="mine:SAMPLER")
    first = run(world, tmp_path, config, plugins=tmp_path / "plugins")
    ours = plugins.load("samplers", "mine:SAMPLER", tmp_path / "plugins")
    asked = [json.loads(params) for params in first.trials["params"]]
    assert asked[4] == ours.propose(SPACE, [], 4, 3)  # at random: the start is not over
    assert run(world, tmp_path, config, plugins=tmp_path / "plugins").trials.equals(first.trials)
    file.write_text(file.read_text().replace("step: float = 0.15", "step: float = 0.4"))
    assert run(world, tmp_path, config, plugins=tmp_path / "plugins").study != first.study


def test_a_sampler_that_leaves_the_space_ends_the_study_with_its_name(world, tmp_path):
    file = write_skeleton("samplers", tmp_path / "plugins")
    file.write_text(file.read_text().replace("return {p.name: value_at", "return {p.name: 9 * value_at"))
    config = SearchConfig(trials=4, batch=2, seed=3, sampler="mine:SAMPLER")
    words = r"plug-in 'mine:SAMPLER' .* proposes a trial outside the space 'small'"
    with pytest.raises(PluginError, match=words):
        run(world, tmp_path, config, plugins=tmp_path / "plugins")
    with pytest.raises(PluginError, match=words):  # it is asked again, not taken for the trial
        run(world, tmp_path, config, plugins=tmp_path / "plugins")

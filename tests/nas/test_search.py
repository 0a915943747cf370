"""The search: the same trials whoever evaluates them and however often it is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import NasConfig
from nofx_pipelines.errors import ModelError, PluginError
from nofx_pipelines.lake.schemas import NAS_TRIALS
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.models.networks.training_config import TrainingConfig
from nofx_pipelines.nas.best import best_network
from nofx_pipelines.nas.journal import open_journal
from nofx_pipelines.nas.objective import Fidelity, NetworkObjective
from nofx_pipelines.nas.pareto import pareto
from nofx_pipelines.nas.search import SearchResult, identity, run_search
from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.search.fold_rows import FoldRows
from nofx_pipelines.search.trials import Trial
from tests.skeleton_files import write_skeleton

Rows = Callable[..., Dataset]
CONFIG = NasConfig(trials=10, batch=4, epochs=1)
TIMES = ("started", "finished", "seconds", "worker")


@pytest.fixture(scope="module")
def objective(make_rows: Rows) -> NetworkObjective:
    rows = make_rows(sessions=60)
    folds = (FoldRows((0, 400), (400, 600)), FoldRows((0, 200), (250, 400)))
    quick, full = (Fidelity(k, TrainingConfig(epochs=k, batch=128)) for k in (1, 2))
    space = SearchSpace(features=3, lookbacks=(1, 5), widths=(4, 8), depth=2)
    return NetworkObjective(rows, folds, space, 3, quick, full)


def search(objective: NetworkObjective, folder: Path, **changed: object) -> SearchResult:
    config = dataclasses.replace(CONFIG, **changed)  # type: ignore[arg-type]
    return run_search(
        objective, config, folder=folder, name="nas", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)
    )


def alike(result: SearchResult) -> pl.DataFrame:
    return result.trials.drop("study", *TIMES)


@pytest.fixture(scope="module")
def result(objective: NetworkObjective, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(objective, tmp_path_factory.mktemp("search"))


def test_rows_are_the_table_and_finalists_come_last(result: SearchResult) -> None:
    assert dict(result.trials.schema) == dict(pl.Schema(NAS_TRIALS.columns))
    assert result.trials["trial"].to_list() == list(range(12))
    assert (result.trials["fidelity"][10:] == 1.0).all()
    assert (result.trials["fidelity"][:10] < 1.0).all()
    assert all(len(values) == 4 for values in result.trials["values"])


def test_two_workers_ask_and_score_the_same(
    objective: NetworkObjective, result: SearchResult, tmp_path: Path
) -> None:
    assert alike(search(objective, tmp_path, workers=2)).equals(alike(result))


@pytest.mark.parametrize("strategy", ["random", "tpe", "evolution"])
def test_the_same_seed_gives_the_same_trials(
    objective: NetworkObjective, tmp_path: Path, strategy: str
) -> None:
    first = search(objective, tmp_path / "a", strategy=strategy)
    assert alike(search(objective, tmp_path / "b", strategy=strategy)).equals(alike(first))
    assert not alike(search(objective, tmp_path / "c", strategy=strategy, seed=8)).equals(alike(first))


def test_what_is_told_is_not_evaluated_again(
    objective: NetworkObjective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search(objective, tmp_path)
    monkeypatch.setattr(NetworkObjective, "evaluate", lambda *_: pytest.fail("evaluated again"))
    assert alike(search(objective, tmp_path)).equals(alike(first))


def test_a_search_cut_at_any_line_goes_on_to_the_same_trials(
    objective: NetworkObjective, result: SearchResult, tmp_path: Path
) -> None:
    search(objective, tmp_path)
    (book,) = tmp_path.glob("*.jsonl")
    lines = book.read_bytes().splitlines(keepends=True)
    for kept in (0, 1, 5, 9, 10, 11):
        book.write_bytes(b"".join(lines[:kept]) + lines[kept][:40])  # the last line half written
        assert alike(search(objective, tmp_path)).equals(alike(result))


def test_a_killed_search_goes_on(objective: NetworkObjective, result: SearchResult, tmp_path: Path) -> None:
    objective.save(_made(tmp_path / "objective"))
    folders = {"objective": str(tmp_path / "objective"), "books": str(tmp_path / "books")}
    code = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from nofx_pipelines.config import NasConfig
from nofx_pipelines.nas.objective import NetworkObjective
from nofx_pipelines.nas.search import run_search
folders = json.loads(sys.argv[1])
run_search(
    NetworkObjective.load(Path(folders["objective"])),
    NasConfig(trials=10, batch=4, epochs=1),
    folder=Path(folders["books"]),
    name="nas",
    clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(folders)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        books = list((tmp_path / "books").glob("*.jsonl"))
        if books and books[0].read_bytes().count(b"\n") >= 3:
            child.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    child.wait()
    assert alike(search(objective, tmp_path / "books")).equals(alike(result))


def test_the_best_is_decoded_from_its_genotype_and_trained_to_its_score(
    objective: NetworkObjective, result: SearchResult
) -> None:
    best = best_network(result.trials)
    assert best is not None
    assert objective.space.decode(best.genotype) == best.spec
    again = objective.evaluate(Trial(0, {"genotype": list(best.genotype), "full": True}, ()))
    assert again.rank_ic == best.rank_ic


def test_nothing_beats_the_front_in_both(result: SearchResult) -> None:
    front = pareto(result.trials)
    searched = result.trials.filter(pl.col("fidelity") < 1.0).with_columns(ic=pl.col("values").list.get(0))
    for _, ic, size in front.rows():
        assert searched.filter((pl.col("ic") > ic) & (pl.col("n_params") <= size)).is_empty()
    for row in searched.iter_rows(named=True):
        assert front.filter((pl.col("rank_ic") >= row["ic"]) & (pl.col("n_params") <= row["n_params"])).height


def test_a_search_without_a_complete_trial_says_why(objective: NetworkObjective, tmp_path: Path) -> None:
    broken = dataclasses.replace(objective, device="nowhere")
    with pytest.raises(ModelError, match=r"none of the 10 trials of search nas-\w+ completed: ConfigError"):
        search(broken, tmp_path)


def test_one_process_at_a_time_holds_a_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nofx_pipelines.search.study_lock.PATIENCE_S", 0.0)
    with (
        open_journal(tmp_path, "x"),
        pytest.raises(ModelError, match="another process runs"),
        open_journal(tmp_path, "x"),
    ):
        pass


def test_a_line_is_whole_or_not_there(tmp_path: Path) -> None:
    with open_journal(tmp_path, "x") as book:
        book.tell({"number": 0})
        book.tell({"number": 1})
    path = tmp_path / "x.jsonl"
    path.write_bytes(path.read_bytes() + b'{"number": 2')
    with open_journal(tmp_path, "x") as book:
        assert [row["number"] for row in book.rows] == [0, 1]
        book.tell({"number": 2})
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0, 1, 2]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_with_no_more_folds_than_a_trial_takes_finalists_are_still_told_apart(
    objective: NetworkObjective, tmp_path: Path
) -> None:
    """A short history has two folds: its trials were taken for finalists, and no trial counted as tried."""
    quick = dataclasses.replace(objective.quick, folds=2)
    found = search(dataclasses.replace(objective, quick=quick), tmp_path).trials
    assert found.filter(pl.col("fidelity") == 1.0)["trial"].to_list() == [10, 11]
    assert pareto(found).height
    best = best_network(found)
    assert best is not None
    assert best.trial in (10, 11)


def test_another_device_is_another_search(objective: NetworkObjective) -> None:
    elsewhere = dataclasses.replace(objective, device="cuda")
    assert identity(elsewhere, CONFIG, "") != identity(objective, CONFIG, "")


def test_a_user_s_strategy_asks_the_same_trials_with_one_worker_and_two(
    objective: NetworkObjective, tmp_path: Path
) -> None:
    write_skeleton("strategies", tmp_path / "plugins")
    one, two = (
        run_search(
            objective,
            dataclasses.replace(CONFIG, strategy="mine:STRATEGY", workers=workers),
            folder=tmp_path / f"{workers}",
            name="nas",
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            plugins=tmp_path / "plugins",
        )
        for workers in (1, 2)
    )
    assert alike(one).equals(alike(two))
    assert {json.loads(params)["strategy"] for params in one.trials["params"]} == {"mine:STRATEGY"}


def test_a_changed_strategy_is_another_search(objective: NetworkObjective, tmp_path: Path) -> None:
    file = write_skeleton("strategies", tmp_path)
    config = dataclasses.replace(CONFIG, strategy="mine:STRATEGY")
    before = identity(objective, config, "", tmp_path)
    assert identity(objective, config, "", tmp_path) == before
    file.write_text(file.read_text().replace("genes: int = 2", "genes: int = 3"))
    assert identity(objective, config, "", tmp_path) != before


def test_a_strategy_that_leaves_the_space_ends_the_search_with_its_name(
    objective: NetworkObjective, tmp_path: Path
) -> None:
    file = write_skeleton("strategies", tmp_path / "plugins")
    file.write_text(file.read_text().replace("return unseen(space, space.random(rng)", "return (7,); (0"))
    config = dataclasses.replace(CONFIG, strategy="mine:STRATEGY")
    with pytest.raises(PluginError, match=r"'mine:STRATEGY' .* not in the space: a genotype of 1 genes"):
        run_search(
            objective,
            config,
            folder=tmp_path,
            name="nas",
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            plugins=tmp_path / "plugins",
        )

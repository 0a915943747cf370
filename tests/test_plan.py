"""What is fresh, what is not, and why: after edits of the configuration, new data and new weeks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import FoldConfig, LabelConfig, MarlConfig, SearchConfig
from nofx_pipelines.graph import STAGES
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market.session_checks import previous_close_window
from tests.chain import Chain, small_chain

EVERY = list(STAGES)


def since(name: str) -> list[str]:
    """A stage and all that are made from it."""
    return [n for n, stage in STAGES.items() if n == name or name in {above.name for above in stage.above()}]


CHANGED = date(2024, 9, 12)


SEARCHED = [name for name, stage in STAGES.items() if stage.follows_refresh or name == "signals"]
"""What waits for the next refresh, and the signals, which read it."""


def written(table: LakeTable) -> datetime:
    moment = table.history()["committed_at"][0]
    assert isinstance(moment, datetime)
    return moment


def revise(chain: Chain, factor: float = 1.001) -> None:
    """One share closes CHANGED a little higher, as the newest revision of its source bar."""
    source = chain.lake.table("cn", "source_bars_1d")
    bars = source.scan(start=CHANGED, end=CHANGED + timedelta(days=1)).collect()
    clean = bars.filter(pl.col("high") > pl.col("close") * factor).sort("instrument_id").head(1)
    assert clean.height == 1
    stamp = source.stamps()[CHANGED]
    source.append(
        clean.with_columns(
            pl.col("close") * factor, pl.col("revision") + 1, pl.lit("revised").alias("row_hash")
        ),
        code_version=stamp.code_version,
        inputs={CHANGED: stamp.inputs},
    )


def test_a_fresh_home_has_everything_to_do_and_says_why(tmp_path: Path) -> None:
    chain = small_chain(tmp_path)
    feed = chain.plan_feed()
    assert (feed.fresh, feed.key) == (False, "cn/source_bars_1d")
    assert feed.reason == f"never ingested: {feed.stale_sessions} sessions"
    assert feed.stale_sessions > 250
    states = chain.plan(feed_fresh=False)
    assert [name for name, state in states.items() if not state.fresh] == EVERY
    assert states["bars"].reason == "source_bars_1d will change"
    assert states["labels"].reason == "bars will change"
    assert states["training_set"].reason == "never materialised"
    assert states["signals"].reason == "features, champion will change"
    # a feed without a session left to read does not make a table fresh that was never written
    assert chain.stale(feed_fresh=True) == EVERY
    assert chain.plan()["bars"].reason == "never materialised"


def test_after_a_run_everything_is_fresh_and_nothing_runs_again(chain: Chain) -> None:
    assert chain.plan_feed().fresh
    assert chain.plan_feed().reason == "fresh"
    assert {state.reason for state in chain.plan().values()} == {"fresh"}
    before = chain.versions()
    chain.ingest()
    assert chain.run() == []
    assert chain.versions() == before


def test_force_leaves_nothing_fresh(finished_chain: Chain) -> None:
    assert not finished_chain.plan_feed(force=True).fresh
    states = finished_chain.plan(force=True)
    assert {(state.fresh, state.reason) for state in states.values()} == {(False, "forced")}


@pytest.mark.parametrize(
    ("setting", "stale"),
    [
        ({"labels": LabelConfig(horizon=3)}, since("labels")),
        ({"folds": FoldConfig(count=4)}, [*since("marl_training"), *since("training_set")]),
        ({"marl": MarlConfig(iterations=3)}, since("marl_training")),
        ({"search": SearchConfig(trials=4)}, since("hpo_study")),
        ({"members": ("600001",)}, EVERY),
    ],
)
def test_a_setting_makes_stale_what_reads_it_and_all_below(
    finished_chain: Chain, setting: dict[str, object], stale: list[str]
) -> None:
    """Within the week too: only new data waits for the next refresh, another setting never does."""
    week = finished_chain.at(written(finished_chain.table("hpo_trials")))
    assert week.set(**setting).stale() == stale


def test_code_of_a_stage_moves_its_sessions(finished_chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dataclasses.replace(STAGES["labels"], modules=("nofx_pipelines.errors",))
    stages = tuple(given if stage.name == "labels" else stage for stage in STAGES.values())
    monkeypatch.setattr("nofx_pipelines.plan.UNIVERSE_STAGES", stages)
    state = finished_chain.plan()["labels"]
    sessions = len(finished_chain.table("labels").stamps())
    assert (state.fresh, state.stale_sessions) == (False, sessions)
    assert state.reason == f"code or settings changed: {sessions} sessions"
    assert finished_chain.plan()["features"].fresh


def test_a_revised_session_moves_what_reads_it_and_nothing_before(chain: Chain) -> None:
    revise(chain)
    state = chain.plan()["bars"]
    reach = CHANGED + previous_close_window("1d")
    sessions = list(chain.table("bars").stamps())
    read = [day for day in sessions if CHANGED <= day <= reach]
    assert (state.fresh, state.reason) == (False, f"inputs changed: {len(read)} sessions")
    before = {name: chain.table(name).stamps() for name in ("bars", "features", "labels")}
    chain.run(until="labels")
    moved = {
        name: [day for day, stamp in chain.table(name).stamps().items() if stamp.content != old[day].content]
        for name, old in before.items()
    }
    # the next session's limits lean on the revised close, as far as its own price was not suspended
    after = sessions.index(CHANGED)
    assert moved["bars"][0] == CHANGED
    assert set(moved["bars"]) <= set(sessions[after : after + 2])
    assert moved["features"][0] == CHANGED
    assert len(moved["features"]) > 20  # recursive averages carry it on
    ahead, back = 5, 21
    assert moved["labels"]
    assert set(moved["labels"]) <= set(sessions[after - ahead : after + back + 1])


def test_new_data_waits_for_the_week_to_end(chain: Chain) -> None:
    revise(chain)
    chain.run(until="training_set")
    waiting = [name for name in SEARCHED if name not in since("marl_training")]  # which come before
    at = written(chain.table("hpo_trials"))
    monday = at - timedelta(days=at.weekday())
    assert chain.at(at).stale() == ["signals"]
    assert chain.at(at).plan()["hpo_study"].reason == "fresh until its weekly refresh"
    assert chain.at(monday + timedelta(days=7)).stale() == waiting
    assert chain.at(at).set(refresh="always").stale() == waiting
    monthly = chain.at((at.replace(day=1) + timedelta(days=32)).replace(day=1)).set(refresh="monthly")
    assert monthly.stale() == waiting


def test_changed_code_above_that_changes_no_data_keeps_a_study(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited: Callable[..., str] = lambda self, universe: "0" * 12  # noqa: E731
    monkeypatch.setattr("nofx_pipelines.stages.Stage.version_above", edited)
    assert chain.stale() == []
    revise(chain)
    chain.run(until="training_set")
    # data moved as well, and by other code: the old study does not stand for it
    at = written(chain.table("hpo_trials"))
    assert chain.at(at).plan()["hpo_study"].reason == "inputs changed"


def test_a_leak_blocks_the_next_run_too(chain: Chain) -> None:
    leaks = chain.table("leak_checks")
    stamp = leaks.stamp()
    assert stamp is not None
    leak = {"stage": "features", "column": "close", "cut": chain.now, "rows": 3, "first": "x", "size": 1.0}
    leaks.overwrite(
        pl.DataFrame([leak], schema=dict(leaks.scan().collect_schema())),
        code_version=stamp.code_version,
        inputs=stamp.inputs,
    )
    state = chain.plan()["training_set"]
    assert (state.fresh, state.reason) == (False, "its leak check did not pass")
    assert "candidate_model" in chain.stale()


def test_signals_follow_the_champion(chain: Chain) -> None:
    throne = chain.table("champion")
    other = throne.scan().collect().with_columns(pl.lit("17").alias("version"))
    stamp = throne.stamp()
    assert stamp is not None
    throne.overwrite(other, code_version=stamp.code_version, inputs=stamp.inputs)
    states = chain.plan()
    assert chain.stale() == ["signals"]
    assert states["signals"].stale_sessions == 20
    assert states["signals"].reason == "inputs changed: 20 sessions"


def test_a_new_candidate_is_judged_at_once(chain: Chain) -> None:
    board = chain.table("leaderboard")
    stamp = board.stamp()
    assert stamp is not None
    newer = board.scan().collect().with_columns((pl.col("version").cast(pl.Int64) + 2).cast(pl.String))
    board.overwrite(newer, code_version=stamp.code_version, inputs=stamp.inputs)
    week = chain.at(written(board))
    assert week.stale() == ["champion", "signals"]
    assert week.plan()["champion"].reason == "inputs changed"


def test_a_plug_in_that_cannot_be_asked_makes_its_own_stage_stale_and_those_above(chain: Chain) -> None:
    folder = chain.home / plugins.FOLDER
    folder.mkdir()
    (folder / "mine.py").write_text("raise OSError('no licence')\n")
    states = chain.set(features=("technical", "mine:FEATURES"), plugins=folder).plan()
    reason = states["features"].reason
    assert reason.startswith("plug-in 'mine:FEATURES' (feature set, ")
    assert reason.endswith("raised OSError when importing it: no licence (mine.py, line 1)")
    assert [name for name, state in states.items() if not state.fresh] == since("features")

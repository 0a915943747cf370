"""From bars to a registered team and back: tables, freshness, alias, reproduction, bad input."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from nofx_pipelines import plugins
from nofx_pipelines.cli.summary import agents_verdict
from nofx_pipelines.config import FoldConfig, MarlConfig
from nofx_pipelines.errors import CodeChanged, ModelError, NotEnoughData
from nofx_pipelines.marl import registration, reproduce
from nofx_pipelines.marl.evaluation import Verdict
from nofx_pipelines.marl.refresh import known_training
from nofx_pipelines.marl.registration import known_policy, refresh_policy
from nofx_pipelines.marl.reproduce import retrained_onnx
from nofx_pipelines.marl.source import load_panel, versions_read
from nofx_pipelines.promotion.reproduce import reproduce as again
from tests.chain import Chain, small_chain
from tests.marl.test_skeletons import SKELETONS

NAME = "nofx-agents-cn"
PLACES = ("marl_training", "marl_policy")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A chain whose agents are trained and judged, and nothing after them."""
    chain = small_chain(tmp_path_factory.mktemp("agents"))
    chain.ingest()
    for name in ("bars", *PLACES):
        chain.compute(name)
    return chain


def test_every_table_is_written_and_read_back(judged: Chain) -> None:
    teams = judged.table("marl_teams").scan().collect()
    assert teams["seed"].to_list() == [7, 8]
    history = judged.table("marl_history").scan().collect()
    assert history["run"].unique().sort().to_list() == ["cn-mappo-7", "cn-mappo-8"]
    assert known_training(judged.lake, judged.universe).frames == 2 * 2 * 4 * 20
    known = known_policy(judged.lake, judged.universe)
    assert (known.version, known.champion, known.differing) == ("1", None, 0)
    assert "no @champion" in known.verdict
    credit = judged.table("role_credit").scan().collect()
    assert credit.height == 8
    board = judged.table("policy_leaderboard").scan().collect()
    assert board["kind"].unique().to_list() == ["policy"]


def test_the_run_s_summary_says_it_sentence_by_sentence(judged: Chain) -> None:
    said = agents_verdict(judged.lake, judged.universe).splitlines()
    assert said[0] == f"cn: {NAME}"
    assert [line.split(":")[0].strip() for line in said[2:6]] == [
        "Against random actions",
        "Against holding cash",
        "Against buy and hold",
        "Against the roles' rules",
    ]
    assert said[-1] == "  It does not beat all four: no @champion."
    assert agents_verdict(judged.lake, dataclasses.replace(judged.universe, name="other")) == ""


def test_credit_sums_to_what_the_registered_team_earned(judged: Chain) -> None:
    # eight instruments are one group: the contest's curve of the first seed is the whole coalition's
    equity = judged.table("policy_equity").scan().collect().sort("ts_close")
    last = equity.filter((pl.col("policy") == "agents") & (pl.col("seed") == 7))["equity"][-1]
    value = judged.table("role_credit").scan().collect()["value"].sum()
    assert pl.Series([value]).exp()[0] == pytest.approx(last, rel=1e-9)


def test_nothing_is_done_again_until_something_changes(judged: Chain) -> None:
    fresh = {name: state for name, state in judged.plan().items() if name in PLACES}
    assert all(state.fresh for state in fresh.values())
    longer = judged.set(marl=dataclasses.replace(judged.universe.marl, iterations=3))
    assert set(PLACES) <= set(longer.stale())
    assert not judged.home.joinpath("agents", "cn").exists() or not list(judged.home.glob("agents/cn/*"))


def test_the_registered_team_is_retrained_byte_for_byte(judged: Chain) -> None:
    found = again(judged.tracker, judged.lake, NAME)
    assert found.identical, str(found)
    assert set(found.data_versions) >= {"cn/bars", "cn/instruments"}
    assert found.changed_libraries == {}


def test_other_training_code_is_refused_by_name(judged: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "training_code", lambda: "other")
    with pytest.raises(CodeChanged, match="this is code other"):
        again(judged.tracker, judged.lake, NAME)


def test_the_registry_shows_the_team_with_its_lineage(judged: Chain) -> None:
    row = judged.tracker.models().filter(pl.col("name") == NAME).to_dicts()[0]
    assert (row["kind"], row["family"], row["aliases"]) == ("policy", "mappo", "")
    assert json.loads(row["data_versions"])["cn/bars"] == judged.table("bars").version()
    assert "cn/bars" in judged.tracker.kept_versions()
    lineage = judged.tracker.lineage(NAME)
    assert (lineage.seed, lineage.params["iterations"], lineage.params["market"]) == (7, 2, "cn")


def test_a_team_that_beats_all_takes_the_alias_and_keeps_it(
    judged: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = judged.copied(tmp_path / "home")
    options: dict[str, Any] = {"inputs": "i", "now": chain.now, **chain.stamp("marl_policy")}
    monkeypatch.setattr(registration, "verdict", lambda found: Verdict(True, ("It won.",)))
    won = refresh_policy(chain.lake, chain.tracker, chain.universe, **options)
    assert (won.version, won.champion, won.promoted) == ("2", "2", True)
    assert chain.tracker.alias(NAME, "champion") == "2"
    monkeypatch.setattr(registration, "verdict", lambda found: Verdict(False, ("It lost.",)))
    lost = refresh_policy(chain.lake, chain.tracker, chain.universe, **options)
    assert (lost.version, lost.champion, lost.promoted) == ("3", "2", False)
    assert known_policy(chain.lake, chain.universe).champion == "2"
    assert chain.tracker.alias(NAME, "champion") == "2"


def test_a_missing_team_is_named(judged: Chain) -> None:
    more = judged.set(marl=dataclasses.replace(judged.universe.marl, seeds=(7, 9)))
    with pytest.raises(ModelError, match=r"no team of seed 9 \(it has \[7, 8\]\)"):
        refresh_policy(
            more.lake, more.tracker, more.universe, inputs="i", now=more.now, run_id="r", code_version="c"
        )


def test_a_team_of_other_roles_is_named(judged: Chain) -> None:
    fewer = judged.set(marl=dataclasses.replace(judged.universe.marl, roles=("hedger", "risk_manager")))
    with pytest.raises(ModelError, match=r"a team of market_maker, .*, the roles are hedger, risk_manager"):
        refresh_policy(
            fewer.lake, fewer.tracker, fewer.universe, inputs="i", now=fewer.now, run_id="r", code_version="c"
        )


def test_a_team_from_before_members_had_names_is_retrained_byte_for_byte(judged: Chain) -> None:
    loaded, lineage = judged.tracker.load(NAME), judged.tracker.lineage(NAME)
    params = {k: v for k, v in lineage.params.items() if k not in ("task", "roles", "rewards")}
    assert len(params) == len(lineage.params) - 3
    assert retrained_onnx(judged.lake, dataclasses.replace(lineage, params=params)) == loaded.onnx


def test_a_home_s_own_members_train_a_team_that_is_registered_and_retrained(
    judged: Chain, tmp_path: Path
) -> None:
    chain, kinds = judged.copied(tmp_path / "home"), ("algorithms", "roles", "tasks", "rewards")
    folder = chain.home / plugins.FOLDER
    folder.mkdir()
    for kind in kinds:
        text = (SKELETONS / f"{kind}.py.txt").read_text(encoding="utf-8").replace("__NAME__", f"my_{kind}")
        folder.joinpath(f"my_{kind}.py").write_text(text, encoding="utf-8")
    marl = dataclasses.replace(
        chain.universe.marl,
        algorithm="my_algorithms:ALGORITHM",
        roles=("trend_follower", "my_roles:ROLE", "risk_manager"),
        task="my_tasks:TASK",
        rewards=("role", "my_rewards:REWARD"),
    )
    chain = chain.set(marl=marl, plugins=folder)
    for place in PLACES:
        chain.compute(place)
    credit = chain.table("role_credit").scan().collect()
    assert sorted(credit["role"]) == ["my_roles", "risk_manager", "trend_follower"]
    policies = chain.table("policy_equity").scan().collect()["policy"].unique()
    assert {"agents/my_roles", "rule_my_roles"} <= set(policies)
    assert known_policy(chain.lake, chain.universe).differing == 0
    lineage = chain.tracker.lineage(NAME)
    assert (lineage.family, lineage.params["task"]) == ("my_algorithms:ALGORITHM", "my_tasks:TASK")
    assert lineage.params["roles"] == list(marl.roles)
    assert sorted(lineage.plugins) == [f"{kind} my_{kind}:{kind.upper()[:-1]}" for kind in sorted(kinds)]

    assert again(chain.tracker, chain.lake, NAME).identical
    reward = folder / "my_rewards.py"
    reward.write_text(reward.read_text(encoding="utf-8").replace("fine: float = 0.5", "fine: float = 0.6"))
    with pytest.raises(CodeChanged, match="by plug-in 'rewards my_rewards:REWARD' with sources"):
        again(chain.tracker, chain.lake, NAME)


def test_recorded_versions_are_read_whatever_came_after(judged: Chain, tmp_path: Path) -> None:
    chain = judged.copied(tmp_path / "home")
    recorded = versions_read(chain.lake, chain.universe)
    before, cut = load_panel(chain.lake, chain.universe, test_fraction=0.4, versions=recorded)
    bars = chain.table("bars")
    days = bars.scan().select("session_date").unique().collect()["session_date"].sort()
    last = days.to_list()[-1]
    doubled = bars.scan(start=last).collect().with_columns(pl.col("volume") * 2)
    stamp = {"code_version": "c", "inputs": {last: "i"}, "run_id": "r"}
    bars.replace(last, last + timedelta(days=1), doubled, **stamp)
    after, cut_after = load_panel(chain.lake, chain.universe, test_fraction=0.4, versions=recorded)
    newest, _ = load_panel(chain.lake, chain.universe, test_fraction=0.4)
    assert cut == cut_after
    assert torch.equal(before.volume, after.volume)
    assert not torch.equal(before.volume, newest.volume)


def test_too_few_sessions_are_an_error(judged: Chain) -> None:
    with pytest.raises(NotEnoughData, match="would be judged on"):
        load_panel(judged.lake, judged.universe, test_fraction=0.9999)
    wide = judged.set(folds=FoldConfig(test_fraction=0.9), marl=MarlConfig(window=20))
    with pytest.raises(NotEnoughData, match="hold no window of 10 bars"):
        wide.compute("marl_training")

"""Training: the same bytes, also after a kill; it learns what can be learnt; teams are stored whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.errors import IntegrityError, NotEnoughData
from nofx_pipelines.lake.schemas import MARL_HISTORY
from nofx_pipelines.marl.contest import run_contest
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.training import Team, forget, pack, train_team, unpack
from tests.marl.worlds import ROLES, SCENARIO, market_bars, panel

SHORT = MarlConfig(iterations=3, envs=8, window=15, seeds=(7,))


def weights(team: Team) -> bytes:
    return pack(team)[1]


def test_the_same_seed_gives_the_same_weights_and_history() -> None:
    one, two, other = (train_team(panel(), 130, SHORT, seed, run="r") for seed in (7, 7, 8))
    assert weights(one) == weights(two)
    assert one.history.equals(two.history)
    assert weights(one) != weights(other)


def test_a_history_has_a_row_for_every_iteration_and_role() -> None:
    history = train_team(panel(), 130, SHORT, 7, run="r").history
    assert dict(history.schema) == dict(MARL_HISTORY.columns)
    assert history["agent"].to_list() == [role.name for role in ROLES] * 3
    assert history["iteration"].to_list() == [i for i in (1, 2, 3) for _ in ROLES]
    assert history["frames"].unique().sort().to_list() == [120, 240, 360]
    parts = history["reward_components"].struct.unnest()
    np.testing.assert_allclose((parts["own_return"] + parts["role"]).to_numpy(), history["reward"].to_numpy())
    trend = history.filter(pl.col("agent") == "trend_follower")["reward_components"].struct.field("role")
    assert trend.abs().max() < 1e-4  # paid by its own return and nothing else


def test_maddpg_trains_the_same_floor() -> None:
    other = MarlConfig(algorithm="maddpg", iterations=4, envs=32, window=20, seeds=(7,))
    one, two = (train_team(panel(), 130, other, 7, run="r") for _ in range(2))
    assert weights(one) == weights(two)
    assert one.history["iteration"].max() == 4
    assert set(one.history.filter(pl.col("iteration") == 4)["agent"]) == {role.name for role in ROLES}
    untrained = train_team(panel(), 130, dataclasses.replace(other, iterations=1), 7, run="r")
    assert weights(untrained) != weights(one)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 10, 11])
def test_a_killed_training_goes_on_to_the_same_end(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = MarlConfig(iterations=12, envs=4, window=10, seeds=(7,))
    whole = train_team(panel(), 130, longer, 7, run="r")
    path, calls = tmp_path / "team.ckpt", []

    from nofx_pipelines.marl import training

    append = training._append_rows

    def dying(checkpoint: Path | None, rows: list[dict[str, object]]) -> None:
        append(checkpoint, rows)  # type: ignore[arg-type]
        calls.append(rows)
        if len(calls) == at:
            raise Killed

    monkeypatch.setattr(training, "_append_rows", dying)
    with pytest.raises(Killed):
        train_team(panel(), 130, longer, 7, run="r", checkpoint=path)
    monkeypatch.setattr(training, "_append_rows", append)
    again = train_team(panel(), 130, longer, 7, run="r", checkpoint=path)
    assert weights(again) == weights(whole)
    assert again.history.equals(whole.history)
    forget(path)
    assert list(tmp_path.iterdir()) == []


def rising() -> MarketPanel:
    """Instruments that rise a percent a bar for weeks, then fall as much: trends that can be followed."""
    bars = market_bars(n=4, sessions=260)
    number = pl.col("session_date").rank("dense").over("instrument_id")
    phase = ((number // 25 + pl.col("instrument_id").str.slice(-1).cast(pl.Int64)) % 2 * 2 - 1).cast(
        pl.Float64
    )
    path = (phase * 0.01).cum_sum().over("instrument_id").exp() * 20
    moved = bars.with_columns(path.alias("close"))
    opened = pl.col("close").shift(1).over("instrument_id").fill_null(20.0)
    moved = moved.with_columns(opened.alias("open"))
    high, low = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    return panel(moved.with_columns((high * 1.001).alias("high"), (low * 0.999).alias("low")))


def test_it_learns_what_can_be_learnt_and_does_it_on_later_bars() -> None:
    world = rising()
    config = MarlConfig(iterations=25, envs=32, window=30, seeds=(7,))
    team = train_team(world, 180, config, 7, run="r")
    curve = team.history.group_by("iteration").agg(pl.col("reward").mean()).sort("iteration")["reward"]
    assert curve[-1] > curve[0] + 1.0
    equity = run_contest(world, 180, {7: team.policy}, [1, 2, 3], SCENARIO).equity
    final = dict(equity.group_by("policy").agg(pl.col("equity").last().mean()).iter_rows())
    assert final["agents"] > max(final["random"], final["hold"], final["buy_and_hold"])


def test_a_team_is_packed_and_unpacked_whole() -> None:
    team = train_team(panel(), 130, SHORT, 7, run="r")
    settings, stored = pack(team)
    back = unpack(settings, stored)
    generator = torch.Generator().manual_seed(1)
    observation = torch.randn(50, team.policy.agents, team.policy.observation, generator=generator)
    mask = torch.ones(50, team.policy.agents, team.policy.actions, dtype=torch.bool)
    assert torch.equal(back.act(observation, mask), team.policy.act(observation, mask))
    assert pack(dataclasses.replace(team, policy=back)) == (settings, stored)


def test_weights_that_do_not_fit_are_refused() -> None:
    settings, stored = pack(train_team(panel(), 130, SHORT, 7, run="r"))
    with pytest.raises(IntegrityError, match="do not fit"):
        unpack(settings.replace('"observation": ', '"observation": 1'), stored)
    with pytest.raises(IntegrityError, match="do not fit"):
        unpack(settings, stored[:100])


def test_too_short_a_history_is_an_error() -> None:
    with pytest.raises(NotEnoughData, match="hold no window of 10 bars"):
        train_team(panel(), 70, SHORT, 7, run="r")


def test_a_short_history_gets_a_shorter_window() -> None:
    frames = train_team(panel(), 73, SHORT, 7, run="r").history["frames"]
    assert frames.max() == 3 * 8 * 12

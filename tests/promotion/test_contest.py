"""The best of the searched families by validation becomes the candidate."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ConfigError, ModelError
from nofx_pipelines.lake.schemas import HPO_TRIALS, NAS_TRIALS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.promotion.candidate import PARITY, PARITY_METRIC
from nofx_pipelines.promotion.contest import contender, effective_trials, search_trials
from nofx_pipelines.promotion.reproduce import reproduce
from tests.chain import Chain

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def _favour(chain: Chain, network: float) -> None:
    """Give the finalists of the search ``network`` as their rank IC."""
    table = chain.table("nas_trials")
    stamp = table.stamp()
    assert stamp is not None
    trials = table.scan().collect()
    values = [
        [network, *row["values"][1:]] if row["fidelity"] == 1.0 else row["values"]
        for row in trials.iter_rows(named=True)
    ]
    table.overwrite(
        trials.with_columns(pl.Series("values", values, dtype=pl.List(pl.Float64))),
        code_version=stamp.code_version,
        inputs=stamp.inputs,
    )


def test_the_better_by_validation_is_chosen(chain: Chain) -> None:
    _favour(chain, -0.9)
    boosted = contender(chain.lake, chain.universe)
    assert boosted.family == "gbdt"
    assert re.match(r"gbdt: rank IC \S+ by validation against -0.9000 of network \w{12}$", boosted.reason)
    _favour(chain, 0.9)
    chosen = contender(chain.lake, chain.universe)
    assert chosen.family == "network"
    assert chosen.rank_ic == 0.9
    assert len(chosen.columns) % len(boosted.columns) == 0


def test_a_tie_goes_to_the_boosting(chain: Chain) -> None:
    studied, _ = search_trials(chain.lake, chain.universe)
    best = studied.filter(pl.col("state") == "COMPLETE")["values"].list.get(0).max()
    _favour(chain, float(best))  # type: ignore[arg-type]
    assert contender(chain.lake, chain.universe).family == "gbdt"


def test_finalists_are_repeats_and_count_once(chain: Chain) -> None:
    _, searched = search_trials(chain.lake, chain.universe)
    assert searched.height == chain.universe.nas.trials


def test_a_network_goes_all_the_way_and_is_reproduced_byte_for_byte(chain: Chain) -> None:
    """Trained, tested, registered, judged, signalling; trained again from its lineage to the same bytes."""
    _favour(chain, 0.9)
    chain.compute("candidate_model", force=True)
    board = chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()
    version = board["version"][0]
    model = chain.tracker.load(f"{chain.universe.model_name}/{version}")
    assert model.tags["nofx.family"] == "network"
    assert board.filter(pl.col("metric") == PARITY_METRIC)["value"][0] <= PARITY
    assert np.isfinite(board.filter(pl.col("metric") == "rank_ic")["value"][0])
    chain.compute("champion", force=True)
    again = reproduce(chain.tracker, chain.lake, f"{chain.universe.model_name}/{version}")
    assert again.identical, str(again)


def test_a_network_s_signals_are_its_scores_on_windows(chain: Chain) -> None:
    from nofx_pipelines.models.window_columns import base_names, with_lags
    from nofx_pipelines.promotion.signals import refresh_signals

    _favour(chain, 0.9)
    chain.compute("candidate_model", force=True)
    version = chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()["version"][0]
    model = chain.tracker.load(f"{chain.universe.model_name}/{version}")
    refresh_signals(chain.lake, chain.universe, model, run_id="r", code_version="c", force=True)
    signals = chain.table("signals").scan().sort("ts_close", "instrument_id").collect()
    features = chain.table("features").scan().collect()
    whole = with_lags(
        features.select("instrument_id", "ts_close", *base_names(model.feature_names)), model.feature_names
    )
    rows = signals.select("instrument_id", "ts_close").join(
        whole, on=["instrument_id", "ts_close"], maintain_order="left"
    )
    x = rows.select(pl.col(model.feature_names).fill_null(float("nan"))).to_numpy()
    np.testing.assert_array_equal(model.predict(x), signals["score"].to_numpy())


def test_without_a_search_the_boosting_stands_alone(chain: Chain) -> None:
    alone = chain.set(nas=dataclasses.replace(chain.universe.nas, trials=0))
    alone.compute("nas_search", force=True)
    reason = contender(alone.lake, alone.universe).reason
    assert re.match(r"gbdt: rank IC -?0\.\d{4} by validation; no other family contended$", reason)


SPACE = SearchSpace(features=2)
UNIVERSE = UniverseConfig(name="cn", market="cn", freq="1d")
MINE = "mine:FAMILY"


def _trials(family: str, *values: float | None) -> pl.DataFrame:
    """A trial a value; None: it failed."""
    rows = [
        (
            f"cn-{family}",
            number,
            "FAIL" if value is None else "COMPLETE",
            None if value is None else [value, 0.2, 0.1, 0.5],
            json.dumps({"number": number}),
            7,
            1.0,
            DAY,
            DAY,
            0.1,
            "local",
            family,
        )
        for number, value in enumerate(values)
    ]
    return pl.DataFrame(rows, schema=HPO_TRIALS.columns, orient="row")


def _finalist(value: float) -> pl.DataFrame:
    """A search of one trial and its repeat at full fidelity."""
    spec = SPACE.decode(SPACE.canonical([0] * len(SPACE.decisions))).to_json()
    architecture = ([0] * len(SPACE.decisions), "hash", spec, 9, 9, None)
    rows = [
        ("nas", n, "COMPLETE", [value, 9.0, 0.1], "{}", 7, share, DAY, DAY, 0.1, "local", *architecture)
        for n, share in enumerate((0.5, 1.0))
    ]
    return pl.DataFrame(rows, schema=NAS_TRIALS.columns, orient="row")


@pytest.fixture
def lake(tmp_path: Path, plant: Callable[..., tuple[pl.DataFrame, pl.DataFrame]]) -> Lake:
    made = Lake(tmp_path / "lake")
    made.table("cn", "training_set").overwrite(plant(sessions=20)[0])
    made.table("cn", "nas_trials").overwrite(_finalist(0.4))
    return made


def _of(*families: str) -> UniverseConfig:
    return dataclasses.replace(UNIVERSE, families=families)


def test_the_best_of_all_families_wins_and_the_sentence_names_them(lake: Lake) -> None:
    lake.table("cn", "hpo_trials").overwrite(pl.concat([_trials("gbdt", 0.1, 0.3), _trials(MINE, 0.5, 0.2)]))
    best = contender(lake, _of("ridge", "gbdt", "network", MINE))
    assert (best.family, best.params, best.seed, best.rank_ic) == (MINE, {"number": 0}, 7, 0.5)
    assert best.columns == ("drift", "gap", "rank_a", "rank_b", "rank_c")
    words = r"mine:FAMILY: rank IC 0\.5000 by validation against 0\.3000 of gbdt, 0\.4000 of network \w{12}$"
    assert re.match(words, best.reason)


@pytest.mark.parametrize(
    "families", [("gbdt", "network", MINE), (MINE, "network", "gbdt"), ("network", MINE)]
)
def test_of_equals_the_one_that_is_named_earlier_wins(lake: Lake, families: tuple[str, ...]) -> None:
    lake.table("cn", "hpo_trials").overwrite(pl.concat([_trials("gbdt", 0.4), _trials(MINE, 0.4)]))
    assert contender(lake, _of("ridge", *families)).family == families[0]


def test_a_family_whose_study_failed_is_said_to_have_and_stops_no_other(lake: Lake) -> None:
    lake.table("cn", "hpo_trials").overwrite(pl.concat([_trials("gbdt", 0.3), _trials(MINE, None, None)]))
    best = contender(lake, _of("ridge", MINE, "gbdt"))
    assert best.family == "gbdt"
    assert best.reason.endswith("; no other family contended; no trial of mine:FAMILY is complete")


def test_where_no_study_has_a_complete_trial_no_model_is_trained(lake: Lake) -> None:
    """Although a network was measured: what is broken is mended first."""
    lake.table("cn", "hpo_trials").overwrite(pl.concat([_trials("gbdt", None), _trials(MINE, None)]))
    with pytest.raises(ModelError, match="no trial of mine:FAMILY, gbdt is complete; no model was trained"):
        contender(lake, _of("ridge", MINE, "gbdt", "network"))


def test_a_universe_without_a_searched_family_is_refused(lake: Lake) -> None:
    lake.table("cn", "hpo_trials").overwrite(_trials("gbdt"))
    with pytest.raises(
        ConfigError, match=r"no family of universe cn is searched: families = ridge, nas.trials"
    ):
        contender(lake, _of("ridge"))


def test_the_network_may_stand_alone(lake: Lake) -> None:
    lake.table("cn", "hpo_trials").overwrite(_trials("gbdt"))
    best = contender(lake, _of("ridge", "network"), "cpu")
    assert (best.family, best.rank_ic, best.params["device"]) == ("network", 0.4, "cpu")
    assert best.reason.endswith("by validation; no other family contended")


def test_trials_of_families_that_the_universe_does_not_name_are_not_in_the_contest(lake: Lake) -> None:
    """They were compared all the same, so they count for the deflated Sharpe ratio."""
    lake.table("cn", "hpo_trials").overwrite(pl.concat([_trials("gbdt", 0.1), _trials(MINE, 0.9)]))
    universe = _of("ridge", "gbdt")
    assert contender(lake, universe).family == "gbdt"
    frames = search_trials(lake, universe)
    assert [frame.height for frame in frames] == [1, 1, 1]
    assert effective_trials(frames, universe).count == pytest.approx(0.5 + 0.5 + 0.5 + 0.5 + 1)

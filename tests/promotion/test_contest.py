"""The better of boosting and network by validation becomes the candidate."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.promotion.candidate import PARITY, PARITY_METRIC
from nofx_pipelines.promotion.contest import contender, search_trials
from nofx_pipelines.promotion.reproduce import reproduce
from tests.chain import Chain


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
    assert "against -0.9000 of the best network" in boosted.reason
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
    chain._candidate_model(chain._stamp("candidate_model"))
    board = chain.table("leaderboard").scan().filter(pl.col("kind") == "candidate").collect()
    version = board["version"][0]
    model = chain.tracker.load(f"{chain.universe.model_name}/{version}")
    assert model.tags["nofx.family"] == "network"
    assert board.filter(pl.col("metric") == PARITY_METRIC)["value"][0] <= PARITY
    assert np.isfinite(board.filter(pl.col("metric") == "rank_ic")["value"][0])
    chain._champion(chain._stamp("champion"))
    again = reproduce(chain.tracker, chain.lake, f"{chain.universe.model_name}/{version}")
    assert again.identical, str(again)


def test_a_network_s_signals_are_its_scores_on_windows(chain: Chain) -> None:
    from nofx_pipelines.models.window_columns import base_names, with_lags
    from nofx_pipelines.promotion.signals import refresh_signals

    _favour(chain, 0.9)
    chain._candidate_model(chain._stamp("candidate_model"))
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


@pytest.mark.parametrize("trials", [0])
def test_without_a_search_the_boosting_stands_alone(chain: Chain, trials: int) -> None:
    import dataclasses

    alone = chain.set(nas=dataclasses.replace(chain.universe.nas, trials=trials))
    alone._nas_search(alone._stamp("nas_search"))
    assert contender(alone.lake, alone.universe).reason == "gradient boosting; no network was searched"

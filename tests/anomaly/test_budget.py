"""The alert budget."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.anomaly.budget import LOWEST, thresholds


def _max_score(scores: np.ndarray) -> pl.DataFrame:
    """``scores`` ``[S, N]`` as the largest score of each session and instrument."""
    sessions, instruments = scores.shape
    days = [date(2024, 1, 1) + timedelta(days=k) for k in range(sessions)]
    return pl.DataFrame(
        {
            "session_date": [day for day in days for _ in range(instruments)],
            "instrument_id": [f"I{n}" for n in range(instruments)] * sessions,
            "score": scores.ravel(),
        }
    )


def test_the_budget_is_kept_over_time() -> None:
    rng = np.random.default_rng(1)
    scores = 3.5 + rng.exponential(0.5, size=(400, 20))
    limits = thresholds(_max_score(scores), 0.05, 240)["threshold"].to_numpy()
    alerts = (scores >= limits[:, None])[20:].mean()
    assert alerts == pytest.approx(0.05, abs=0.01)


def test_it_follows_a_louder_time_where_a_fixed_one_overshoots() -> None:
    rng = np.random.default_rng(2)
    scores = 3.5 + rng.exponential(0.5, size=(400, 20))
    scores[200:] += 1.0
    limits = thresholds(_max_score(scores), 0.05, 240)["threshold"].to_numpy()
    fixed = np.quantile(scores[:200], 0.95)
    adapted = (scores >= limits[:, None])[200:].mean()
    assert (scores[200:] >= fixed).mean() > 3 * 0.05
    assert adapted < 0.1


def test_a_session_has_no_part_in_its_own_threshold() -> None:
    scores = 3.5 + np.random.default_rng(3).exponential(0.5, size=(100, 20))
    changed = scores.copy()
    changed[60:] *= 3
    before, after = (thresholds(_max_score(x), 0.05, 240)["threshold"] for x in (scores, changed))
    assert before[:61].equals(after[:61])


def test_nothing_quieter_than_the_lowest_severity_alerts() -> None:
    scores = np.random.default_rng(4).random((100, 20))
    assert (thresholds(_max_score(scores), 0.05, 1)["threshold"] == LOWEST).all()


def test_until_enough_is_past_the_number_of_bars_decides() -> None:
    scores = np.full((3, 4), 9.0)
    first = thresholds(_max_score(scores), 0.05, 240)["threshold"][0]
    assert first == pytest.approx(np.log10(240 / 0.05))


def test_no_scores_no_thresholds() -> None:
    assert thresholds(_max_score(np.zeros((0, 0))).clear(), 0.05, 1).is_empty()

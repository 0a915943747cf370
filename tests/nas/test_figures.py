"""The search's figures show the table's numbers."""

from __future__ import annotations

import polars as pl
import pytest

from nofx_pipelines.nas import figures


@pytest.fixture
def trials() -> pl.DataFrame:
    values = [[0.02, 300.0], None, [0.05, 900.0], [0.04, 100.0], [0.09, 900.0]]
    return pl.DataFrame(
        {
            "trial": list(range(5)),
            "values": values,
            "n_params": [300, 50, 900, 100, 900],
            "fidelity": [0.3, 0.0, 0.3, 0.3, 1.0],
        }
    )


def test_history_shows_each_trial_and_the_best_so_far_without_finalists(trials: pl.DataFrame) -> None:
    axes = figures.history(trials).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[0, 0.02], [2, 0.05], [3, 0.04]]
    assert list(axes.lines[0].get_ydata()) == [0.02, 0.05, 0.05]


def test_the_front_joins_what_no_other_beats(trials: pl.DataFrame) -> None:
    line = figures.front(trials).axes[0].lines[0]
    assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [(100, 0.04), (900, 0.05)]


def test_the_same_trials_give_the_same_bytes(trials: pl.DataFrame) -> None:
    first = figures.all_figures(trials)
    assert first == figures.all_figures(trials)
    assert set(first) == {"history", "pareto"}

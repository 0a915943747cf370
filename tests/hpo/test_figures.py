from __future__ import annotations

import json
from datetime import UTC, datetime

import matplotlib as mpl
import polars as pl
import pytest

from nofx_pipelines.figures import style
from nofx_pipelines.hpo import figures
from nofx_pipelines.hpo.summary import pareto
from nofx_pipelines.lake.schemas import HPO_TRIALS

DAY = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = [[0.02, 0.5], None, [0.05, 0.7], [0.04, 0.2], None, [0.03, 0.9]]
STATES = ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]


@pytest.fixture(scope="module")
def trials():
    rows = [
        ("s", n, state, values, json.dumps({}), 7, 1.0, DAY, DAY, 0.1, "local", "gbdt")
        for n, (state, values) in enumerate(zip(STATES, VALUES, strict=True))
    ]
    return pl.DataFrame(rows, schema=HPO_TRIALS.columns, orient="row")


def test_history_shows_every_trial_and_the_best_so_far(trials):
    axes = figures.history(trials).axes[0]
    dots, pruned, failed = axes.collections
    assert dots.get_offsets().tolist() == [[0, 0.02], [2, 0.05], [3, 0.04], [5, 0.03]]
    assert (pruned.get_offsets()[:, 0].tolist(), failed.get_offsets()[:, 0].tolist()) == ([1], [4])
    assert axes.lines[0].get_ydata().tolist() == [0.02, 0.05, 0.05, 0.05]


def test_importance_stands_largest_on_top():
    axes = figures.importance({"a": 0.1, "b": 0.7, "c": 0.2}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c", "b"]


def test_pareto_joins_the_trials_that_no_other_beats(trials):
    front = pareto(trials)
    assert front.rows() == [(3, 0.04, 0.2), (2, 0.05, 0.7)]
    line = figures.pareto(trials, front).axes[0].lines[0]
    assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [(0.2, 0.04), (0.7, 0.05)]


def test_the_same_trials_give_the_same_bytes_and_leave_matplotlib_alone(trials):
    before = dict(mpl.rcParams)
    for write in (style.png, style.svg):
        first, second = (write(figures.history(trials)) for _ in range(2))
        assert first == second
    assert dict(mpl.rcParams) == before
    assert style.png(figures.history(trials)).startswith(b"\x89PNG")
    assert b"2026" not in style.svg(figures.history(trials))[:800]

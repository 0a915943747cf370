"""Run stages twice, with the future as it was and with another one, and compare the past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import polars as pl

from nofx_pipelines.errors import DataError
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.leakcheck.comparison import differences, known_rows
from nofx_pipelines.leakcheck.history import History
from nofx_pipelines.leakcheck.perturbation import perturbed_actions, perturbed_bars
from nofx_pipelines.leakcheck.report import Leak, LeakReport
from nofx_pipelines.leakcheck.stage import Stage, World


def check(
    bars: pl.DataFrame | History,
    stages: Sequence[Stage],
    *,
    seed: int,
    cuts: int | Sequence[datetime] = 3,
    actions: pl.DataFrame | None = None,
    sessions_before: int = 1,
    max_rows: int = 60_000,
) -> LeakReport:
    """Perturb everything after each cut and name whatever moves at or before it.

    ``cuts``: moments, or how many to draw: a random session in each of as many equal parts of the history,
    at a random close within it, so mid-session for intraday bars. At least ``sessions_before`` whole sessions
    lie before a drawn cut. A history of more than ``max_rows`` bars is run in a window of whole
    sessions around each cut, all instruments, at least ``sessions_before`` of them before it: what reaches
    further than the window is not seen. Raises NotEnoughData when no cut fits, DataError when a
    stage gives no row to compare at any cut.
    """
    rng = np.random.default_rng(seed)
    history = bars if isinstance(bars, History) else History.of(bars)
    known_actions = pl.DataFrame(schema=CORPORATE_ACTIONS.columns) if actions is None else actions
    if isinstance(cuts, int):
        days: list[tuple[date, datetime | None]] = [
            (d, None) for d in history.draw(cuts, sessions_before, rng)
        ]
    else:
        days = [(history.session_at(moment), moment) for moment in cuts]
    moments: list[datetime] = []
    leaks: list[Leak] = []
    compared, window_rows = {stage.name: 0 for stage in stages}, 0
    for day, given in days:
        window = history.window(day, sessions_before, max_rows)
        cut = given or _close_within(window, day, rng)
        other_bars = perturbed_bars(window, cut, rng)
        other_actions = perturbed_actions(known_actions, window, cut, rng)
        results: dict[str, pl.DataFrame] = {}
        worlds = (
            World(window, known_actions, cut, as_was=results, results=results),
            World(other_bars, other_actions, cut, as_was=results),
        )
        for stage in stages:
            before, after = (_run(stage, world) for world in worlds)
            compared[stage.name] += len(before)
            leaks += differences(stage, cut, before, after)
        window_rows = max(window_rows, len(window))
        moments.append(cut)
    _require_rows(compared)
    return LeakReport(tuple(leaks), tuple(moments), compared, seed, window_rows)


def _run(stage: Stage, world: World) -> pl.DataFrame:
    world.results[stage.name] = stage.compute(world)
    return known_rows(world.results[stage.name], stage, world.cut)


def _close_within(window: pl.DataFrame, day: date, rng: np.random.Generator) -> datetime:
    closes = window.filter(session_date=day)["ts_close"].unique().sort()
    moment: datetime = closes[int(rng.integers(len(closes)))]
    return moment


def _require_rows(compared: dict[str, int]) -> None:
    empty = [name for name, rows in compared.items() if not rows]
    if empty:
        raise DataError(
            f"the leak check compared no row of {', '.join(empty)}: it proves nothing about them",
            kept="nothing was passed",
            hint="ask for a longer history, or later cuts",
        )

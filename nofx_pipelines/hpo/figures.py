"""A study in three figures: history, importance, and rank IC against turnover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nofx_pipelines.figures import style
from nofx_pipelines.figures.style import BLUE, GREEN, INK, MUTED, ORANGE, RED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nofx_pipelines.hpo.summary import StudyResult


def history(trials: pl.DataFrame) -> Figure:
    """Rank IC of each trial and the best so far; pruned and failed trials at the foot.

    ``trials``: rows of HPO_TRIALS.
    """
    from matplotlib.ticker import MaxNLocator

    done = _measured(trials)
    with style.style():
        figure, axes = new_figure()
        axes.scatter(done["trial"], done["rank_ic"], s=22, color=BLUE, alpha=0.65, label="trial", zorder=3)
        best = np.maximum.accumulate(done["rank_ic"].to_numpy())
        axes.step(done["trial"], best, where="post", color=ORANGE, label="best so far")
        low = float(done["rank_ic"].min() or 0.0)  # type: ignore[arg-type]
        for state, colour in (("PRUNED", MUTED), ("FAIL", RED)):
            numbers = trials.filter(pl.col("state") == state)["trial"]
            if len(numbers):
                feet = np.full(len(numbers), low)
                axes.scatter(numbers, feet, marker="x", s=22, color=colour, label=state.lower())
        axes.set(title="Rank IC by trial", xlabel="trial", ylabel="mean rank IC on valid rows")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=9)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    """Each parameter's share in reaching the best trials, the largest on top."""
    names = sorted(shares, key=lambda name: shares[name])
    with style.style():
        figure, axes = new_figure(height=0.9 + 0.32 * max(len(names), 2))
        bars = axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.62)
        axes.bar_label(bars, fmt="{:.0%}", padding=4, color=INK, fontsize=9)
        axes.set(title="What decided (PED-ANOVA importance)", xticks=[])
        axes.margins(x=0.12)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
    return figure


def pareto(trials: pl.DataFrame, front: pl.DataFrame) -> Figure:
    """Rank IC against turnover, with the trials that no other beats in both joined up.

    ``trials``: rows of HPO_TRIALS; ``front``: trial, rank_ic, turnover.
    """
    done = _measured(trials)
    with style.style():
        figure, axes = new_figure()
        axes.scatter(done["turnover"], done["rank_ic"], s=22, color=BLUE, alpha=0.5, label="trial")
        axes.plot(front["turnover"], front["rank_ic"], marker="o", color=GREEN, label="not beaten in both")
        for number, rank_ic, turnover in front.select("trial", "rank_ic", "turnover").iter_rows():
            axes.annotate(
                str(number), (turnover, rank_ic), (0, 6), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set(title="Rank IC against turnover", ylabel="mean rank IC", xlabel="one-way turnover a bar")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=9)
    return figure


def all_figures(result: StudyResult) -> dict[str, bytes]:
    """The three figures as PNG, by name: history, importance, pareto."""
    return {
        "history": style.png(history(result.trials)),
        "importance": style.png(importance(result.importance)),
        "pareto": style.png(pareto(result.trials, result.pareto)),
    }


def _measured(trials: pl.DataFrame) -> pl.DataFrame:
    return trials.filter(pl.col("values").is_not_null()).select(
        "trial", rank_ic=pl.col("values").list.get(0), turnover=pl.col("values").list.get(1)
    )

"""Figures of an architecture search as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from nofx_pipelines.figures import style
from nofx_pipelines.figures.style import BLUE, GREEN, ORANGE, new_figure
from nofx_pipelines.nas.pareto import pareto

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def history(trials: pl.DataFrame) -> Figure:
    """Rank IC of each trial and the best so far, at the search's fidelity."""
    done = measured(trials)
    with style.style():
        figure, axes = new_figure()
        axes.scatter(done["trial"], done["rank_ic"], s=22, color=BLUE, alpha=0.65, label="trial", zorder=3)
        best = np.maximum.accumulate(done["rank_ic"].to_numpy())
        axes.step(done["trial"], best, where="post", color=ORANGE, label="best so far")
        axes.set(title="Architecture search", xlabel="trial", ylabel="rank IC, valid rows")
        axes.legend(frameon=False)
    return figure


def front(trials: pl.DataFrame) -> Figure:
    """Rank IC against parameters, with the architectures that no other beats in both joined up."""
    done, best = measured(trials), pareto(trials)
    with style.style():
        figure, axes = new_figure()
        axes.scatter(done["n_params"], done["rank_ic"], s=22, color=BLUE, alpha=0.5, label="architecture")
        axes.plot(best["n_params"], best["rank_ic"], marker="o", color=GREEN, label="not beaten in both")
        axes.set(
            title="Rank IC against size", xlabel="parameters", ylabel="rank IC, valid rows", xscale="log"
        )
        axes.legend(frameon=False)
    return figure


def all_figures(trials: pl.DataFrame) -> dict[str, bytes]:
    """Both figures by name: history, pareto."""
    return {"history": style.png(history(trials)), "pareto": style.png(front(trials))}


def measured(trials: pl.DataFrame) -> pl.DataFrame:
    """trial, rank_ic and n_params of the search's complete trials; finalists left out."""
    return trials.filter(pl.col("values").is_not_null() & (pl.col("fidelity") < 1.0)).select(
        "trial", pl.col("values").list.get(0).alias("rank_ic"), "n_params"
    )

"""Figures of training and of the contest."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.figures.style import MUTED, new_figure, png, style


def learning_figure(history: pl.DataFrame) -> bytes:
    """Reward of an episode by iteration, one line a role, the mean over trainings; rows of MARL_HISTORY."""
    curves = history.group_by("iteration", "agent", maintain_order=True).agg(pl.col("reward").mean())
    with style():
        figure, axes = new_figure()
        for (agent,), rows in curves.group_by("agent", maintain_order=True):
            axes.plot(rows["iteration"].to_numpy(), rows["reward"].to_numpy(), label=str(agent))
        axes.axhline(0.0, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_title("Reward of an episode, in percent, by iteration")
        axes.legend(fontsize="x-small")
    return png(figure)


def policies_figure(equity: pl.DataFrame, shown: tuple[str, ...]) -> bytes:
    """Equity of the policies ``shown`` over the later bars, the mean over seeds; rows of EQUITY."""
    chosen = equity.filter(pl.col("policy").is_in(shown))
    curves = chosen.group_by("policy", "ts_close").agg(pl.col("equity").mean()).sort("policy", "ts_close")
    with style():
        figure, axes = new_figure()
        for (policy,), rows in curves.group_by("policy", maintain_order=True):
            times = rows["ts_close"].dt.replace_time_zone(None).to_numpy()
            axes.plot(times, rows["equity"].to_numpy(), label=str(policy))
        axes.axhline(1.0, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_title("Equity on later bars, net of costs and impact")
        axes.legend()
        axes.tick_params(axis="x", labelrotation=20)
    return png(figure)

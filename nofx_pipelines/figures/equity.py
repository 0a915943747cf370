"""Figures of a model's test."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.figures.style import BLUE, MUTED, new_figure, png, style

_COLOURS = {"baseline": MUTED, "candidate": BLUE}


def equity_figure(equity: pl.DataFrame) -> bytes:
    """The equity curves of a hold-out as PNG; ``equity``: rows of the table equity."""
    with style():
        figure, axes = new_figure()
        for (policy,), rows in equity.sort("ts_close").group_by("policy", maintain_order=True):
            axes.plot(
                rows["ts_close"].dt.replace_time_zone(None).to_numpy(),
                rows["equity"].to_numpy(),
                label=str(policy),
                color=_COLOURS.get(str(policy)),
            )
        axes.axhline(1.0, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_title("Equity on the hold-out, net of costs")
        axes.legend()
        axes.tick_params(axis="x", labelrotation=20)
    return png(figure)

"""The report's page on the architecture search: what was tried, what no other beats, the best."""

from __future__ import annotations

from html import escape

import polars as pl

from nofx_pipelines.nas.best import best_network
from nofx_pipelines.nas.pareto import pareto
from nofx_pipelines.report.charts import Line, line_chart, scatter
from nofx_pipelines.report.markup import figure, number, table


def network_page(trials: pl.DataFrame) -> str:
    """The page; ``trials`` are rows of NAS_TRIALS, empty where no search ran."""
    searched = trials.filter(
        (pl.col("state") == "COMPLETE") & (pl.col("fidelity").fill_null(0.0) < 1.0)
    ).sort("trial")
    if searched.is_empty():
        return "<p class='soft'>No network was searched.</p>"
    values = [row[0] for row in searched["values"].to_list()]
    so_far = [max(values[: k + 1]) for k in range(len(values))]
    labels = [str(number_) for number_ in searched["trial"].to_list()]
    history = line_chart(
        labels,
        [Line("trial", values, "d", thin=True), Line("best so far", so_far)],
        title="Architectures tried",
    )
    front = set(pareto(trials)["trial"].to_list())
    points = [
        (size / 1000, value, "b" if trial in front else "d")
        for trial, size, value in zip(searched["trial"], searched["n_params"], values, strict=True)
    ]
    size = scatter(points, x_name="thousand parameters", y_name="rank IC", title="Rank IC against size")
    return (
        figure(history, "Validation rank IC by architecture, at the search's fidelity")
        + figure(size, "Rank IC against size; no other beats the coloured ones in both")
        + _best(trials)
    )


def _best(trials: pl.DataFrame) -> str:
    best = best_network(trials)
    if best is None:
        return "<p>No finalist completed.</p>"
    rows = [
        (node.name, node.op, ", ".join(f"{k} {v}" for k, v in node.params), ", ".join(node.inputs))
        for node in best.spec.nodes
    ]
    words = (
        f"<p>Best: <code>{escape(best.spec.arch_hash[:12])}</code>, a window of "
        f"{number(best.spec.lookback)} bars, {number(best.spec.width)} columns wide; rank IC "
        f"{number(best.rank_ic)} by validation on all folds.</p>"
    )
    listing = table(("node", "operation", "", "reads"), rows)
    return f"{words}<details><summary>Its nodes</summary>{listing}</details>"

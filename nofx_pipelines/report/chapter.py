"""One universe's chapter: verdict, data, price, anomalies, agents, trials, equity, gates, lineage."""

from __future__ import annotations

import json
from html import escape

import polars as pl

from nofx_pipelines.report.agents import agents_page
from nofx_pipelines.report.anomalies import anomaly_page
from nofx_pipelines.report.charts import Line, Whisker, bars, line_chart, scatter, whiskers
from nofx_pipelines.report.markup import figure, frame_table, interval, number, pill, table
from nofx_pipelines.report.members import members_page
from nofx_pipelines.report.networks import network_page
from nofx_pipelines.report.view import UniverseView

NEXT = "<p class='soft'>Not there yet. Next: <code>nofx run --universe {}</code></p>"
DRAWN = (
    (("ic", "ic_time", "rank_ic", "rank_ic_time"), "Correlation of score and return over the horizon"),
    (("sharpe", "active_sharpe", "sortino", "calmar", "icir", "icir_time"), "Ratios, net of costs"),
    (("annual_return", "max_drawdown"), "Return and drawdown of the portfolio, net of costs"),
)
"""What is drawn with its interval, by figure: numbers of one scale together."""


def card(view: UniverseView) -> str:
    """The universe in one glance."""
    name = escape(view.universe.name)
    verdict = "no verdict yet" if view.promoted is None else pill(view.promoted, "promoted", "not promoted")
    facts = [
        ("rank IC, candidate", interval(*view.metric("candidate", "rank_ic", "rank_ic_time"))),
        ("rank IC, ridge", interval(*view.metric("baseline", "rank_ic", "rank_ic_time"))),
        ("net Sharpe, candidate", number(view.metric("candidate", "sharpe")[0])),
        ("sessions", number(view.coverage.height)),
        ("left out", number(view.excluded.height)),
    ]
    body = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts)
    return f'<section class="card"><a href="#{name}"><b>{name}</b></a>{verdict}<dl>{body}</dl></section>'


def chapter(view: UniverseView) -> str:
    """The chapter of one universe."""
    universe = view.universe
    sources = ", ".join(link.kind for link in view.feed.sources)
    parts = [
        f'<h2 id="{escape(universe.name)}">{escape(universe.name)}</h2>',
        f'<p class="soft">{escape(universe.market)} · {escape(universe.freq)} · {escape(sources)} · '
        f"{escape(universe.model_name)}</p>",
        "<h3>Verdict and gates</h3>",
        _gates(view),
        "<h3>Leaderboard</h3>",
        _leaderboard(view),
        "<h3>Equity on the hold-out, net of costs</h3>",
        _equity(view),
        "<h3>Search</h3>",
        _trials(view),
        "<h3>Architecture search</h3>",
        network_page(view.networks),
        "<h3>Data and coverage</h3>",
        _coverage(view),
        "<h3>Price with features</h3>",
        _price(view),
        "<h3>Anomalies</h3>",
        anomaly_page(view.anomalies),
        "<h3>Agents</h3>",
        agents_page(view.agents),
        "<h3>Latest signals</h3>",
        _signals(view),
        "<h3>Lineage</h3>",
        frame_table(view.lineage),
        "<h3>Members</h3>",
        members_page(universe, view.feed),
    ]
    return "\n".join(parts)


def _gates(view: UniverseView) -> str:
    if view.gates.is_empty():
        return NEXT.format(escape(view.universe.name))
    rows = [
        (row["gate"], pill(row["passed"], "passed", "failed"), row["value"], row["threshold"], row["reason"])
        for row in view.gates.to_dicts()
    ]
    failed = view.gates.filter(~pl.col("passed")).height
    words = (
        "All gates passed: the candidate carries @champion."
        if not failed
        else (f"{failed} of {view.gates.height} gates failed: the champion stays.")
    )
    return f"<p>{words}</p>" + table(("gate", "", "value", "threshold", "why"), rows, numeric=(2, 3))


def _leaderboard(view: UniverseView) -> str:
    if view.leaderboard.is_empty():
        return NEXT.format(escape(view.universe.name))
    drawings = []
    for names, caption in DRAWN:
        rows = [
            Whisker(f"{row['metric']} {row['kind']}", row["value"], row["lo"], row["hi"], _tone(row["kind"]))
            for row in view.leaderboard.sort("metric", "kind").to_dicts()
            if row["metric"] in names and row["value"] is not None
        ]
        drawings.append(figure(whiskers(rows, title=caption), caption))
    shown = view.leaderboard.sort("metric", "kind")
    listed = [
        (r["metric"], r["kind"], r["version"], interval(r["value"], r["lo"], r["hi"]), r["n"])
        for r in shown.to_dicts()
    ]
    listing = table(("metric", "model", "version", "value and interval", "sessions"), listed, numeric=(3, 4))
    return "".join(drawings) + f"<details><summary>All figures</summary>{listing}</details>"


def _equity(view: UniverseView) -> str:
    if view.equity.is_empty():
        return NEXT.format(escape(view.universe.name))
    daily = view.equity.with_columns(pl.col("ts_close").dt.date().alias("day"))
    wide = (
        daily.group_by("day", "policy").agg(pl.col("equity").last()).pivot("policy", index="day").sort("day")
    )
    lines = [Line(name, wide[name].to_list(), _tone(name)) for name in wide.columns if name != "day"]
    drawing = line_chart([str(d) for d in wide["day"]], lines, rules=[1.0], title="Equity, starting at 1")
    return figure(drawing, "Equity of the portfolio behind every Sharpe, starting at 1")


def _trials(view: UniverseView) -> str:
    done = view.trials.filter(pl.col("state") == "COMPLETE").sort("trial")
    if done.is_empty():
        return NEXT.format(escape(view.universe.name))
    values = [row[0] for row in done["values"].to_list()]
    best = [max(values[: i + 1]) for i in range(len(values))]
    counts = dict(view.trials.group_by("state").agg(pl.len()).sort("state").rows())
    labels = [str(t) for t in done["trial"].to_list()]
    history = line_chart(
        labels, [Line("trial", values, "d", thin=True), Line("best so far", best)], title="Trial history"
    )
    states = ", ".join(f"{n} {state.lower()}" for state, n in counts.items())
    pairs = [(row[1], row[0], "a") for row in done["values"].to_list() if len(row) > 1]
    pareto = scatter(pairs, x_name="turnover", y_name="rank IC", title="Rank IC against turnover")
    return (
        figure(history, f"Validation rank IC by trial ({states})")
        + figure(
            bars(importance(done), title="Importance"),
            "Which parameter mattered (rank correlation with the value)",
        )
        + figure(pareto, "Rank IC against turnover: the upper left is better")
    )


def importance(done: pl.DataFrame) -> list[tuple[str, float]]:
    """Absolute Spearman correlation of each numeric parameter with the trial's value."""
    params = [json.loads(text) for text in done["params"].to_list()]
    value = pl.Series("value", [row[0] for row in done["values"].to_list()]).rank()
    found = []
    for name in sorted(params[0]):
        column = [p.get(name) for p in params]
        if all(isinstance(v, (int, float)) for v in column) and len(set(column)) > 1:
            rho = pl.DataFrame({"x": pl.Series(column).rank(), "y": value}).select(pl.corr("x", "y")).item()
            found.append((name, abs(rho)))
    return sorted(found, key=lambda pair: -pair[1])


def _coverage(view: UniverseView) -> str:
    if view.coverage.is_empty():
        return NEXT.format(escape(view.universe.name))
    days = [str(day) for day in view.coverage["session_date"]]
    lines = [
        Line("bars", view.coverage["rows"].to_list()),
        Line("holes", view.coverage["holes"].to_list(), "b"),
    ]
    words = (
        f"{number(int(view.coverage['rows'].sum()))} bars in {number(view.coverage.height)} sessions, "
        f"{days[0]} to {days[-1]}; {number(view.excluded.height)} sessions left out, "
        f"{number(int(view.quarantine['rows'].sum() or 0))} rows of the market in quarantine."
    )
    parts = [
        f"<p>{words}</p>",
        figure(line_chart(days, lines, height=180, title="Bars a session"), "Bars a session"),
    ]
    if view.quarantine.height:
        parts.append(frame_table(view.quarantine))
    if view.excluded.height:
        listing = frame_table(
            view.excluded.select("session_date", "table", "rule", "reason").sort("session_date")
        )
        parts.append(f"<details><summary>Sessions left out</summary>{listing}</details>")
    return "".join(parts)


def _price(view: UniverseView) -> str:
    frame = view.price
    if frame.is_empty():
        return NEXT.format(escape(view.universe.name))
    labels = [
        f"{t:%Y-%m-%d %H:%M}" if view.universe.freq != "1d" else f"{t:%Y-%m-%d}" for t in frame["ts_close"]
    ]
    lines = [Line("close", frame["close"].to_list())]
    if "sma_20" in frame.columns:
        lines.append(Line("SMA 20", frame["sma_20"].to_list(), "b", thin=True))
    band = None
    if {"bollinger_upper", "bollinger_lower"} <= set(frame.columns):
        band = (frame["bollinger_lower"].to_list(), frame["bollinger_upper"].to_list())
    name = frame["instrument_id"][0]
    parts = [
        figure(
            line_chart(labels, lines, band=band, title=f"{name}"), f"{name}: close, SMA 20, Bollinger band"
        )
    ]
    if "rsi_14" in frame.columns:
        rsi = line_chart(
            labels, [Line("RSI", frame["rsi_14"].to_list())], rules=[30, 70], height=150, title="RSI 14"
        )
        parts.append(figure(rsi, "RSI 14"))
    return "".join(parts)


def _signals(view: UniverseView) -> str:
    if view.signals.is_empty():
        return NEXT.format(escape(view.universe.name))
    when, version = view.signals["ts_close"][0], view.signals["model_version"][0]
    shown = view.signals.select("instrument_id", "score", "rank")
    rows = [(i, f"{s:.5f}", r) for i, s, r in shown.rows()]
    head, rest = rows[:10], rows[10:]
    header = ("instrument", "score", "rank")
    more = (
        f"<details><summary>{len(rest)} more</summary>{table(header, rest, numeric=(1, 2))}</details>"
        if rest
        else ""
    )
    title = f"<p>Version {escape(version)} at {when:%Y-%m-%d %H:%M} UTC.</p>"
    return title + table(header, head, numeric=(1, 2)) + more


def _tone(kind: str) -> str:
    return "d" if kind.startswith("baseline") else "a"

"""The page on agents: what it says where nothing ran, and that its figures are those of the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from nofx_pipelines.lake.schemas import (
    MARL_HISTORY,
    POLICY_CHAMPION,
    POLICY_EQUITY,
    POLICY_LEADERBOARD,
    ROLE_CREDIT,
    TableSchema,
)
from nofx_pipelines.report.agents import AgentsView, agents_page

AT = datetime(2025, 1, 2, 7, tzinfo=UTC)
MODEL = ("nofx-agents-cn", "4")


def frame(schema: TableSchema, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema.columns, orient="row")


def view() -> AgentsView:
    history = [
        ("r-7", i, agent, i * 10, float(i), None, {"policy": 0.0, "value": 0.0}, None, None)
        for i in (1, 2)
        for agent in ("hedger", "risk_manager")
    ]
    equity = [
        (policy, 0, AT + timedelta(days=d), 1.0 + d / 10, 0.0, 0.0)
        for policy in ("agents", "rules", "agents/hedger")
        for d in range(3)
    ]
    above = [
        (*MODEL, "agents:above_hold", "policy", 0.00123, 0.00046, 0.002, 9, None, "{}"),
        (*MODEL, "agents/hedger:above_rule_hedger", "policy", -0.005, -0.006, -0.004, 9, None, "{}"),
    ]
    return AgentsView(
        frame(MARL_HISTORY, history),
        frame(POLICY_EQUITY, equity),
        frame(POLICY_LEADERBOARD, above),
        frame(POLICY_CHAMPION, [(*MODEL, None, False, "Not better <than> hold.", AT)]),
        frame(ROLE_CREDIT, [(*MODEL, "hedger", 0.02, 0.01), (*MODEL, "risk_manager", -0.01, 0.0)]),
    )


def empty() -> AgentsView:
    schemas = (MARL_HISTORY, POLICY_EQUITY, POLICY_LEADERBOARD, POLICY_CHAMPION, ROLE_CREDIT)
    return AgentsView(*(frame(schema, []) for schema in schemas))


def test_nothing_trained_says_so() -> None:
    assert "Not trained yet" in agents_page(empty())


def test_trained_but_not_judged_says_so() -> None:
    history = view().history
    page = agents_page(
        AgentsView(history, *(getattr(empty(), n) for n in ("equity", "leaderboard", "champion", "credit")))
    )
    assert "not judged yet" in page
    assert "Learning curves" in page


def test_the_verdict_stands_first_and_is_escaped() -> None:
    page = agents_page(view())
    assert "no champion" in page
    assert "Not better &lt;than&gt; hold." in page
    assert page.index("Not better") < page.index("<svg")


def test_the_figures_are_the_tables() -> None:
    page = agents_page(view())
    assert "agents/hedger" not in page.split("Roles</summary>")[0]
    assert "above hold" in page
    assert "-0.500 [-0.600, -0.400]" in page  # percent a session against its rule
    assert page.index(">hedger<") < page.index(">risk manager<")  # credit, the highest first

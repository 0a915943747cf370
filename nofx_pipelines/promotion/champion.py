"""The gates' verdict on a universe's candidate, and what becomes of ``@champion``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.evaluation.evaluate import Evaluation
from nofx_pipelines.evaluation.holdout import HoldOut, hold_out
from nofx_pipelines.lake.schemas import CHAMPION
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.refresh import leak_check_passed
from nofx_pipelines.markdown import escape, table
from nofx_pipelines.promotion.aliases import champion_or_baseline, promote
from nofx_pipelines.promotion.candidate import FOLD_METRIC
from nofx_pipelines.promotion.contest import effective_trials, search_trials
from nofx_pipelines.promotion.gates.decision import Verdict, decide, verdict_rows
from nofx_pipelines.registry.tracking import Tracker
from nofx_pipelines.registry.versions import LoadedModel


@dataclass(frozen=True, eq=False)
class ChampionRefresh:
    """Who reigns now, and why."""

    rows: int
    champion_version: str
    promoted: bool
    markdown: str
    seconds: float


def refresh_champion(
    lake: Lake,
    tracker: Tracker,
    universe: UniverseConfig,
    *,
    inputs: str,
    now: datetime,
    run_id: str,
    code_version: str,
) -> ChampionRefresh:
    """Ask every gate about the candidate, move the alias or not, write ``gates`` and ``champion``.

    A gate that cannot judge raises PluginError before an alias moves or a table is written.
    """
    began = time.perf_counter()
    model = universe.model_name
    board = lake.table(universe.name, "leaderboard").scan().collect()
    baseline, candidate = (_version(board, kind) for kind in ("baseline", "candidate"))
    reigning = _incumbent(lake, tracker, universe, baseline, candidate)
    loaded = {version: tracker.load(f"{model}/{version}") for version in {baseline, candidate, reigning}}
    test = hold_out(lake, universe, [name for found in loaded.values() for name in found.feature_names])
    ridge = _judge(test, loaded[baseline])
    assert ridge is not None
    judged = test.evaluate(
        _scores(test, loaded[candidate]), effective_trials(search_trials(lake, universe), universe)
    )
    verdicts = decide(
        judged,
        _judge(test, loaded[reigning]),
        ridge,
        _fold_rank_ics(board),
        leak_check_passed(lake, universe),
        universe.gates,
        folder=universe.plugins,
    )
    rows = verdict_rows(verdicts, model, candidate, now)
    promotion = promote(tracker, model, candidate, verdicts, baseline)
    throne = (model, promotion.champion, reigning, promotion.promoted, promotion.reason, now)
    written = {
        "gates": rows,
        "champion": pl.DataFrame([throne], schema=CHAMPION.columns, orient="row"),
    }
    for name, frame in written.items():
        lake.table(universe.name, name).overwrite(
            frame, code_version=code_version, inputs=inputs, run_id=run_id
        )
    return ChampionRefresh(
        rows=len(verdicts),
        champion_version=promotion.champion,
        promoted=promotion.promoted,
        markdown=_markdown(verdicts, promotion.reason),
        seconds=time.perf_counter() - began,
    )


def known_champion(lake: Lake, universe: UniverseConfig) -> ChampionRefresh:
    """What the last verdict was, read from its tables."""
    gates = lake.table(universe.name, "gates").scan().collect()
    throne = lake.table(universe.name, "champion").scan().collect().to_dicts()[0]
    verdicts = [
        Verdict(g["gate"], g["value"], g["threshold"], g["passed"], g["reason"]) for g in gates.to_dicts()
    ]
    return ChampionRefresh(
        rows=gates.height,
        champion_version=throne["version"],
        promoted=throne["promoted"],
        markdown=_markdown(verdicts, throne["reason"]),
        seconds=0.0,
    )


def _version(board: pl.DataFrame, kind: str) -> str:
    return str(board.filter(pl.col("kind") == kind)["version"][0])


def _incumbent(lake: Lake, tracker: Tracker, universe: UniverseConfig, baseline: str, candidate: str) -> str:
    """Who the candidate is compared with: the champion, or who reigned before the candidate did."""
    reigning = champion_or_baseline(tracker, universe.model_name, baseline)
    if reigning != candidate:
        return reigning
    table = lake.table(universe.name, "champion")
    decided = table.scan().collect().to_dicts() if table.exists() else []
    # a decision that was killed after the alias moved has not reached the table: its champion reigned before
    before = [row[key] for row in decided for key in ("version", "previous") if row[key] != candidate]
    return str(before[0]) if before else baseline


def _judge(test: HoldOut, model: LoadedModel) -> Evaluation | None:
    """A registered model's test; None for one that needs features which are no longer computed."""
    if not set(model.feature_names) <= set(test.rows.feature_names):
        return None
    return test.evaluate(_scores(test, model))


def _scores(test: HoldOut, model: LoadedModel) -> pl.DataFrame:
    return test.rows.predictions(model.predict(test.inputs(model.feature_names)))


def _fold_rank_ics(board: pl.DataFrame) -> list[float | None]:
    mine = board.filter((pl.col("kind") == "candidate") & pl.col("metric").str.starts_with(FOLD_METRIC))
    return mine.sort("metric")["value"].to_list()


def _markdown(verdicts: list[Verdict], reason: str) -> str:
    rows = [(v.gate, "passed" if v.passed else "failed", v.reason) for v in verdicts]
    return f"{escape(reason)}\n\n{table(('gate', 'verdict', 'why'), rows)}"

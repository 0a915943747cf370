"""Run the leak check of a universe once a training set, and keep what it found."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.pipeline import check_lake


@dataclass(frozen=True)
class LeakCheckResult:
    """What the check found: a sentence, whether nothing moved, and how long it took."""

    passed: bool
    finding: str
    written: bool
    seconds: float


def refresh_leak_check(
    lake: Lake, universe: UniverseConfig, *, run_id: str, code_version: str, force: bool = False
) -> LeakCheckResult:
    """Check ``universe`` for leaks unless that was done for the same training set and code.

    Leaks go to the table ``leak_checks``, one row each; an empty table is a check that passed.
    """
    began = time.perf_counter()
    table = lake.table(universe.name, "leak_checks")
    training = lake.table(universe.name, "training_set").stamp()
    inputs = training.content if training else ""
    stamp = table.stamp()
    if not force and stamp and (stamp.code_version, stamp.inputs) == (code_version, inputs):
        return LeakCheckResult(stamp.rows == 0, _known(stamp.rows), False, time.perf_counter() - began)
    report = check_lake(lake, universe, seed=universe.gates.seed)
    table.overwrite(report.frame(), code_version=code_version, inputs=inputs, run_id=run_id)
    return LeakCheckResult(report.ok, str(report), True, time.perf_counter() - began)


def leak_check_passed(lake: Lake, universe: UniverseConfig) -> bool | None:
    """Whether the last leak check found nothing; None when it never ran."""
    stamp = lake.table(universe.name, "leak_checks").stamp()
    return None if stamp is None else stamp.rows == 0


def _known(leaks: int) -> str:
    return "no leak, checked before" if leaks == 0 else f"{leaks} leaks, found before"

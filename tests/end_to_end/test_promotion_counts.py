"""How often the gates promote: almost never without a signal, almost always with one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nofx_pipelines.engine import LocalEngine
from tests.end_to_end.promotion import Case, Verdict, judge_seed

# none of these was looked at while simulator, search or gates were settled
FREE_SEEDS, PLANTED_SEEDS = range(900, 920), range(1000, 1010)
MARKETS = ("cn", "hk", "crypto")


@pytest.fixture(scope="module", params=MARKETS)
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[bool, list[Verdict]]]:
    home: Path = tmp_path_factory.mktemp("promotions")
    cases = {signal: Case(request.param, signal, home, home) for signal in (False, True)}
    items = [(cases[False], seed) for seed in FREE_SEEDS] + [(cases[True], seed) for seed in PLANTED_SEEDS]
    found = list(LocalEngine().map(judge_seed, items, seed=0, workers=2))
    return request.param, {False: found[: len(FREE_SEEDS)], True: found[len(FREE_SEEDS) :]}


def told(name: str, found: list[Verdict]) -> str:
    reasons = Counter(gate for verdict in found for gate in verdict.failed)
    lines = [
        f"{name}: {sum(v.promoted for v in found)} of {len(found)} promoted; gates failed: {dict(reasons)}"
    ]
    lines += [
        f"  seed {v.seed}: rank IC {v.rank_ic:+.3f} (ridge {v.baseline_rank_ic:+.3f}), "
        f"net Sharpe {v.sharpe:+.2f}, {'promoted' if v.promoted else 'refused by ' + ', '.join(v.failed)}"
        for v in found
    ]
    return "\n".join(lines)


@pytest.mark.slow
def test_without_a_signal_at_most_one_of_twenty_is_promoted(
    verdicts: tuple[str, dict[bool, list[Verdict]]], capsys: pytest.CaptureFixture[str]
) -> None:
    market, found = verdicts
    with capsys.disabled():
        print("\n" + told(f"{market}, signal-free", found[False]))
    assert sum(verdict.promoted for verdict in found[False]) <= 1


@pytest.mark.slow
def test_with_a_planted_signal_at_least_eight_of_ten_are_promoted(
    verdicts: tuple[str, dict[bool, list[Verdict]]], capsys: pytest.CaptureFixture[str]
) -> None:
    market, found = verdicts
    with capsys.disabled():
        print("\n" + told(f"{market}, planted", found[True]))
    assert sum(verdict.promoted for verdict in found[True]) >= 8

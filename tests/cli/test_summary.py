"""What stands at the end of a run: problems under their stages, and whose verdict is an earlier run's."""

from __future__ import annotations

import pytest

from nofx_pipelines.cli.run import Outcome, _show
from nofx_pipelines.cli.summary import StageLine, summary
from tests.chain import Chain

EARLIER = "nofx-signal-cn, as an earlier run left it"


def text(chain: Chain, *failed: str, lines: tuple[StageLine, ...] = ()) -> str:
    failures = [(stage, "it broke") for stage in failed]
    return summary(chain.config, list(chain.config.universes.values()), lines, ["cn/bars"], failures)


@pytest.mark.parametrize(
    ("failed", "earlier"),
    [
        ((), False),
        (("cn/anomaly_scores", "cn/marl_policy", "cn/online_features", "cn/signals"), False),
        (("other/champion",), False),
        (("cn/source_bars_1d",), True),
        (("cn/features",), True),
        (("cn/hpo_study",), True),
        (("cn/champion",), True),
    ],
)
def test_a_verdict_below_a_failure_is_an_earlier_run_s(
    finished_chain: Chain, failed: tuple[str, ...], earlier: bool
) -> None:
    said = text(finished_chain, *failed)
    assert "cn: nofx-signal-cn" in said
    assert (EARLIER in said) == earlier
    assert [f"FAILED {stage}: it broke" in said for stage in failed] == [True] * len(failed)


def test_a_feed_is_named_by_its_market_whatever_the_universe_is_called(finished_chain: Chain) -> None:
    of_hong_kong = finished_chain.set(market="hk")
    assert EARLIER in text(of_hong_kong, "hk/source_bars_1d")
    assert EARLIER not in text(finished_chain, "hk/source_bars_1d")


def test_problems_stand_under_the_stages(finished_chain: Chain) -> None:
    lines = (
        StageLine("cn/bars", 12, 0.5, {"fits": "passed"}),
        StageLine("cn/features", 12, 0.5, {"fits": "warn"}, problems="function spread raised 3 times"),
    )
    said = text(finished_chain, lines=lines).splitlines()
    last = next(number for number, line in enumerate(said) if line.startswith("cn/features"))
    assert said[last].endswith("fits: warn")
    assert said[last + 1] == "cn/features: function spread raised 3 times"
    assert not any(line.startswith("cn/bars:") for line in said)


def test_a_run_shows_problems_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"event": "done", "stage": "cn/features", "seconds": 1.5, "checks": {}}
    outcome = Outcome()
    _show({**event, "metadata": {"rows": 7}}, outcome)
    assert len(capsys.readouterr().out.splitlines()) == 1
    _show({**event, "metadata": {"rows": 7, "problems": "two sessions are left out"}}, outcome)
    stage, problem = capsys.readouterr().out.splitlines()
    assert stage.split()[:3] == ["cn/features", "7", "rows"]
    assert problem.strip() == "two sessions are left out"
    assert [line.problems for line in outcome.lines] == ["", "two sessions are left out"]

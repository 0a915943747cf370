"""The verdict on a candidate and what becomes of the alias."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.errors import PluginError
from nofx_pipelines.promotion.champion import known_champion, refresh_champion
from tests.chain import Chain


def _decide(chain: Chain) -> str:
    stamp = {"inputs": "i", "now": chain.now, "run_id": "r", "code_version": "c"}
    return refresh_champion(chain.lake, chain.tracker, chain.universe, **stamp).champion_version  # type: ignore[arg-type]


def _gates(chain: Chain) -> dict[str, bool]:
    return dict(chain.table("gates").scan().select("gate", "passed").collect().rows())


def test_the_verdict_and_the_alias_agree(finished_chain: Chain) -> None:
    gates = _gates(finished_chain)
    throne = finished_chain.table("champion").scan().collect().row(0, named=True)
    assert throne["promoted"] == all(gates.values())
    alias = finished_chain.tracker.alias(finished_chain.universe.model_name, "champion")
    assert alias == throne["version"] == ("2" if all(gates.values()) else "1")


def test_gates_that_let_everything_pass_promote_and_strict_ones_do_not(chain: Chain) -> None:
    """Thresholds are data: with a deflated Sharpe of 1.0 nothing is promoted."""
    model = chain.universe.model_name
    chain.tracker.set_alias(model, "champion", "1")
    strict = chain.set(gates=dataclasses.replace(chain.universe.gates, deflated_sharpe=1.0, fold_share=1.0))
    assert _decide(strict) == "1"
    assert not _gates(strict)["deflated_sharpe"]
    assert chain.tracker.alias(model, "challenger") == "2"


def test_deciding_again_changes_nothing(chain: Chain) -> None:
    before = _gates(chain), chain.tracker.alias(chain.universe.model_name, "champion")
    _decide(chain)
    assert (_gates(chain), chain.tracker.alias(chain.universe.model_name, "champion")) == before


def test_the_same_model_trained_again_does_not_replace_its_champion(chain: Chain) -> None:
    chain.tracker.set_alias(chain.universe.model_name, "champion", "2")
    chain.compute("candidate_model", force=True)  # versions 3 and 4, the same weights
    assert _decide(chain) == "2"
    reason = chain.table("gates").scan().filter(pl.col("gate") == "paired_difference").collect()["reason"][0]
    assert "the same scores, nothing to replace" in reason


def test_a_leak_check_that_did_not_pass_fails_its_gate(chain: Chain) -> None:
    checks = chain.table("leak_checks")
    found = checks.scan().collect()
    leak = {"stage": "features", "column": "sma_5", "cut": chain.now, "rows": 3, "first": "x", "size": 1.0}
    stamp = checks.stamp()
    assert stamp is not None
    checks.overwrite(
        pl.concat([found, pl.DataFrame([leak], schema=found.schema)]),
        code_version=stamp.code_version,
        inputs=stamp.inputs,
    )
    _decide(chain)
    assert not _gates(chain)["leak_check"]


def _with_gate(chain: Chain, folder: Path, answer: str) -> Chain:
    """The universe with one more gate, whose judge returns ``answer``."""
    (folder / "mine.py").write_text(
        "from nofx_pipelines.promotion.gates import Finding\n"
        "class Mine:\n"
        "    def judge(self, evidence, config):\n"
        f"        return {answer}\n"
        "GATE = Mine()\n"
    )
    use = (*chain.universe.gates.use, "mine:GATE")
    return chain.set(gates=dataclasses.replace(chain.universe.gates, use=use), plugins=folder)


def test_a_gate_of_one_s_own_decides_too(chain: Chain, tmp_path: Path) -> None:
    chain.tracker.set_alias(chain.universe.model_name, "champion", "1")
    assert _decide(_with_gate(chain, tmp_path, "Finding(0.5, 0.6, False, 'I do not like it')")) == "1"
    assert not _gates(chain)["mine:GATE"]
    known = known_champion(chain.lake, chain.universe)
    assert (known.rows, known.promoted) == (7, False)
    assert "| mine:GATE | failed | I do not like it |" in known.markdown


@pytest.mark.parametrize("answer", ["1 / 0", "True", "Finding(float('nan'), 0.0, True, 'x')"])
def test_a_gate_that_cannot_judge_moves_nothing(trained_chain: Chain, tmp_path: Path, answer: str) -> None:
    """Nobody was crowned yet, and nobody is."""
    chain = _with_gate(trained_chain.copied(tmp_path / "home"), tmp_path, answer)
    before = chain.versions()
    with pytest.raises(PluginError, match="plug-in 'mine:GATE'"):
        _decide(chain)
    assert chain.versions() == before
    aliases = [chain.tracker.alias(chain.universe.model_name, name) for name in ("champion", "challenger")]
    assert aliases == [None, None]


def test_known_is_what_was_decided(finished_chain: Chain) -> None:
    known = known_champion(finished_chain.lake, finished_chain.universe)
    assert known.rows == len(_gates(finished_chain))
    assert known.promoted == all(_gates(finished_chain).values())

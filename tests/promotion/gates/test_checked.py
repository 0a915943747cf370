"""A gate that cannot judge is named, and lets nobody through."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest

from nofx_pipelines.config import GateConfig
from nofx_pipelines.errors import PluginError
from nofx_pipelines.promotion.gates import CheckedGate, Finding, use_gates
from tests.promotion.gates.evidence import EVIDENCE

CONFIG = GateConfig(use=("mine:GATE",))


def gate(folder: Path, answer: str, before: str = "") -> CheckedGate:
    """A gate of one file whose judge returns ``answer``."""
    (folder / "mine.py").write_text(
        f"{before}\n"
        "import numpy as np\n"
        "from nofx_pipelines.promotion.gates import Finding\n"
        "class Mine:\n"
        "    def judge(self, evidence, config):\n"
        f"        return {answer}\n"
        "GATE = Mine()\n"
    )
    (checked,) = use_gates(CONFIG, folder)
    return checked


def test_an_answer_is_taken_over(tmp_path: Path) -> None:
    mine = gate(tmp_path, "Finding(np.float64(0.5), 1, False, 'too little')")
    finding = mine.judge(EVIDENCE, CONFIG)
    assert (mine.name, finding) == ("mine:GATE", Finding(0.5, 1.0, False, "too little"))
    assert type(finding.value) is type(finding.threshold) is float


def test_nan_is_unknown(tmp_path: Path) -> None:
    assert gate(tmp_path, "Finding(np.nan, np.nan, False, 'x')").judge(EVIDENCE, CONFIG) == Finding(
        None, None, False, "x"
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("1 / 0", "raised ZeroDivisionError when judging a candidate: division by zero"),
        ("evidence.candidate.metrics['no']", "raised KeyError"),
        ("True", "answered with a bool, not a Finding"),
        ("None", "answered with a NoneType, not a Finding"),
        ("Finding('0.5', 0.0, True, 'x')", "answered value = '0.5': write float"),
        ("Finding(True, 0.0, True, 'x')", "answered value = True: write float"),
        ("Finding(np.float32(0.5), 0.0, True, 'x')", r"answered value = np\.float32"),
        ("Finding(0.5, [0.0], True, 'x')", r"answered threshold = \[0\.0\]: write float"),
        ("Finding(0.5, 0.0, np.float64(0.5) > 0, 'x')", r"answered passed = np\.True_: write bool"),
        ("Finding(0.5, 0.0, 1, 'x')", "answered passed = 1: write bool"),
        ("Finding(None, 0.0, True, 'x')", "passed a candidate with value = None: an unknown number"),
        ("Finding(float('nan'), 0.0, True, 'x')", "passed a candidate with value = nan: an unknown number"),
        ("Finding(float('inf'), 0.0, True, 'x')", "passed a candidate with value = inf: an unknown number"),
        ("Finding(10**400, 0.0, True, 'x')", "answered value with a whole number of 1329 bits: no float"),
        ("Finding(0.5, 0.0, True, '')", "answered reason = '': it is a sentence"),
        ("Finding(0.5, 0.0, True, None)", "answered reason = None: it is a sentence"),
    ],
)
def test_no_answer_that_counts_is_refused_by_name(tmp_path: Path, answer: str, says: str) -> None:
    mine = gate(tmp_path, answer)
    with pytest.raises(PluginError, match=rf"plug-in 'mine:GATE' \(gate, .*mine\.py\) {says}"):
        mine.judge(EVIDENCE, CONFIG)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_to_be_found", "raised ModuleNotFoundError when importing it"),
        ("GATE = 3", r"has no method judge\(evidence, config\)"),
        ("gate = 3", "has no 'GATE'; it has gate"),
        (
            "class Mine:\n    def judge(self, evidence, config): ...\nGATE = Mine",
            r"is the class Mine: assign an instance, Mine\(\)",
        ),
        (
            "class Mine:\n    name = 'net_sharpe'\n    def judge(self, evidence, config): ...\nGATE = Mine()",
            "calls itself 'net_sharpe', which is a built-in gate",
        ),
    ],
)
def test_what_is_no_gate_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=rf"'mine:GATE' .*{says}"):
        use_gates(CONFIG, tmp_path)


def test_a_changed_file_is_another_gate(tmp_path: Path) -> None:
    assert gate(tmp_path, "Finding(0.5, 0.0, True, 'x')").judge(EVIDENCE, CONFIG).passed
    assert not gate(tmp_path, "Finding(0.5, 0.0, False, 'x')").judge(EVIDENCE, CONFIG).passed
    assert math.isclose(
        gate(tmp_path, "Finding(0.7, 0.0, True, 'x')").judge(EVIDENCE, CONFIG).value or 0, 0.7
    )


SPOILER = """
def spoil(evidence):
    evidence.candidate.metrics.clear()
    evidence.fold_rank_ics[:] = [9.0]
    evidence.candidate.sessions.drop_in_place("rank_ic")
    evidence.baseline.metrics["sharpe"] = None
    object.__setattr__(evidence, "leak_passed", False)
    return Finding(0.0, 0.0, False, "spoilt")
"""


def test_what_a_gate_does_to_its_evidence_no_other_gate_sees(tmp_path: Path) -> None:
    spoiler = gate(tmp_path, "spoil(evidence)", SPOILER)
    before = copy.deepcopy(EVIDENCE)
    every = GateConfig(use=("mine:GATE", *GateConfig().use))
    verdicts = [each.judge(EVIDENCE, every) for each in use_gates(every, tmp_path)]
    assert (spoiler.name, verdicts[0].reason) == ("mine:GATE", "spoilt")
    assert verdicts[1:] == [each.judge(before, every) for each in use_gates(GateConfig())]
    assert all(verdict.passed for verdict in verdicts[1:])
    assert EVIDENCE.candidate.sessions.equals(before.candidate.sessions)
    assert (EVIDENCE.candidate.metrics, EVIDENCE.fold_rank_ics) == (
        before.candidate.metrics,
        before.fold_rank_ics,
    )

"""The folder of gates is the list of gates."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nofx_pipelines import plugins
from nofx_pipelines.config import GateConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.evaluation.evaluate import MetricValue
from nofx_pipelines.promotion.gates import use_gates
from tests.member_files import members_of
from tests.promotion.gates.evidence import EVIDENCE


def test_every_file_that_assigns_a_gate_is_one_and_the_default_names_some() -> None:
    assert plugins.builtin_names("gates") == members_of("gates")
    assert set(GateConfig().use) <= set(members_of("gates"))


def test_each_is_loaded_by_its_file_s_name() -> None:
    for gate in use_gates(GateConfig()):
        assert type(gate.gate).__module__ == f"nofx_pipelines.promotion.gates.{gate.name}"
        assert gate.judge(EVIDENCE, GateConfig()).passed


def test_an_unknown_gate_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"gate 'netsharpe' .*known are .*deflated_sharpe, .*fold_share"):
        use_gates(GateConfig(use=("netsharpe",)))


def test_the_skeleton_is_a_gate_and_passes_its_own_test(tmp_path: Path) -> None:
    shelf = Path(plugins.__file__).parent / "skeletons"
    for template, name in (("gates.py.txt", "mine.py"), ("gates_test.py.txt", "test_mine.py")):
        (tmp_path / name).write_text((shelf / template).read_text().replace("__NAME__", "mine"))
    (mine,) = use_gates(GateConfig(use=("mine:GATE",)), tmp_path)
    metrics = {**EVIDENCE.candidate.metrics, "turnover": MetricValue(0.3, 0.2, 0.4, 100)}
    finding = mine.judge(
        replace(EVIDENCE, candidate=replace(EVIDENCE.candidate, metrics=metrics)), GateConfig()
    )
    assert (finding.value, finding.passed) == (0.4, False)
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout

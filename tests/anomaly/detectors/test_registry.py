"""Detectors by name: the folder's files, and one that a user wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nofx_pipelines
from nofx_pipelines import plugins
from nofx_pipelines.anomaly.detectors.registry import load_detectors
from nofx_pipelines.config import AnomalyConfig
from nofx_pipelines.errors import ConfigError, PluginError
from tests.member_files import members_of

PACKAGE = Path(nofx_pipelines.__file__).parent
SKELETONS = PACKAGE / "plugins" / "skeletons"


def test_every_file_that_assigns_a_detector_is_one() -> None:
    assigning = members_of("detectors")
    assert plugins.builtin_names("detectors") == assigning
    assert {*AnomalyConfig().detectors} <= {*assigning}
    loaded = load_detectors(assigning)
    assert tuple(loaded) == assigning
    assert all(detector.statistics for detector in loaded.values())


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "name none, or one twice"),
        (["rules", "rules"], "name none, or one twice"),
        (["robust_zz"], "detector 'robust_zz' is none of this installation's; known are .*ewma, "),
        (["mine:DETECTOR"], "no module mine is installed"),
    ],
)
def test_names_of_nothing_are_refused(names: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=why):
        load_detectors(names, tmp_path)


def test_none_is_named_as_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from nofx_pipelines.plugins import reference

    point = EntryPoint(
        "ensemble", "nofx_pipelines.anomaly.detectors.ewma:DETECTOR", "nofx_pipelines.detectors"
    )
    monkeypatch.setattr(reference, "entry_points", lambda group: [point] if group == point.group else [])
    with pytest.raises(PluginError, match=r"'ensemble' .*is named 'ensemble', as all detectors together"):
        load_detectors(["ensemble"])


def test_the_skeleton_is_a_detector_whose_test_passes(tmp_path: Path) -> None:
    for skeleton, name in (("detectors.py.txt", "drift.py"), ("detectors_test.py.txt", "test_drift.py")):
        text = (SKELETONS / skeleton).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("__NAME__", "drift"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout

"""The skeletons of this package's members work as they are written: their own tests pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nofx_pipelines

SKELETONS = Path(nofx_pipelines.__file__).parent / "plugins" / "skeletons"


KINDS = ("algorithms", "roles", "tasks", "rewards")


def test_rendered_skeletons_pass_their_tests(tmp_path: Path) -> None:
    for kind in KINDS:
        for name, file in (
            (f"{kind}.py.txt", f"my_{kind}.py"),
            (f"{kind}_test.py.txt", f"test_my_{kind}.py"),
        ):
            text = (SKELETONS / name).read_text(encoding="utf-8").replace("__NAME__", f"my_{kind}")
            (tmp_path / file).write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for kind in KINDS:
        assert f"test_my_{kind}.py::" in run.stdout

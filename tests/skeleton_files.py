"""The skeletons of plug-ins as a person gets them: a member and its test, under a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nofx_pipelines import plugins

SKELETONS = Path(plugins.__file__).parent / "skeletons"


def write_skeleton(kind: str, folder: Path, name: str = "mine") -> Path:
    """Write the member of a kind and its test into ``folder``; the member's file."""
    folder.mkdir(parents=True, exist_ok=True)
    for template, file in ((f"{kind}.py.txt", f"{name}.py"), (f"{kind}_test.py.txt", f"test_{name}.py")):
        text = (SKELETONS / template).read_text(encoding="utf-8").replace("__NAME__", name)
        (folder / file).write_text(text, encoding="utf-8")
    return folder / f"{name}.py"


def run_tests_of(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests in a folder of plug-ins, as a person does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

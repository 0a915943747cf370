"""Which process lives, and processes that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from nofx_pipelines.processes import PARENT_VARIABLE, ProcessId, started_before

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
ATTACHED = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import time; from nofx_pipelines.processes import end_with_parent; end_with_parent(); "
    "print('ready', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_parent_that_died_before_it_was_looked_for_counts() -> None:
    parent = subprocess.Popen(SLEEPS)
    named = ProcessId.of(parent.pid)
    assert named is not None
    parent.kill()
    parent.wait()
    code = (
        "import os, time; from nofx_pipelines import processes; processes.end_with_parent(); "
        "assert processes.PARENT_VARIABLE not in os.environ; time.sleep(600)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, PARENT_VARIABLE: named.text}, timeout=60
    )
    assert child.returncode == -signal.SIGTERM


def test_a_process_lives_until_it_ends_buried_or_not() -> None:
    process = subprocess.Popen(SLEEPS)
    named = ProcessId.of(process.pid)
    assert named is not None
    assert named.life() == "alive"
    process.kill()
    deadline = time.monotonic() + 10
    while named.life() == "alive" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert named.life() == "gone"  # a zombie, which still has its number
    process.wait()
    assert named.life() == "gone"
    assert ProcessId.of(process.pid) is None


def test_another_process_under_the_same_number_is_another() -> None:
    own = ProcessId.own()
    assert replace(own, start="1").life() == "gone"
    assert replace(own, boot="another").life() == "gone"
    assert replace(own, host="another").life() == "elsewhere"


@pytest.mark.parametrize("text", ["", "a|b|c|d", "host|boot|12", "host|boot|-1|3", "host"])
def test_what_names_no_process(text: str) -> None:
    assert ProcessId.parse(text) is None


def test_a_number_that_was_seen_before_its_process_began_is_another_s() -> None:
    process = subprocess.Popen(SLEEPS)
    try:
        assert started_before(process.pid, time.time())
        assert not started_before(process.pid, time.time() - 3600)
    finally:
        process.kill()
        process.wait()
    assert not started_before(process.pid, time.time())


def test_a_process_ends_with_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ATTACHED], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = ProcessId.of(int(parent.stdout.readline()))
        assert child is not None
        parent.kill()
    deadline = time.monotonic() + 15
    while child.life() == "alive" and time.monotonic() < deadline:
        time.sleep(0.05)
    left = child.life()
    if left == "alive":
        os.kill(child.pid, signal.SIGKILL)
    assert left == "gone"

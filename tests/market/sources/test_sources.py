"""Opening what a link names: kinds by the folder, what decides their code version."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.market.sources import SourceBatch, no_rejects, open_source, source_modules
from nofx_pipelines.market.sources.files.source import FilesSource
from nofx_pipelines.market.sources.simulated import SimulatedSource
from nofx_pipelines.plugins import builtin_names, load
from tests.member_files import members_of

WHEN = {"start": date(2024, 1, 2), "end": date(2024, 1, 9), "now": datetime(2024, 6, 1, tzinfo=UTC)}
OWN = "symbol,session_date,open,high,low,close,volume\n000001.SZ,2024-01-02,1,1,1,1,100\n"


def test_the_kinds_are_what_assigns_source_in_the_folder() -> None:
    assert builtin_names("sources") == members_of("sources")
    assert {"files", "simulated"} <= set(members_of("sources"))
    assert all(callable(load("sources", name).open) for name in builtin_names("sources"))


def test_a_link_opens_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(OWN)
    links = {
        SourceConfig("files", tmp_path): FilesSource,
        SourceConfig("simulated", instruments=3): SimulatedSource,
    }
    for link, kind in links.items():
        source = open_source(link, market="cn", freq="1d", **WHEN)
        assert type(source) is kind
        assert source.name == link.kind


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"source 'ftp' is none of .*known are .*files, .*simulated"):
        open_source(SourceConfig("ftp"), market="cn", freq="1d", **WHEN)


def test_a_batch_without_rejects_has_none() -> None:
    batch = SourceBatch(no_rejects())
    assert batch.rejects.equals(no_rejects())
    assert "run_id" not in batch.rejects.columns


def test_any_format_may_decide_what_files_deliver(tmp_path: Path) -> None:
    package = "nofx_pipelines.market.sources.files"
    formats = [f"{package}.formats.{name}" for name in builtin_names("formats")]
    assert source_modules(SourceConfig("files")) == (package, *formats)
    (tmp_path / "mine.py").write_text("SOURCE = 1")
    assert source_modules(SourceConfig("mine:SOURCE", plugins=tmp_path)) == ()


def test_importing_the_kinds_loads_neither_reader_nor_simulator() -> None:
    code = (
        "import sys, nofx_pipelines.market.sources, nofx_pipelines.market.sources.files;"
        "print([m for m in sys.modules if 'files.' in m or 'simulator' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

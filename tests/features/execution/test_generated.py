"""A written kernel's text is run only where it is the text that was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from numba import config

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import close, ref
from nofx_pipelines.features.execution.generated import Generated, load
from nofx_pipelines.features.execution.numba_engine import plan_of
from nofx_pipelines.features.program.lowering import lower


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_a_changed_text_is_neither_run_nor_compiled(tmp_path: Path) -> None:
    plan = plan_of(lower({"gain": close - ref(close, 1)}))
    written = Generated(plan, tmp_path)
    assert callable(load(written.path))
    text = written.path.read_text()
    mark = tmp_path / "ran"
    written.path.write_text(f"open({str(mark)!r}, 'w').close()\n{text}")
    with pytest.raises(FeatureError, match="is not the kernel that was written there"):
        load(written.path)
    assert not mark.exists()
    again = Generated(plan, tmp_path)
    assert again.path == written.path
    assert again.path.read_text() == text
    other = Generated(plan_of(lower({"gain": close - ref(close, 2)})), tmp_path)
    assert other.path != written.path

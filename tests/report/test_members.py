"""The report names every member, and of a user's own its file and the hash of its sources."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.config_file import default_config
from nofx_pipelines.report.members import member_rows, members_page


def test_a_plug_in_stands_with_its_file_and_hash_before_what_is_built_in(tmp_path: Path) -> None:
    config = default_config(tmp_path)
    folder = tmp_path / plugins.FOLDER
    folder.mkdir()
    (folder / "mine.py").write_text("raise SystemExit('a report imports nothing')\n")
    universe = dataclasses.replace(config.universes["cn"], features=("technical", "mine:SET"))
    rows = member_rows(universe, config.feed_of(universe))
    digest = plugins.find("features", "mine:SET", folder).digest()
    assert rows[0] == ("feature set", "mine:SET", "plugins/mine.py", digest)
    assert ("feature set", "technical", "built in", "") in rows
    assert ("source", "simulated", "built in", "") in rows
    assert "mine:SET" in members_page(universe, config.feed_of(universe))
    (folder / "mine.py").unlink()
    gone = member_rows(universe, config.feed_of(universe))[0]
    assert gone[1] == "mine:SET"
    assert "is not there" in gone[2]

"""Who decides a training, and the digests of those that are plug-ins."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.marl.members import members
from nofx_pipelines.plugins import plugin_digests
from tests.marl.roles.test_opening import PLAIN
from tests.marl.worlds import write_member


def test_members_are_all_that_is_named() -> None:
    config = MarlConfig(algorithm="maddpg", roles=("hedger", "risk_manager"), rewards=("role", "team"))
    assert [f"{member.kind.name} {member.name}" for member in members(config)] == [
        "algorithms maddpg",
        "tasks trading",
        "roles hedger",
        "roles risk_manager",
        "rewards role",
        "rewards team",
    ]


def test_the_digest_of_a_plug_in_changes_with_its_file(tmp_path: Path) -> None:
    config = MarlConfig(roles=("hedger", "mine:ROLE"))
    before = plugin_digests(members(config, write_member(tmp_path, PLAIN)))
    assert list(before) == ["roles mine:ROLE"]
    assert plugin_digests(members(config, tmp_path)) == before
    after = plugin_digests(members(config, write_member(tmp_path, PLAIN + "\n# other\n")))
    assert list(after) == list(before)
    assert after != before

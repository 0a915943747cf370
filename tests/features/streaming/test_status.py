"""What a home's streams stand at."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.features import feature_set
from nofx_pipelines.features.streaming.dead_letters import FILE, DeadLetters
from nofx_pipelines.features.streaming.status import stream_lines
from nofx_pipelines.features.streaming.stream import Stream


def test_streams_are_listed_with_their_dead_letters(tmp_path: Path) -> None:
    folder, features = tmp_path / "streams", feature_set("technical")
    stream = Stream(features, ["A"], bars_per_year=243)
    stream.save(folder / "cn.redis.stream", {"lake": {"session": "2025-06-02"}, "store": "here"})
    (folder / "hk.redis.stream").write_bytes(b"nothing")
    for name, entry in (("cn.redis", "1-0"), ("cn.redis", "2-0"), ("gone", "1-0")):
        DeadLetters(folder / FILE, name).add(entry, "{", "not JSON")
    lines = stream_lines(tmp_path)
    assert lines[0] == ("cn.redis", features.version, "since 2025-06-02, 2 dead letters, here")
    assert lines[1][:2] == ("hk.redis", "damaged")
    assert lines[2] == ("gone", "", "1 dead letters")

from __future__ import annotations

import pytest

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.store import Lake


def test_tables_lists_what_was_written(lake, labels, features, days):
    assert lake.tables() == []
    lake.table("hk", "labels").append(labels(days[:1]))
    lake.table("cn", "features").append(features(days[:1], a=1.0))
    lake.table("cn", "labels")
    (lake.root / "cn" / "strange" / "_delta_log").mkdir(parents=True)
    assert lake.tables() == [("cn", "features"), ("hk", "labels")]
    assert Lake(lake.root).tables() == lake.tables()


@pytest.mark.parametrize("scope", ["../../x", "a'; drop table", "", "/etc"])
def test_no_path_escapes_the_root(lake, scope):
    with pytest.raises(LakeError):
        lake.table(scope, "bars")
    with pytest.raises(LakeError):
        lake.table("cn", scope)
    assert not lake.root.exists()


def test_a_table_is_one_object(lake):
    assert lake.table("cn", "bars") is lake.table("cn", "bars")
    assert lake.table("cn", "source_bars_1d").schema.name == "source_bars_1d"
    assert lake.table("cn", "bars").key == "cn/bars"

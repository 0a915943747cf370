"""Every way in which a layout can be wrong has its sentence; those of the built-in formats are sound."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nofx_pipelines.market.sources.files.formats import load_formats
from nofx_pipelines.market.sources.files.layout import ACTION_COUNTS, Layout, Units
from nofx_pipelines.market.sources.files.layout_checks import layout_problem
from nofx_pipelines.market.sources.files.raw import Head
from nofx_pipelines.market.sources.files.recognise import recognise

NAMES = ("t", "o", "h", "l", "c", "v", "x")
HEAD = Head("a.csv", NAMES, ())
COLUMNS = dict(zip(("label", "open", "high", "low", "close", "volume"), NAMES, strict=False))
SOUND = Layout("mine", COLUMNS)
ACTIONS = {"symbol": "x", "label": "t", "kind": "o", "cash": "c"}


def without(columns: dict[str, str], name: str) -> dict[str, str]:
    return {ours: theirs for ours, theirs in columns.items() if ours != name}


def test_a_sound_layout_has_no_problem() -> None:
    assert layout_problem(SOUND, HEAD) is None
    assert layout_problem(replace(SOUND, columns=COLUMNS | {"ts_close": "x"}, labels="both"), HEAD) is None
    assert layout_problem(Layout("mine", ACTIONS, kind="actions"), HEAD) is None
    counts = Layout("mine", {"symbol": "x", "label": "t"} | dict.fromkeys(ACTION_COUNTS, "o"), kind="actions")
    assert layout_problem(counts, HEAD) is None


def test_those_of_the_built_in_formats_are_sound() -> None:
    heads = [
        Head("a.csv", tuple(each.columns), (("1",) * len(each.columns),))
        for each in load_formats()
        if each.columns
    ]
    heads.append(Head("a.csv", ("code", "date", *ACTION_COUNTS), ()))
    kline = ("1735689600000", "1", "1", "1", "1", "1", "1735689659999", "1", "1", "1", "1", "0")
    heads.append(Head("a.csv", None, (kline,)))
    for head in heads:
        layout = recognise(head)
        assert layout is not None
        assert layout_problem(layout, head) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": ""}, "format = ''"),
        ({"kind": "trades"}, "kind = 'trades', none of bars, actions"),
        ({"columns": [("label", "t")]}, "columns as list"),
        ({"columns": without(COLUMNS, "label")}, "maps nothing to label"),
        ({"columns": without(COLUMNS, "volume")}, "maps nothing to volume"),
        ({"columns": COLUMNS | {"cash": "x"}}, "maps 'cash', which is none of"),
        ({"columns": COLUMNS | {"amount": "y"}}, "maps 'amount' to 'y', a column that the file lacks"),
        ({"columns": COLUMNS | {"amount": ["x"]}}, "a column that the file lacks"),
        ({"columns": without(ACTIONS, "cash"), "kind": "actions"}, "maps neither kind with ratio or cash"),
        ({"columns": without(ACTIONS, "kind"), "kind": "actions"}, "maps neither kind with ratio or cash"),
        ({"columns": without(ACTIONS, "symbol"), "kind": "actions"}, "maps nothing to symbol"),
        ({"labels": "middle"}, "labels = 'middle', none of 'start', 'end', 'session', 'both', None"),
        ({"labels": "both"}, "maps nothing to ts_close"),
        ({"labels_default": None}, "labels_default = None"),
        ({"naive_zone": "Asia/Shanghai"}, "naive_zone = 'Asia/Shanghai'"),
        ({"price_basis": "adjusted"}, "price_basis = 'adjusted', none of 'unadjusted', 'forward'"),
        ({"crypto_kind": "SWAP"}, "crypto_kind = 'SWAP'"),
        ({"prev_close": "last"}, "prev_close = 'last'"),
        ({"basis_from_ticks": "yes"}, "basis_from_ticks = 'yes'"),
        ({"units": Units(volume=0.0)}, "units = Units"),
        ({"units": Units(amount=float("inf"))}, "units = Units"),
        ({"units": 100}, "units = 100"),
        ({"knowledge_lag": timedelta(seconds=-1)}, "knowledge_lag"),
        ({"knowledge_lag": 5}, "knowledge_lag = 5"),
        ({"exchange": "my venue"}, "exchange = 'my venue'"),
        ({"notes": ("gaps",)}, "notes that are not triples"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], says: str) -> None:
    problem = layout_problem(replace(SOUND, **changes), HEAD)
    assert problem is not None
    assert says in problem


def test_what_is_no_layout_is_said() -> None:
    assert layout_problem({"label": "t"}, HEAD) == "gave dict, not a Layout or None"

"""What a plug-in returns is taken or refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nofx_pipelines.errors import PluginError
from nofx_pipelines.marl.plugin_checks import require_protocol, require_tensor
from nofx_pipelines.plugins import Reference, find
from tests.marl.worlds import F64, write_member


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    return find("rewards", "mine:REWARD", write_member(tmp_path, ""))


def test_floats_become_float64_and_everything_else_stays(reference: Reference) -> None:
    value = require_tensor(reference, "the reward", torch.tensor([1.0, 2.0]), (2,))
    assert (value.dtype, value.tolist()) == (F64, [1.0, 2.0])
    single = torch.zeros(2, 3)
    assert require_tensor(reference, "it", single, (2, None), [torch.float32]) is single
    flags = torch.ones(2, dtype=torch.bool)
    assert require_tensor(reference, "it", flags, (2,), [torch.bool]) is flags
    unknown = torch.tensor([float("nan")])
    assert require_tensor(reference, "it", unknown, (1,), nan=True).isnan().all()


@pytest.mark.parametrize(
    ("value", "options", "problem"),
    [
        (1.0, {}, "returns float as the reward, not a tensor"),
        (torch.zeros(3), {}, r"returns the reward of shape \[3\], not \[2\]"),
        (torch.zeros(2, 1), {}, r"of shape \[2, 1\], not \[2\]"),
        (torch.zeros(2, dtype=torch.int64), {}, "returns the reward as int64, not float32 or float64"),
        (torch.tensor([0.0, float("nan")]), {}, r"returns the reward with nan at \[1\]"),
        (torch.zeros(2, device="meta"), {"device": torch.device("cpu")}, "the reward on meta, not on cpu"),
        (torch.tensor([float("-inf"), 0.0]), {"nan": True}, r"returns the reward with -inf at \[0\]"),
    ],
)
def test_another_value_is_refused(
    value: Any, options: dict[str, Any], problem: str, reference: Reference
) -> None:
    with pytest.raises(PluginError, match=f"plug-in 'mine:REWARD' .*mine.py.* {problem}"):
        require_tensor(reference, "the reward", value, (2,), **options)


def test_an_empty_axis_is_refused(reference: Reference) -> None:
    with pytest.raises(PluginError, match=r"of shape \[2, 0\], not \[2, any\]"):
        require_tensor(reference, "it", torch.zeros(2, 0), (2, None))


class Named:
    name = "mine"

    def value(self) -> None: ...


class Numbered(Named):
    name = 3  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (Named, r"is the class Named: assign an instance, Named\(\)"),
        (Numbered(), "has the name 3"),
        (object(), "has no method value"),
        (type("Nameless", (), {"value": print})(), "has the name None"),
    ],
)
def test_a_member_of_another_make_is_refused(member: object, problem: str, reference: Reference) -> None:
    with pytest.raises(PluginError, match=problem):
        require_protocol(reference, member, ["value"])


def test_a_missing_method_is_named(reference: Reference) -> None:
    require_protocol(reference, Named(), ["value"])
    with pytest.raises(PluginError, match="has no method worth"):
        require_protocol(reference, Named(), ["value", "worth"])

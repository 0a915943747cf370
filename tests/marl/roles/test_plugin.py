"""What only shows at work: a role of a plug-in that goes wrong in the middle of an episode."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nofx_pipelines.errors import PluginError
from nofx_pipelines.marl.roles import roles
from nofx_pipelines.marl.roles.role import Quotes, Role
from tests.marl.roles.test_opening import PLAIN
from tests.marl.worlds import F64, outcome, panel, trading_floor, view, write_member


def opened(folder: Path, line: str, other: str) -> tuple[Role, ...]:
    assert line in PLAIN
    return roles(["mine:ROLE"], write_member(folder, PLAIN.replace(line, other)))


def test_what_it_returns_is_handed_on(tmp_path: Path) -> None:
    (role,) = roles(["mine:ROLE"], write_member(tmp_path, PLAIN))
    close = view(2, 1, 4, return_1=0.5)
    assert role.observe(close, 0).shape == (2, 4 + 1 + 4 + 1)
    assert role.mask(close, 0).tolist() == [[True, True]] * 2
    assert role.decide(close, 0, torch.tensor([1, 1])).target.tolist() == [[0.25] * 4] * 2  # type: ignore[union-attr]
    assert role.reward(outcome(2, 1, 4, own=3.0), 0).tolist() == [3.0, 3.0]
    assert role.baseline(close, 0).tolist() == [0, 0]


def test_an_error_in_the_middle_of_an_episode_names_it(tmp_path: Path) -> None:
    divisors = "left = [1.0, 0.0, 1.0, 1.0]  # from the end; the first is for its trial\n    trades = True"
    text = PLAIN.replace("return outcome.own[:, me]", "return outcome.own[:, me] / self.left.pop()")
    team = roles(["mine:ROLE"], write_member(tmp_path, text.replace("trades = True", divisors)))
    floor = trading_floor(panel(), n_envs=2, length=5, span=(0, 160), roles=team)
    hold = torch.zeros(2, 1, dtype=torch.int64)
    floor.step(hold)
    with pytest.raises(PluginError, match=r"plug-in 'mine:ROLE' .* returns the reward with nan at \[0\]"):
        floor.step(hold)
    floor.reset(torch.Generator().manual_seed(1))
    floor.step(hold)
    with pytest.raises(PluginError, match=r"plug-in 'mine:ROLE' .* raised IndexError when paying itself"):
        floor.step(hold)


def test_an_observation_of_changing_width_is_refused(tmp_path: Path) -> None:
    wide = "return view.features.flatten(1)[:, : 5 + int(view.age[0])]"
    (role,) = opened(tmp_path, 'return observation(view, me, ("return_1",), ("breadth",))', wide)
    assert role.observe(view(2, 1, 4), 0).shape == (2, 5)
    with pytest.raises(PluginError, match=r"returns the observation of shape \[2, 6\], not \[2, 5\]"):
        role.observe(view(2, 1, 4, age=1), 0)


QUOTING = PLAIN.replace("import Decision,", "import Decision, Quotes,").replace(
    "Decision(target=pick([keep(view), equal_weight(view.price > 0)], action))",
    "Decision(quotes=_quotes(view, (action == 1)[:, None]))",
)


def quoting(quotes: str) -> str:
    return f"{QUOTING}\ndef _quotes(view, some):\n    return {quotes}\n"


@pytest.mark.parametrize(
    ("quotes", "problem"),
    [
        ("Quotes(view.price, view.price, view.price, -view.price)", "quotes a size or a price below 0"),
        ("Quotes(*[view.price[:, :2]] * 4)", r"returns the quotes' bid of shape \[17, 2\], not \[17, 14\]"),
        ("view.price", "quotes Tensor, not Quotes"),
        ("Quotes(*[view.price] * 4)", "asks for something when its action is 'hold'"),
    ],
)
def test_quotes_that_are_none_are_refused(quotes: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=problem):
        roles(["mine:ROLE"], write_member(tmp_path, quoting(quotes)))


def test_quotes_are_handed_on(tmp_path: Path) -> None:
    (role,) = roles(
        ["mine:ROLE"], write_member(tmp_path, quoting("Quotes(*[view.price.float() * some] * 4)"))
    )
    quotes = role.decide(view(2, 1, 4), 0, torch.tensor([1, 0])).quotes
    assert isinstance(quotes, Quotes)
    assert quotes.ask.dtype == F64
    assert quotes.ask.tolist() == [[10.0] * 4, [0.0] * 4]

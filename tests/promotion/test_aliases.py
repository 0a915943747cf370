from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.promotion.aliases import crown_baseline, promote
from nofx_pipelines.promotion.gates.decision import Verdict

MODEL = "nofx-signal-cn"


class Registry:
    """Aliases in memory; remembers every move."""

    def __init__(self) -> None:
        self.aliases: dict[tuple[str, str], str] = {}
        self.moves: list[tuple[str, str]] = []

    def alias(self, model: str, alias: str) -> str | None:
        return self.aliases.get((model, alias))

    def set_alias(self, model: str, alias: str, version: str) -> None:
        self.aliases[model, alias] = version
        self.moves.append((alias, version))


def verdicts(*passed: bool) -> list[Verdict]:
    return [Verdict(f"gate_{i}", 0.1, 0.0, ok, f"gate {i} said so") for i, ok in enumerate(passed)]


def test_the_baseline_takes_an_empty_throne_and_that_is_no_promotion() -> None:
    registry = Registry()
    assert crown_baseline(registry, MODEL, "1") == "1"
    assert crown_baseline(registry, MODEL, "5") == "1"
    assert registry.moves == [("champion", "1")]
    result = promote(registry, MODEL, "1", verdicts(True), "1")
    assert (result.promoted, result.moved) == (False, False)


def test_a_candidate_that_passes_every_gate_reigns() -> None:
    registry = Registry()
    result = promote(registry, MODEL, "2", verdicts(True, True), "1")
    assert registry.moves == [("champion", "1"), ("champion", "2")]
    assert (result.champion, result.previous, result.promoted, result.moved) == ("2", "1", True, True)


def test_one_failed_gate_makes_a_challenger_and_says_which() -> None:
    registry = Registry()
    result = promote(registry, MODEL, "2", verdicts(True, False), "1")
    assert registry.aliases == {(MODEL, "champion"): "1", (MODEL, "challenger"): "2"}
    assert not result.promoted
    assert "1 of 2 gates failed" in result.reason
    assert "gate_1: gate 1 said so" in result.reason


def test_nobody_is_promoted_without_a_verdict() -> None:
    registry = Registry()
    assert not promote(registry, MODEL, "2", [], "1").promoted
    assert registry.aliases[MODEL, "champion"] == "1"


def test_a_champion_judged_again_stays() -> None:
    registry = Registry()
    promote(registry, MODEL, "2", verdicts(True), "1")
    result = promote(registry, MODEL, "2", verdicts(False), "1")
    assert (result.champion, result.promoted, result.moved) == ("2", True, False)
    assert (MODEL, "challenger") not in registry.aliases


@given(st.lists(st.booleans(), max_size=4), st.sampled_from([None, "1", "2", "3"]))
def test_doing_it_again_changes_nothing(passed: list[bool], reigning: str | None) -> None:
    registry = Registry()
    if reigning is not None:
        registry.set_alias(MODEL, "champion", reigning)
    first = promote(registry, MODEL, "2", verdicts(*passed), "1")
    before, moves = dict(registry.aliases), len(registry.moves)
    second = promote(registry, MODEL, "2", verdicts(*passed), "1")
    assert registry.aliases == before
    assert len(registry.moves) == moves
    assert (second.champion, second.promoted, second.moved) == (first.champion, first.promoted, False)

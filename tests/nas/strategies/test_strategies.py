"""What every strategy holds to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nofx_pipelines import plugins
from nofx_pipelines.errors import ConfigError, PluginError
from nofx_pipelines.nas.strategies import Observation, strategy
from tests.member_files import members_of
from tests.nas.strategies.table import SPACE, table
from tests.skeleton_files import run_tests_of, write_skeleton

BUILT_IN = plugins.builtin_names("strategies")


def test_every_file_that_assigns_a_strategy_is_one() -> None:
    assert members_of("strategies") == BUILT_IN
    assert {"evolution", "random", "tpe"} <= set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_proposal_depends_on_history_number_and_seed_only(name: str) -> None:
    rng = np.random.default_rng(1)
    history = [Observation(g, table()[g]) for g in (SPACE.random(rng) for _ in range(15))]
    first = strategy(name).propose(SPACE, history, 15, 3)
    np.random.default_rng(5).random(100)
    assert strategy(name).propose(SPACE, list(history), 15, 3) == first
    assert len({strategy(name).propose(SPACE, history, 15, seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_proposal_is_canonical_and_of_the_space(name: str) -> None:
    history: list[Observation] = []
    for number in range(20):
        genotype = strategy(name).member.propose(SPACE, history, number, 4)
        assert genotype == SPACE.canonical(genotype)
        history.append(Observation(genotype, table()[genotype]))


@pytest.mark.parametrize("name", BUILT_IN)
def test_failed_trials_and_repeats_do_no_harm(name: str) -> None:
    rng = np.random.default_rng(2)
    history = [Observation(SPACE.random(rng), None) for _ in range(12)]
    assert strategy(name).propose(SPACE, history, 12, 1) not in {trial.genotype for trial in history}


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"search strategy 'grid' is none of .* known are .*evolution, .*random, .*tpe"
    ):
        strategy("grid")


TEXT = """
class Mine:
    def propose(self, space, history, number, seed):
        genes = [0] * len(space.decisions)
        return ANSWER

STRATEGY = Mine()
"""


def write(folder: Path, answer: str) -> Path:
    (folder / "mine.py").write_text(TEXT.replace("ANSWER", answer))
    return folder


def test_one_file_in_an_empty_folder_is_a_strategy(tmp_path: Path) -> None:
    proposal = strategy("mine:STRATEGY", write(tmp_path, "tuple(genes)")).propose(SPACE, [], 0, 1)
    assert proposal == SPACE.canonical([0] * len(SPACE.decisions))


def test_a_proposal_becomes_canonical_and_whole_numbers_of_any_kind_are_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n" + TEXT.replace("ANSWER", "[*genes[:5], np.int8(1), *genes[6:]]")
    )
    proposal = strategy("mine:STRATEGY", tmp_path).propose(SPACE, [], 0, 1)
    assert SPACE.decisions[5].name == "kernel_0"  # does not count in a dense layer
    assert proposal == (0,) * len(SPACE.decisions)
    assert {type(gene) for gene in proposal} == {int}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("(0, 0)", r"what is not in the space: a genotype of 2 genes; this space has \d+"),
        ("[99, *genes[1:]]", "what is not in the space: gene lookback = 99 is not one of 0 to 1"),
        ("[-1, *genes[1:]]", "gene lookback = -1 is not"),
        ("[0.5, *genes[1:]]", r"a genotype with 0\.5, which is no whole number"),
        ("'evolution'", "proposes str, not a genotype"),
        ("None", "proposes NoneType, not a genotype"),
        ("__import__('numpy').array(3)", "raised TypeError when proposing trial"),
        ("history[-1].genotype", "raised IndexError when proposing trial 0"),
    ],
)
def test_what_is_no_genotype_of_the_space_is_refused_by_name(tmp_path: Path, answer: str, words: str) -> None:
    ours = strategy("mine:STRATEGY", write(tmp_path, answer))
    named = r"plug-in 'mine:STRATEGY' \(search strategy, .*mine\.py\) .*"
    with pytest.raises(PluginError, match=named + words):
        ours.propose(SPACE, [], 0, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("STRATEGY = 3", r"has no method propose\(space, history, number, seed\)"),
        (
            "class Mine:\n    def propose(self): ...\nSTRATEGY = Mine",
            r"is the class Mine: assign an instance, Mine\(\)",
        ),
        ("import nowhere", "raised ModuleNotFoundError when importing it"),
    ],
)
def test_what_is_no_strategy_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=rf"plug-in 'mine:STRATEGY' .*{words}"):
        strategy("mine:STRATEGY", tmp_path)


def test_the_skeleton_is_a_strategy_and_passes_its_own_test(tmp_path: Path) -> None:
    write_skeleton("strategies", tmp_path)
    rng = np.random.default_rng(1)
    history = [Observation(g, table()[g]) for g in (SPACE.random(rng) for _ in range(15))]
    proposal = strategy("mine:STRATEGY", tmp_path).propose(SPACE, history, 15, 3)
    assert proposal in table()
    done = run_tests_of(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

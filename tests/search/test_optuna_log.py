"""Optuna says nothing of its studies, and its log is left as it was found."""

from __future__ import annotations

import logging

import optuna
import pytest

from nofx_pipelines.search.optuna_log import quiet_optuna


@pytest.fixture
def records() -> list[str]:
    """What Optuna logs, at a verbosity of its own."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    before = optuna.logging.get_verbosity()
    logging.getLogger("optuna").addHandler(handler)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    yield messages
    optuna.logging.set_verbosity(before)
    logging.getLogger("optuna").removeHandler(handler)


def test_a_study_is_made_without_a_word(records: list[str]) -> None:
    with quiet_optuna():
        optuna.create_study()
    assert records == []
    optuna.create_study()
    assert len(records) == 1


def test_the_verbosity_comes_back_after_an_error_too(records: list[str]) -> None:
    with pytest.raises(KeyError), quiet_optuna():
        raise KeyError
    assert optuna.logging.get_verbosity() == optuna.logging.INFO

"""The study's book: trials as they were asked and told, in a journal that survives a kill at any moment.

Parameters are drawn in memory and reach the journal as one line with the whole trial, so no trial is ever
half asked. Each draw has a sampler seeded by the study's seed and the trial's number: a study that was
killed and resumed asks the same trials as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from nofx_pipelines.hpo.space import SearchSpace
from nofx_pipelines.search.study_lock import study_lock
from nofx_pipelines.search.trials import Outcome

STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}
_STARTUP_TRIALS = 8
"""Trials at random before the sampler models them."""


class _Held(JournalFileOpenLock):
    """The journal's own lock, not needed: one process holds the study's file lock throughout."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


@dataclass(frozen=True)
class _Copy:
    """A study in one storage."""

    study: optuna.Study
    storage: BaseStorage
    study_id: int

    def tell(self, outcome: Outcome, finished: datetime) -> None:
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, outcome.number)
        for step, value in enumerate(outcome.steps):
            self.storage.set_trial_intermediate_value(trial_id, step, value)
        told = {**outcome.as_dict(), "finished": finished.isoformat()}
        self.storage.set_trial_user_attr(trial_id, "outcome", json.dumps(told))
        values = None if outcome.rank_ic is None else [outcome.rank_ic]
        if outcome.state == "PRUNED":
            values = [outcome.steps[-1]]
        self.storage.set_trial_state_values(trial_id, STATES[outcome.state], values)


class StudyLedger:
    """Asks and tells the trials of one study; open it with :func:`open_ledger`."""

    def __init__(self, path: Path, name: str, space: SearchSpace, seed: int) -> None:
        self.name, self.space, self.seed = name, space, seed
        self._distributions = space.distributions()
        _drop_torn_line(path)
        self._stored = _copy(JournalStorage(JournalFileBackend(str(path), lock_obj=_Held(str(path)))), name)
        self._drawn = _copy(InMemoryStorage(), name)
        for trial in self._stored.study.get_trials(deepcopy=False):
            self._drawn.study.add_trial(trial)

    def trials(self) -> list[FrozenTrial]:
        """All trials in the order in which they were asked."""
        return self._stored.study.get_trials(deepcopy=False)

    @property
    def study(self) -> optuna.Study:
        """The stored study, for importance and dashboards."""
        return self._stored.study

    def ask(self, started: datetime) -> FrozenTrial:
        """Draw the next trial's parameters and write it down."""
        number = len(self.trials())
        study = self._drawn.study
        entropy = np.random.SeedSequence([self.seed, number]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(seed=int(entropy[0]), n_startup_trials=_STARTUP_TRIALS)
        if number == 0:
            study.enqueue_trial(self.space.first_params)
        params = study.ask(self._distributions).params
        asked = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=self._distributions,
            user_attrs={"started": started.isoformat()},
        )
        self._stored.study.add_trial(asked)
        return self.trials()[number]

    def tell(self, outcome: Outcome, finished: datetime) -> None:
        """Write down what came of a trial."""
        self._stored.tell(outcome, finished)
        self._drawn.tell(outcome, finished)


def told(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """What was told of a trial, None while it runs."""
    return json.loads(trial.user_attrs["outcome"]) if trial.state.is_finished() else None


@contextmanager
def open_ledger(folder: Path, name: str, space: SearchSpace, seed: int) -> Iterator[StudyLedger]:
    """The ledger of the study ``name`` in ``folder``, held by one process at a time.

    Waits for another process that holds it, ModelError where that takes too long (`study_lock`).
    """
    with study_lock(folder, name), _quiet():
        yield StudyLedger(folder / f"{name}.journal", name, space, seed)


def _copy(storage: BaseStorage, name: str) -> _Copy:
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    return _Copy(study, storage, storage.get_study_id_from_name(name))


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed writer left after the last whole line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's log at warnings while a study is open."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

"""The study's book: trials as they were asked and what came of them, in a journal that survives any kill.

Parameters are proposed in memory and reach the journal as one line with the whole trial, so no trial is ever
half asked. A proposal has the study's seed and the trial's number: a study that was killed and resumed asks
the same trials as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from nofx_pipelines.models.space import SearchSpace
from nofx_pipelines.search.optuna_log import quiet_optuna
from nofx_pipelines.search.samplers import Observation, Sampler
from nofx_pipelines.search.study_lock import study_lock
from nofx_pipelines.search.trials import Outcome

STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}


class _NoLock(JournalFileOpenLock):
    """The journal's own lock, not needed: one process holds the study's file lock throughout."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class StudyLedger:
    """Asks and tells the trials of one study; open it with :func:`open_ledger`."""

    def __init__(
        self, path: Path, name: str, family: str, space: SearchSpace, sampler: Sampler, seed: int
    ) -> None:
        self.name, self.family, self.space, self.seed = name, family, space, seed
        self._sampler, self._distributions = sampler, space.distributions()
        _drop_torn_line(path)
        self._storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock(str(path))))
        self.study: optuna.Study = optuna.create_study(
            storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
        )

    def trials(self) -> list[FrozenTrial]:
        """All trials in the order in which they were asked."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, started: datetime) -> FrozenTrial:
        """Take the next trial's parameters and write it down; the first trial is the space's own."""
        history = [_observation(trial) for trial in self.trials()]
        number, params = len(history), self.space.first_params
        if number:
            params = dict(self._sampler.propose(self.space, history, number, self.seed))
        trial = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=self._distributions,
            user_attrs={"started": started.isoformat()},
        )
        self.study.add_trial(trial)
        return self.trials()[number]

    def tell(self, outcome: Outcome, finished: datetime) -> None:
        """Write down what came of a trial."""
        study_id = self._storage.get_study_id_from_name(self.name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, outcome.number)
        for step, value in enumerate(outcome.steps):
            self._storage.set_trial_intermediate_value(trial_id, step, value)
        answer = {**outcome.as_dict(), "finished": finished.isoformat()}
        self._storage.set_trial_user_attr(trial_id, "outcome", json.dumps(answer))
        values = None if outcome.rank_ic is None else [outcome.rank_ic]
        if outcome.state == "PRUNED":
            values = [outcome.steps[-1]]
        self._storage.set_trial_state_values(trial_id, STATES[outcome.state], values)


def outcome_of(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """What came of a trial, None while it runs."""
    return json.loads(trial.user_attrs["outcome"]) if trial.state.is_finished() else None


@contextmanager
def open_ledger(
    folder: Path, name: str, family: str, space: SearchSpace, sampler: Sampler, seed: int
) -> Iterator[StudyLedger]:
    """The ledger of a study, held by one process at a time.

    Waits for another process that holds it, ModelError where that takes too long (`study_lock`).

    Parameters
    ----------
    folder:
        Where its journal lies.
    name:
        The study's, and the journal's.
    family:
        The model family whose parameters are searched.
    space:
        What is searched.
    sampler:
        Who proposes trials.
    seed:
        The study's.
    """
    with study_lock(folder, name), quiet_optuna():
        yield StudyLedger(folder / f"{name}.journal", name, family, space, sampler, seed)


def _observation(trial: FrozenTrial) -> Observation:
    # a plug-in may do what it likes with a copy
    steps = tuple(trial.intermediate_values.values())
    return Observation(trial.number, dict(trial.params), trial.state.name, trial.value, steps)


def _drop_torn_line(path: Path) -> None:
    """Cut off what a killed writer left after the last whole line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)

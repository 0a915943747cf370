"""The one tree of exceptions.

NofxError
├── ConfigError            nofx.toml or a command-line value breaks a rule
│   └── AbsentPlugin       nofx.toml names a plug-in whose file or module is not there
├── PluginError            a user's member does not import, raises or returns what it must not
├── DataError              input that cannot be used
│   ├── UnrecognisedFile   no reader knows these columns
│   ├── CorruptFile        truncated, not decompressible, not text
│   ├── RuleNotCovered     no dated exchange rule for this market, board and day
│   └── NotEnoughData      too few sessions, instruments or labels for the step
├── CalendarError          a date outside a calendar's verified span, or no session
├── LakeError
│   ├── TableNotFound      nothing was ever written under this scope and name
│   ├── IntegrityError     a file's bytes differ from the recorded SHA-256
│   ├── OutsideRange       rows outside the range that a commit replaces
│   └── CommitConflict     another writer won, more often than we retry
├── FeatureError           a feature set that cannot be lowered or computed
├── LeakError              something at or before the cut moved with the future
├── ModelError
│   ├── ModelNotFound      no such registered model, version or alias
│   └── CodeChanged        a reproduction was asked of other code than recorded
├── StorageError           the home's disk is full, or not ours to write
├── WaitTimeout            another process still holds what is waited for
└── MissingExtra           an optional package is not installed

A message names the bad value, the rule, what was kept and the next command.
"""

from __future__ import annotations


class NofxError(Exception):
    """What failed, what was kept and what to type next.

    >>> print(NofxError("horizon = 0 is below 1", kept="nothing was written", hint="set horizon = 5"))
    horizon = 0 is below 1; nothing was written. Next: set horizon = 5
    """

    def __init__(self, problem: str, *, kept: str | None = None, hint: str | None = None) -> None:
        self.problem = problem
        self.kept = kept
        self.hint = hint
        text = problem if kept is None else f"{problem}; {kept}"
        super().__init__(text if hint is None else f"{text}. Next: {hint}")


class ConfigError(NofxError):
    """nofx.toml or a command-line value breaks a rule."""


class AbsentPlugin(ConfigError):
    """nofx.toml names a plug-in whose file or module is not there; what does not name it goes on."""


class PluginError(NofxError):
    """A user's member does not import, raises, or returns what it must not; the message names it."""


class DataError(NofxError):
    """Input that cannot be used."""


class UnrecognisedFile(DataError):
    """No reader knows these columns."""


class CorruptFile(DataError):
    """Truncated, not decompressible, or not text."""


class RuleNotCovered(DataError):
    """No dated exchange rule for this market, board and day."""


class NotEnoughData(DataError):
    """Too few sessions, instruments or labels for the step."""


class CalendarError(NofxError):
    """A date outside a calendar's verified span, or not a session."""


class LakeError(NofxError):
    """A table could not be read or written."""


class TableNotFound(LakeError):
    """Nothing was ever written under this scope and name."""


class IntegrityError(LakeError):
    """A file's bytes differ from the SHA-256 recorded with the commit."""


class OutsideRange(LakeError):
    """Rows outside the range that a commit replaces."""


class CommitConflict(LakeError):
    """Another writer won, more often than we retry."""


class FeatureError(NofxError):
    """A feature set that cannot be lowered or computed."""


class LeakError(NofxError):
    """Something at or before the cut moved with the future."""


class ModelError(NofxError):
    """A model could not be trained, registered or loaded."""


class ModelNotFound(ModelError):
    """No such registered model, version or alias."""


class CodeChanged(ModelError):
    """A reproduction was asked of other code than the one recorded."""


class StorageError(NofxError):
    """The home's disk is full, or not ours to write."""


class WaitTimeout(NofxError):
    """Another process still holds what is waited for, at the end of the limit."""


class MissingExtra(NofxError):
    """An optional package is not installed."""

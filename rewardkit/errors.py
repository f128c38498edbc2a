"""Every error that rewardkit raises on purpose, in one tree.

    RewardkitError                 anything foreseen; exit code 1
    ├── JobFailed                  the job ran and did not succeed (too many failures, a stage broke)
    └── UserError                  the user can fix it; exit code 2
        ├── ConfigError            a config file, key or value
        ├── DataError              an input file, a column, a row
        ├── StoreError             a database: foreign, newer, unreachable
        │   └── NoDatabaseError    nothing is stored there yet
        ├── NotFinishedError       a stage needs the result of one that has not finished
        ├── ModelError             a model folder, tokenizer or head
        ├── OutputError            a place that cannot be written
        └── MissingExtraError      a package of an extra is not installed

An error is classified once, where it is first understood, and says what happened, where, what was
expected and how to fix it. A bad item among good ones is a record (a reject, a failed label), never
an exception. Anything that is not a RewardkitError is a bug and keeps its traceback.
"""

from __future__ import annotations


class RewardkitError(Exception):
    """Base of every foreseen error.

    Args:
        what: What went wrong, in one clause.
        where: File, line, key or record at fault.
        expected: What would have been right.
        fix: What the user can do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.where, self.expected, self.fix = what, where, expected, fix
        super().__init__(what)

    def __str__(self) -> str:
        """Join the parts that are known into the message that the command line prints."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        parts = [head]
        if self.expected:
            parts.append(f"  expected: {self.expected}")
        if self.fix:
            parts.append(f"  fix: {self.fix}")
        return "\n".join(parts)


class JobFailed(RewardkitError):
    """A job ran and did not succeed."""


class UserError(RewardkitError):
    """Something that the user can fix."""

    exit_code = 2


class ConfigError(UserError):
    """A config file, a key or a value is wrong."""


class DataError(UserError):
    """An input file, a column or a row is wrong."""


class StoreError(UserError):
    """A database is foreign, newer than the code, or unreachable."""


class NoDatabaseError(StoreError):
    """Nothing is stored there yet: no file, or a database without tables."""


class NotFinishedError(UserError):
    """A stage needs the result of another one, which has not finished.

    Args:
        stage: The stage that has to be run first.
        where: Its folder.
    """

    def __init__(self, stage: str, *, where: str) -> None:
        self.stage = stage
        super().__init__(
            f"needs the result of the stage {stage!r}, which has not finished",
            where=where,
            fix=f"rewardkit {stage} CONFIG   (or rewardkit run CONFIG for all stages)",
        )


class ModelError(UserError):
    """A model, its tokenizer or its head cannot be used."""


class OutputError(UserError):
    """A place cannot be written."""


class MissingExtraError(UserError):
    """A package that belongs to an extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is needed here and is not installed",
            fix=f'pip install "rewardkit[{extra}]"',
        )

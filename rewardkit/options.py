"""The command line's options: those that verbs share, and what they say where a config has the same keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.errors import ConfigError

if TYPE_CHECKING:
    from rewardkit.config import JobConfig

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The job's YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the config; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Run even if complete and unchanged.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run and how large it is; do nothing.")]


def load_job(config: Path, overrides: Sequence[str] | None) -> JobConfig:
    """Read and validate a verb's config.

    Raises:
        ConfigError: The file or an override is wrong.
    """
    from rewardkit.config import load_config

    return load_config(config, overrides or ())


@contextmanager
def checked_options(verb: str = "import") -> Iterator[None]:
    """Name the option from which a value came that its section of a config refuses.

    Args:
        verb: Whose options they are.

    Raises:
        ConfigError: A value is wrong.
    """
    from pydantic import ValidationError

    from rewardkit.complaints import complaint

    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            # Options that do not go together are no single option's fault.
            raise ConfigError(complaint(first), where=verb, fix=f"see rewardkit {verb} --help") from error
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(
            f"{complaint(first)}, got {first['input']!r}",
            where=option,
            fix=f"correct {option}: rewardkit {verb} --help",
        ) from error


def mapping_of(items: Sequence[str]) -> dict[str, str]:
    """Return the columns that `--map FIELD=COLUMN` names, by field.

    Raises:
        ConfigError: An item is of another form.
    """
    found = {}
    for item in items:
        field, separator, column = item.partition("=")
        if not separator or not field or not column:
            raise ConfigError(f"cannot read {item!r}", where="--map", expected="field=column")
        found[field] = column
    return found

"""What the command line's own options say, where a config has the same keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rewardkit.errors import ConfigError


@contextmanager
def checked_options() -> Iterator[None]:
    """Name the option from which a value came that its section of a config refuses.

    Raises:
        ConfigError: A value is wrong.
    """
    from pydantic import ValidationError

    from rewardkit.complaints import complaint

    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(
            f"{complaint(first)}, got {first['input']!r}",
            where=option,
            fix=f"correct {option}: rewardkit import --help",
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

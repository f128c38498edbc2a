"""YAML files that hold one validated record each, and those that are found by a name: rubrics, notes, constitutions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rewardkit.complaints import complaint
from rewardkit.errors import ConfigError
from rewardkit.registry import suggestion
from rewardkit.yaml_files import read_yaml

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, kind: type[Record], what: str, *, expected: str = "", see: str = "") -> Record:
    """Read a file.

    Args:
        path: The file.
        kind: What it holds.
        what: The same in words, for the error.
        expected: What would be right.
        see: Where such files are.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"not a valid {what}: {f'{key}: ' if key else ''}{complaint(first)}",
            where=str(path),
            expected=expected,
            fix=f"correct {key or 'the file'}{f'; see {see}' if see else ''}",
        ) from error


def names_in(folders: Sequence[Path]) -> list[str]:
    """Return the names of the YAML files in some folders."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def find_named(name: str, folders: Sequence[Path], what: str) -> Path:
    """Return a file by its path, or by its name in the first of some folders that has it.

    Raises:
        ConfigError: None has it; the nearest name is suggested.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    for folder in folders:
        if (path := folder / f"{name}.yaml").is_file():
            return path
    known = names_in(folders)
    raise ConfigError(
        f"no {what} is called {name!r}",
        where=str(folders[0].absolute()),
        expected=f"{', '.join(known) or f'no {what} is there'}, or a path ending in .yaml",
        fix=suggestion(name, dict.fromkeys(known)),
    )

"""YAML files as configs and rubrics are written: safe, and without a key that YAML would silently drop."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rewardkit.errors import ConfigError
from rewardkit.paths import looked_in


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is a list or mapping", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str, *, where: str, fix: str) -> Any:
    """Return the value of a YAML text.

    Args:
        text: The YAML.
        where: What the error names.
        fix: What the error advises.

    Raises:
        ConfigError: It is not YAML, or a mapping gives a key twice.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader subclass
    # PyYAML lets through what Python says of a date or number that is none, and of too deep a nesting.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=where, fix=fix) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: The file is missing, unreadable, not YAML, no mapping, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        fix = f"check the path{looked_in(path)}"
        raise ConfigError("the config file does not exist", where=str(path), fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the config file cannot be read: {error}", where=str(path), expected="a text file in UTF-8"
        ) from error
    data = parse_yaml(text, where=str(path), fix="correct the file at the place named")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("the file is not a mapping", where=str(path), expected="key: value lines")
    return data

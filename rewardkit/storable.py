"""What databases hold: texts without the characters that models may write and the store refuses.

Imports refuse a row with such a character; what a model said, and was paid for, is kept with the character marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

MARK = "\N{REPLACEMENT CHARACTER}"


def storable(value: Any) -> Any:
    """Return a value whose texts can be stored; halves of characters are joined or marked, and so are zero bytes.

    A reply that was cut may end with half of a character, and JSON can write any.

    Args:
        value: A text, or mappings, lists, tuples and dataclasses that hold some; whatever else stays as it is.
    """
    if isinstance(value, str):
        # Most texts are as they should be.
        if "\0" not in value and (value.isascii() or _is_whole(value)):
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", MARK)
    if isinstance(value, Mapping):
        marked = {storable(key): storable(item) for key, item in value.items()}
        return value if marked == value else marked
    if isinstance(value, (list, tuple)):
        return type(value)(map(storable, value))
    if is_dataclass(value) and not isinstance(value, type):
        marked = {each.name: storable(getattr(value, each.name)) for each in fields(value)}
        # Nearly all are as they should be, and copies of millions would be felt.
        changed = {name: item for name, item in marked.items() if item != getattr(value, name)}
        return replace(value, **changed) if changed else value
    return value


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

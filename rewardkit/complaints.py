"""What pydantic complains of, in the words of whoever has to correct it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

OWN = ("Value error, ", "Assertion failed, ")
"""What stands before the words of a validator of ours."""


def complaint(error: ErrorDetails) -> str:
    """Return what is wrong, without the place."""
    if error["type"] == "string_pattern_mismatch":
        return "does not have the form that is expected"
    said = error["msg"]
    for own in OWN:
        said = said.removeprefix(own)
    return said

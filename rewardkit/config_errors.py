"""From pydantic's complaint about a config to one error that names the key, and the right one where it is misspelt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rewardkit.complaints import complaint
from rewardkit.errors import ConfigError

MOST_PLACES = 3
Location = tuple[int | str, ...]
Model = type[BaseModel]


def config_error(root: Model, path: str, error: ValidationError, overrides: Sequence[str]) -> ConfigError:
    """Turn pydantic's first complaint into one error.

    Args:
        root: What the whole config is read as.
        path: Of its file.
        error: What pydantic says.
        overrides: Items of the form "a.b=value"; a wrong one is named in the file's place.
    """
    # What is misspelt is often missing too, and is what the user has to look at.
    first = next((each for each in error.errors() if each["type"] == "extra_forbidden"), error.errors()[0])
    key = ".".join(str(part) for part in first["loc"])
    where = next((f"--set {item}" for item in overrides if item.partition("=")[0] == key), path)
    if first["type"] == "extra_forbidden":
        return _unknown(root, first["loc"], where)
    others = len(error.errors()) - 1
    more = f" (and {others} more)" if others else ""
    if first["type"] == "missing":
        return ConfigError(f"the key {key!r} is missing{more}", where=where, fix=f"add {key}")
    return _wrong(root, first, where, more)


def _wrong(root: Model, first: ErrorDetails, where: str, more: str) -> ConfigError:
    key, said = ".".join(str(part) for part in first["loc"]), complaint(first)
    got = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
    field = _field_at(root, first["loc"])
    examples = field.examples if field and first["type"] == "string_pattern_mismatch" else None
    # Of a whole section, such as shares that do not sum to 1, no value is shown.
    return ConfigError(
        f"{key}: {said}{got}{more}" if key else f"{said}{more}",
        where=where,
        expected=f"such as {' or '.join(map(str, examples))}" if examples else "",
        fix=f"correct {key or 'the file'}",
    )


def _unknown(root: Model, location: Location, where: str) -> ConfigError:
    key = str(location[-1])
    section = _section_at(root, location[:-1])
    names = list(_fields(section)) if section else []
    meant = _meant(root, location, names)
    return ConfigError(
        f"unknown key {'.'.join(map(str, location))!r}",
        where=where,
        expected=", ".join(names),
        fix=f"did you mean {' or '.join(map(repr, meant))}?" if meant and key else "",
    )


def _meant(root: Model, location: Location, names: Sequence[str]) -> list[str]:
    """Return what may be meant: a key of that name further below, else one like it here, else one of that name."""
    key, here = str(location[-1]), "".join(f"{part}." for part in location[:-1])
    places = [place for place, last in _places(root, "") if last == key]
    below = [place for place in places if place.startswith(here)]
    close = get_close_matches(key, names, n=1, cutoff=0.5)
    return (below or close or places)[:MOST_PLACES]


def _places(section: Model, before: str) -> Iterator[tuple[str, str]]:
    """Yield all keys of a section and of those in it: the whole place, and its last part."""
    for name, field in _fields(section).items():
        yield f"{before}{name}", name
        inner = _section_of(field.annotation)
        if inner is not None:
            several = "[]" if _is_list(field.annotation) else ""
            yield from _places(inner, f"{before}{name}{several}.")


def _fields(section: Model) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _field_at(root: Model, location: Location) -> FieldInfo | None:
    names = [part for part in location if isinstance(part, str)]
    section = _section_at(root, tuple(names[:-1]))
    return _fields(section).get(names[-1]) if section and names else None


def _section_at(root: Model, location: Location) -> Model | None:
    """Return the section at a location."""
    section = root
    for part in location:
        if isinstance(part, int):
            continue
        field = _fields(section).get(part)
        found = _section_of(field.annotation) if field else None
        if found is None:
            return None
        section = found
    return section


def _section_of(annotation: Any) -> Model | None:
    """Return the config section inside an annotation such as `Section | None` or `tuple[Section, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_of(each) for each in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)


def _is_list(annotation: Any) -> bool:
    inner = getattr(annotation, "__args__", ())
    return getattr(annotation, "__origin__", None) in (tuple, list) or any(map(_is_list, inner))

"""What the importer says of a file, in the words of the page where somebody brought it.

The importer speaks of paths and of options of the command line; whoever dropped a file knows its name and a form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rewardkit.errors import DataError
from rewardkit.store.importing_detect import Plan
from rewardkit.store.importing_formats import FORMATS

COLUMNS = "Columns under other names"
"""The field of the form that says which column is which."""
ROWS = (
    "a comparison (prompt, response_a, response_b), a preference (chosen, rejected), "
    "or a single response (prompt, response)"
)
_OPTION = re.compile(r"--map (\S+)")
_IN_THE_CONSOLE = "`rewardkit label`"


def in_the_form(error: DataError, file: Path) -> DataError:
    """Return what is wrong with a file, with the file's name and the form's fields."""
    what, where, expected, fix = (
        text.replace(str(file), file.name) for text in (error.what, error.where, error.expected, error.fix)
    )
    if columns := _OPTION.findall(fix):
        expected = ROWS
        fix = f"write under “{COLUMNS}”, one a line, which column of the file is which: {', '.join(columns)}"
    what, where = _OPTION.sub(rf"\1 under “{COLUMNS}”", what), _OPTION.sub(rf"“{COLUMNS}”, \1", where)
    return DataError(what, where=where, expected=expected, fix=fix)


def remarks(plan: Plan, pairs: int) -> Iterator[str]:
    """Say what a researcher would want to know before they take a file in.

    Args:
        plan: How the file is understood.
        pairs: How many pairs are formed of its responses.
    """
    yield from (each for each in plan.remarks() if _IN_THE_CONSOLE not in each)
    if pairs:
        yield "Nothing in it is compared yet: “Import and add” stores the responses and pairs those of one prompt."
    elif plan.format is FORMATS["responses"]:
        yield "Each prompt has a single response in it, and nothing to compare it with."

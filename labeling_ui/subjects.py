"""What is labelled: a prompt with one response (rating), two (comparison) or up to eight (ranking)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.errors import DataError
from rewardkit.store.rows import KINDS
from rewardkit.store.tables import prompts, responses
from rewardkit.types import Prompt, Response

Task = Literal["comparison", "ranking", "rating"]
SIZES: dict[Task, tuple[int, int]] = {"comparison": (2, 2), "ranking": (3, 8), "rating": (1, 1)}


@dataclass(frozen=True)
class Subject:
    """One prompt, and the responses that are labelled together.

    Attributes:
        prompt: What they answer.
        responses: Sorted by id, as in a comparison.
    """

    prompt: Prompt
    responses: tuple[Response, ...]


_TEXTS = (
    sa.select(responses, prompts)
    .join_from(responses, prompts, responses.c.prompt_id == prompts.c.id)
    .where(responses.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(responses.c.id)
)


def load_subject(connection: Connection, ids: Sequence[str]) -> Subject:
    """Read responses and their prompt.

    Args:
        connection: To the store.
        ids: Of the responses.

    Raises:
        DataError: A response is not in the store.
    """
    columns = len(KINDS["responses"].columns)
    rows = connection.execute(_TEXTS, {"ids": list(ids)}).all()
    if len(rows) != len(set(ids)):
        raise DataError("a response that is to be labelled is not in the store", where=", ".join(ids))
    found = tuple(KINDS["responses"].decode(row[:columns]) for row in rows)
    return Subject(KINDS["prompts"].decode(rows[0][columns:]), found)


def require_one_prompt(connection: Connection, sets: Sequence[Sequence[str]]) -> None:
    """Check sets of responses before they become items.

    Raises:
        DataError: A response is not in the store, or those of a set answer different prompts.
    """
    named = {each for ids in sets for each in ids}
    found = connection.execute(sa.select(responses.c.id, responses.c.prompt_id).where(responses.c.id.in_(named)))
    prompt_of = {row.id: row.prompt_id for row in found}
    for ids in sets:
        if not prompt_of.keys() >= set(ids):
            raise DataError("a response that is to be labelled is not in the store", where=", ".join(ids))
        if len({prompt_of[each] for each in ids}) > 1:
            raise DataError("responses to different prompts cannot be labelled together", where=", ".join(ids))

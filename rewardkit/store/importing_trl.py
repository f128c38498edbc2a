"""TRL's preference formats: chosen and rejected, as texts or conversations, with or without a prompt.

References:
    TRL, "Dataset formats and types": standard and conversational preference data, implicit prompts.
"""

from __future__ import annotations

import re
from os.path import commonprefix
from typing import Any

from rewardkit.store.importing_rows import RowError, messages_of, number_of
from rewardkit.types import Message

# Where the last turn begins in a transcript kept as one text (hh-rlhf and its kin).
TURN = re.compile(r"(?:\A|\n)[#\s]*(?:assistant|bot|ai|model|response|answer|output)\s*:", re.IGNORECASE)


def preference_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as one of the comparison format, with the chosen response as A."""
    conversational = isinstance(row.get("chosen"), (list, tuple))
    prompt, chosen, rejected = _conversations(row) if conversational else _texts(row)
    turned = {**row, "prompt": prompt, "response_a": chosen, "response_b": rejected, "preference": 1.0, "labels": None}
    for name in ("choice", "winner", "model_a", "model_b"):
        turned.pop(name, None)
    if turned.get("source") not in ("human", "judge"):
        # In these files it commonly names where the prompt was taken from.
        turned.pop("source", None)
    # And this names the part of a data set that the row was taken from ("train_prefs").
    turned.pop("split", None)
    turned.update(_strength(row))
    return turned


def _strength(row: dict[str, Any]) -> dict[str, float]:
    """Read the two scores; their difference is a strength only where it agrees with the choice."""
    if row.get("score_chosen") in (None, "") or row.get("score_rejected") in (None, ""):
        return {}
    chosen, rejected = (
        number_of(row["score_chosen"], "score_chosen"),
        number_of(row["score_rejected"], "score_rejected"),
    )
    scores = {"score_a": chosen, "score_b": rejected}
    return {**scores, "strength": chosen - rejected} if chosen > rejected else scores


def _texts(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise RowError("chosen and rejected are not both texts or both conversations")
    if row.get("prompt") is not None:
        return row["prompt"], chosen, rejected
    if chosen == rejected:
        raise RowError("the two responses are identical")
    cut = _prompt_length(commonprefix((chosen, rejected)))
    return chosen[:cut], chosen[cut:].strip(), rejected[cut:].strip()


def _prompt_length(common: str) -> int:
    """Return where the prompt ends: after the last turn's mark, or else before the last white space."""
    marks = list(TURN.finditer(common))
    if marks:
        return marks[-1].end()
    words = common.rstrip()
    if len(words) < len(common):
        return len(words)
    return max((at for at, letter in enumerate(common) if letter.isspace()), default=0)


def _conversations(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    chosen, rejected = messages_of(row["chosen"], "chosen"), messages_of(row.get("rejected"), "rejected")
    if row.get("prompt") is None:
        pairs = enumerate(zip(chosen, rejected, strict=False))
        length = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(chosen), len(rejected)))
        prompt = chosen[:length]
    else:
        prompt = messages_of(row["prompt"], "prompt")
        # Some data sets repeat the prompt at the head of both conversations.
        repeated = prompt and chosen[: len(prompt)] == rejected[: len(prompt)] == prompt
        length = len(prompt) if repeated else 0
    return prompt, _reply(chosen[length:], "chosen"), _reply(rejected[length:], "rejected")


def _reply(messages: tuple[Message, ...], name: str) -> str:
    if not messages:
        raise RowError(f"{name} is empty after the shared prompt")
    if len(messages) > 1 or messages[0].role != "assistant":
        roles = ", ".join(message.role for message in messages)
        raise RowError(f"{name} does not end in one reply of the assistant after the prompt (roles: {roles})")
    return messages[0].content

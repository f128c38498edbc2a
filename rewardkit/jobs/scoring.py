"""`rewardkit score`: rewards and calibrated probabilities for a stream of prompts and responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardkit.errors import DataError
from rewardkit.jobs.scoring_files import Chunk, Row, as_line, check_place, read_chunks, write_scores
from rewardkit.scorer import RewardModel, messages_of
from rewardkit.types import Message

if TYPE_CHECKING:
    from rewardkit.reward_model.scoring import Rewards

FIELDS = "prompt with response, response_a and response_b, or responses"
Form = Literal["one", "pair", "many"]
TEXTS = ("prompt", "response", "response_a", "response_b", "responses")


@dataclass(frozen=True)
class Asked:
    """A row that can be scored.

    Attributes:
        row: As it was read.
        form: Whether it asked by `response`, by `response_a` and `response_b`, or by `responses`.
        prompt: The prompt's messages.
        responses: The texts to be scored, one, two or many.
    """

    row: Row
    form: Form
    prompt: tuple[Message, ...]
    responses: list[str]


def score_into(model_path: Path, file: str, out: Path) -> dict[str, Any]:
    """Score a file into another (`rewardkit score --out`).

    Args:
        model_path: Folder of a reward model.
        file: As for `score`.
        out: JSON Lines, or Parquet by its name's ending.

    Returns:
        The counts of rows by status, and the file.

    Raises:
        UserError: As `score` and `write_scores` do; or `out` would replace what is read.
    """
    check_place(out, file, model_path)
    return write_scores(score(model_path, file), out)


def score(model_path: Path, file: str) -> Iterator[Row]:
    """Score a file, row by row, in its order.

    A row has a `prompt` (text or messages; none is an empty prompt) and either `response`, or
    `response_a` and `response_b`, or `responses`. It comes back without its texts and with `reward`, or
    `reward_a`, `reward_b`, `margin` and the calibrated `p_a` (null for a model that was never calibrated),
    or `rewards`. An ensemble adds `spread` (between its members) and `disagreement` (of a margin), a model with a
    variance head `noise`, one that has learned criteria adds them, and `unlike` says how a text differs from those that
    the model was calibrated on. A row that cannot be scored comes back with `status: failed` and the reason.

    Args:
        model_path: Folder of a reward model.
        file: JSON Lines or Parquet; "-" is JSON Lines on standard input, of which each row is answered as
            soon as no other waits.

    Raises:
        DataError: The file is missing, damaged or of another kind, or may not be read.
        ModelError: The folder is no reward model.
        MissingExtraError: A package of the extra `train` is not installed.
    """
    chunks = read_chunks(file)
    # Whatever is wrong with the file is told before a model is loaded.
    first = next(chunks, None)
    model = RewardModel.load(model_path)
    for chunk in chain([] if first is None else [first], chunks):
        yield from _score_chunk(model, chunk)


def _score_chunk(model: RewardModel, chunk: Chunk) -> Iterator[Row]:
    asked = [(number, _asked(row)) for number, row in chunk]
    conversations = [(item.prompt, text) for _, item in asked if isinstance(item, Asked) for text in item.responses]
    rewards = model.score([prompt for prompt, _ in conversations], [text for _, text in conversations])
    at = 0
    for number, item in asked:
        if isinstance(item, str):
            yield {"line": number, "status": "failed", "reason": item}
            continue
        part = slice(at, at + len(item.responses))
        at = part.stop
        answer = {**_kept(item.row), "line": number, "status": "ok", "truncated": bool(rewards.truncated[part].any())}
        reason = next(filter(None, rewards.reasons[part]), "")
        if reason:
            yield {**answer, "status": "failed", "reason": reason}
        else:
            yield {**answer, **_numbers(item, rewards, part, model)}


def _asked(row: Row | str) -> Asked | str:
    """Check one row; the reason is returned where it cannot be scored."""
    if isinstance(row, str):
        return row
    try:
        as_line(row)
    except UnicodeEncodeError:
        return "a text holds half of a surrogate pair, which is no character"
    form, responses = _responses(row)
    if not responses:
        found = ", ".join(key for key, value in row.items() if value is not None)
        return f"no response; expected {FIELDS}, found {found or 'nothing'}"
    if not all(isinstance(text, str) and text.strip() for text in responses):
        return "a response is empty or no text"
    try:
        return Asked(row, form, messages_of(row.get("prompt")), responses)
    except DataError as error:
        return error.what


def _responses(row: Row) -> tuple[Form, list[Any]]:
    """Return what a row asks for; nothing where it has no response.

    A column is in every row of a table, so that it is there says nothing: its value does.
    """
    if "response_a" in row and "response_b" in row:
        pair = [row["response_a"], row["response_b"]]
        if pair != [None, None]:
            return "pair", pair
    if isinstance(row.get("responses"), list) and row["responses"]:
        return "many", list(row["responses"])
    return "one", [] if row.get("response") is None else [row["response"]]


def _kept(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in TEXTS}


def _numbers(item: Asked, rewards: Rewards, part: slice, model: RewardModel) -> Row:
    """Return what is said of a row: rewards, what members and criteria say where there are some, and probabilities."""
    found: Row = {}
    for name, values in _columns(rewards, part, model).items():
        if item.form == "many":
            found[name if name == "criteria" else f"{name}s"] = values
        else:
            found |= zip((name,) if item.form == "one" else (f"{name}_a", f"{name}_b"), values, strict=True)
    if item.form == "pair":
        found |= _pair(rewards.members[part], model)
    if model.calibration is not None and model.calibration.texts is not None:
        unlike = [how for text in item.responses for how in model.unlike(item.prompt, text)]
        found["unlike"] = list(dict.fromkeys(unlike))
    return found


def _columns(rewards: Rewards, part: slice, model: RewardModel) -> dict[str, list[Any]]:
    """Return what is said of each response."""
    names = [each.name for each in model.model.card.criteria]
    found: dict[str, list[Any]] = {"reward": rewards.values[part].tolist()}
    if model.members > 1:
        found["spread"] = rewards.spread[part].tolist()
    if rewards.noise is not None:
        found["noise"] = rewards.noise[part].tolist()
    if names:
        found["criteria"] = [dict(zip(names, each, strict=True)) for each in rewards.criteria[part].tolist()]
    return found


def _pair(members: NDArray[np.float64], model: RewardModel) -> Row:
    margins = members[0] - members[1]
    margin, calibration = float(margins.mean()), model.calibration
    found: Row = {"margin": margin, "p_a": float(calibration.predict_proba([margin])[0]) if calibration else None}
    return {**found, "disagreement": float(margins.std(ddof=1))} if len(margins) > 1 else found

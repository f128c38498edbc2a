"""`rewardkit score`: rewards and calibrated probabilities for a stream of prompts and responses."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from rewardkit import runs
from rewardkit.calibration.calibrators import CALIBRATION_FILE, Calibration
from rewardkit.errors import DataError
from rewardkit.extras import require_all
from rewardkit.types import Message

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

ROWS_AT_A_TIME = 256
FIELDS = "prompt with response, response_a and response_b, or responses"
_MESSAGES = TypeAdapter(tuple[Message, ...])
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A row that can be scored."""

    row: Row
    prompt: tuple[Message, ...]
    responses: list[str]


def score(model_path: Path, file: str) -> Iterator[Row]:
    """Score a file, row by row, in its order.

    A row has a `prompt` (text or messages; none is an empty prompt) and either `response`, or
    `response_a` and `response_b`, or `responses`. It comes back without its texts and with `reward`, or
    `reward_a`, `reward_b`, `margin` and the calibrated `p_a` (null for a model that was never calibrated),
    or `rewards`. A row that cannot be scored comes back with `status: failed` and the reason.

    Args:
        model_path: Folder of a reward model.
        file: JSON Lines or Parquet; "-" is JSON Lines on standard input.

    Raises:
        DataError: The file is missing or of another kind.
        ModelError: The folder is no reward model.
        MissingExtraError: A package of the extra `train` is not installed.
    """
    rows = read_rows(file)
    first = next(rows, None)
    require_all("train")
    from rewardkit.reward_model import folder

    model = folder.load(model_path)
    calibration = Calibration.load(model_path) if (model_path / CALIBRATION_FILE).exists() else None
    every = iter(()) if first is None else _chain(first, rows)
    while chunk := list(islice(every, ROWS_AT_A_TIME)):
        yield from _score_chunk(model, calibration, chunk)


def read_rows(file: str) -> Iterator[tuple[int, Row | str]]:
    """Yield (line number, row); a line that is no row comes as the reason why."""
    if file == "-":
        yield from _json_rows(sys.stdin.buffer)
        return
    path = Path(file)
    if not path.is_file():
        raise DataError("no such file", where=file, fix="check the path; - is standard input")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    else:
        with path.open("rb") as handle:
            yield from _json_rows(handle)


def _chain(first: tuple[int, Row | str], rest: Iterator[tuple[int, Row | str]]) -> Iterator[tuple[int, Row | str]]:
    yield first
    yield from rest


def _json_rows(lines: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield number, f"not UTF-8 (byte {error.start})"
        except json.JSONDecodeError as error:
            yield number, f"not JSON: {error.msg}"
        else:
            yield number, row if isinstance(row, dict) else "not a JSON object"


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row | str]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(ROWS_AT_A_TIME):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowInvalid as error:
        raise DataError(
            f"not a Parquet file: {error}", where=str(path), fix="write the file again, or name JSON Lines .jsonl"
        ) from error


def _score_chunk(
    model: LoadedModel, calibration: Calibration | None, chunk: Iterable[tuple[int, Row | str]]
) -> Iterator[Row]:
    from rewardkit.reward_model.scoring import reward

    asked = [(number, _asked(row)) for number, row in chunk]
    conversations = [(item.prompt, text) for _, item in asked if isinstance(item, Asked) for text in item.responses]
    rewards = reward(model, conversations)
    at = 0
    for number, item in asked:
        if isinstance(item, str):
            yield {"line": number, "status": "failed", "reason": item}
            continue
        part = slice(at, at + len(item.responses))
        at = part.stop
        yield _answer(number, item, rewards.values[part].tolist(), bool(rewards.truncated[part].any()), calibration)


def _asked(row: Row | str) -> Asked | str:
    """Check one row; the reason is returned where it cannot be scored."""
    if isinstance(row, str):
        return row
    responses = _responses(row)
    if responses is None:
        return f"no response; expected {FIELDS}, found {', '.join(row) or 'nothing'}"
    if not all(isinstance(text, str) and text.strip() for text in responses):
        return "a response is empty or no text"
    prompt = _prompt(row.get("prompt"))
    return prompt if isinstance(prompt, str) else Asked(row, prompt, responses)


def _responses(row: Row) -> list[str] | None:
    if "response_a" in row and "response_b" in row:
        return [row["response_a"], row["response_b"]]
    if isinstance(row.get("responses"), list) and row["responses"]:
        return list(row["responses"])
    return [row["response"]] if "response" in row else None


def _prompt(value: Any) -> tuple[Message, ...] | str:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Message(role="user", content=value),)
    try:
        return _MESSAGES.validate_python(value)
    except ValidationError:
        return "the prompt is neither text nor a list of messages with role and content"


def _answer(number: int, item: Asked, rewards: list[float], truncated: bool, calibration: Calibration | None) -> Row:
    kept = {
        k: v for k, v in item.row.items() if k not in ("prompt", "response", "response_a", "response_b", "responses")
    }
    answer: Row = {**kept, "line": number, "status": "ok", "truncated": truncated}
    if any(math.isnan(value) for value in rewards):
        return {**answer, "status": "failed", "reason": "longer than the model takes, and its policy is to drop"}
    if "response_a" in item.row and "response_b" in item.row:
        margin = rewards[0] - rewards[1]
        p_a = float(calibration.predict_proba([margin])[0]) if calibration else None
        return {**answer, "reward_a": rewards[0], "reward_b": rewards[1], "margin": margin, "p_a": p_a}
    if "response" in item.row:
        return {**answer, "reward": rewards[0]}
    return {**answer, "rewards": rewards}


def write_scores(rows: Iterable[Row], path: Path) -> dict[str, Any]:
    """Write scored rows as Parquet (by the name's ending) or JSON Lines; the file appears when it is whole.

    Returns:
        The counts of rows by status, and the file.

    Raises:
        OutputError: The place cannot be written.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Row]:
        for row in rows:
            counts[row["status"]] += 1
            yield row

    with runs.atomic_writer(path) as file:
        if path.suffix == ".parquet":
            _write_parquet(counted(), file)
        else:
            for row in counted():
                file.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
    return {"file": str(path), **counts}


def _write_parquet(rows: Iterable[Row], file: IO[bytes]) -> None:
    import pyarrow
    import pyarrow.parquet

    # Rows of different kinds have different columns, so the table is made of all of them at once.
    found = list(rows)
    columns = dict.fromkeys(key for row in found for key in row)
    table = pyarrow.table({name: [row.get(name) for row in found] for name in columns})
    pyarrow.parquet.write_table(table, file)

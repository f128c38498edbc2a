"""`rewardkit best-of`: the best of several responses to each prompt, as rows to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rewardkit.errors import DataError
from rewardkit.jobs.scoring_files import Chunk, Row, as_line, check_place, read_chunks, write_rows
from rewardkit.rl.selecting import Selecting, kl_upper_bound, rows_of, select
from rewardkit.scorer import RewardModel, messages_of
from rewardkit.types import Message

FAILED = ".failed.jsonl"


@dataclass(frozen=True)
class Candidates:
    """A prompt with responses to choose from.

    Attributes:
        prompt: As it stood in the file.
        messages: What the model is asked about.
        texts: The responses; None where one is no text or empty.
    """

    prompt: Any
    messages: tuple[Message, ...]
    texts: list[str | None]


@dataclass
class _Tally:
    """What happened on the way: counts, what gave no row and why, and how many responses there were."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Row] = field(default_factory=list)
    most: int = 0

    def fail(self, line: int, reason: str) -> None:
        self.failed.append({"line": line, "status": "failed", "reason": reason})


def select_into(model_path: Path, file: str, out: Path, how: Selecting) -> dict[str, Any]:
    """Choose among the responses of a file, and write rows to train on.

    A row of the file has a `prompt` (text or messages) and `responses`, a list of texts. A prompt of which nothing is
    kept is written with its line and the reason into a file beside `out`, since a trainer reads all that is in `out`.

    Args:
        model_path: Folder of a reward model.
        file: JSON Lines or Parquet; "-" is JSON Lines on standard input.
        out: JSON Lines, or Parquet by its name's ending.
        how: What is kept.

    Returns:
        The file, the counts of rows, prompts, ties and failures, and the bound on the KL where one is known.

    Raises:
        DataError: The file is missing, damaged or of another kind.
        ModelError: The folder is no reward model.
        OutputError: The place cannot be written, or what stands there would be destroyed.
    """
    beside = out.with_name(out.name + FAILED)
    for place in (out, beside):
        check_place(place, file, model_path)
    chunks, tally = read_chunks(file), _Tally()
    # Whatever is wrong with the file is told before a model is loaded.
    first = next(chunks, None)
    model = RewardModel.load(model_path)
    write_rows(_selected(model, chain([] if first is None else [first], chunks), how, tally), out)
    # One that is left of an earlier run would be about other rows.
    beside.unlink(missing_ok=True)
    if tally.failed:
        write_rows(tally.failed, beside)
    return _told(tally, out, beside, how)


def _selected(
    model: RewardModel, chunks: Iterator[Chunk] | chain[Chunk], how: Selecting, tally: _Tally
) -> Iterator[Row]:
    for chunk in chunks:
        found = [(number, _candidates(row, how.n)) for number, row in chunk]
        asked = [(c.messages, text) for _, c in found if isinstance(c, Candidates) for text in c.texts if text]
        rewards = iter(model.score([prompt for prompt, _ in asked], [text for _, text in asked]).values.tolist())
        for number, item in found:
            tally.counts["prompts"] += 1
            if isinstance(item, str):
                tally.fail(number, item)
                continue
            yield from _rows(number, item, [next(rewards) if text else np.nan for text in item.texts], how, tally)


def _rows(number: int, item: Candidates, rewards: list[float], how: Selecting, tally: _Tally) -> Iterator[Row]:
    chosen = select(rewards, how)
    tally.most = max(tally.most, len(rewards))
    tally.counts["responses"] += len(rewards)
    tally.counts["without_reward"] += int(np.isnan(rewards).sum())
    if isinstance(chosen, str):
        tally.fail(number, chosen)
        return
    tally.counts["ties"] += chosen.tied
    for row in rows_of(item.prompt, [text or "" for text in item.texts], rewards, chosen):
        tally.counts["rows"] += 1
        yield row


def _candidates(row: Row | str, n: int | None) -> Candidates | str:
    """Check one row; the reason is returned where it holds nothing to choose from."""
    if isinstance(row, str):
        return row
    responses = row.get("responses")
    if not isinstance(responses, list) or not responses:
        return "no responses; expected prompt and responses, a list of texts"
    try:
        as_line(row)
        prompt = row.get("prompt")
        texts = [text if isinstance(text, str) and text.strip() else None for text in responses[:n]]
        return Candidates("" if prompt is None else prompt, messages_of(prompt), texts)
    except UnicodeEncodeError:
        return "a text holds half of a surrogate pair, which is no character"
    except DataError as error:
        return error.what


def _told(tally: _Tally, out: Path, beside: Path, how: Selecting) -> dict[str, Any]:
    told: dict[str, Any] = {"file": str(out)}
    told |= {name: tally.counts[name] for name in ("rows", "prompts", "responses", "without_reward", "ties")}
    told |= {"failed": len(tally.failed)} | ({"failures": str(beside)} if tally.failed else {})
    if how.best_of and tally.most:
        told |= {"n": tally.most, "kl_upper_bound_nats": round(kl_upper_bound(tally.most), 4)}
    return told

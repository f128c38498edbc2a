"""The `replay` backend: what a judge said before, in files that `rewardkit import` reads, as if it said it now.

Verdicts are found by the item that a request is about and the order in which it shows the responses. A recorded
probability becomes that of the labels A and B, a recorded tie or its probability that of T (and one that both are bad
that of N) where these may be said and half of A and B elsewhere, a recorded rating that of the two numbers beside it,
and a recorded rationale the reply, word for word; nothing is made up. What was not recorded is a failure that says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rewardkit.config import ImportConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge_config import JudgeConfig, ReplayConfig
from rewardkit.paths import looked_in
from rewardkit.runs import file_hash
from rewardkit.store.importing import import_files
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Order, Rating, content_id

PAIR = frozenset({"A", "B"})
SURE = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}
NEITHER = {"tie": "T", "both_bad": "N"}
"""The labels by which protocols let a judge say that neither response is better."""
NOT_RECORDED = "not recorded"
FURTHER = f"{NOT_RECORDED}: one verdict is, and this is a further vote"
ANOTHER = "recorded is one verdict, and this is another question"


@dataclass
class Recorded:
    """What one judge said of items.

    Attributes:
        said: Label or rating, by what it is about ("COMPARISON_ID ORDER", "RESPONSE_ID CRITERION").
        without_order: Comparisons of which a verdict is recorded, but not in which order it was given.
    """

    said: dict[str, Label | Rating] = field(default_factory=dict)
    without_order: set[str] = field(default_factory=set)


class ReplayBackend:
    """Answers with what is recorded.

    Args:
        model: The recorded annotator's name.
        replay: Where it is recorded.

    Raises:
        DataError: A file is missing or cannot be read.
        ConfigError: Nothing of this annotator is recorded, or something of several that share its name.
    """

    name = "replay"
    by_item = True
    capabilities: frozenset[Capability] = frozenset({"labels"})

    def __init__(self, model: str, replay: ReplayConfig) -> None:
        self.model = model
        for file in replay.files:
            if not Path(file).exists():
                fix = f"check judge.replay.files{looked_in(file)}"
                raise DataError("no such file or folder", where=file, fix=fix)
        self.revision = content_id("recorded", *(file_hash(Path(file)) for file in replay.files))
        self.settings: Mapping[str, Any] = {"order": replay.order}
        self._recorded = _read(model, replay)
        self._asked: dict[str, tuple[str, int | None]] = {}
        if any(said.rationale for said in self._recorded.said.values()):
            self.capabilities = frozenset({"labels", "replies"})

    @classmethod
    def open(cls, config: JudgeConfig) -> ReplayBackend:
        """Build the backend that a config names.

        Raises:
            ConfigError: The config does not say which files, or nothing of this annotator is in them, or several have
                its name.
            DataError: A file is missing or cannot be read.
        """
        if config.replay is None:
            raise ConfigError(
                "the backend 'replay' needs recorded verdicts",
                where="judge",
                fix="add replay: {files: [FILE]} to the section, and the recorded annotator's name as model",
            )
        return cls(config.model, config.replay)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Look up each answer."""
        return [self._answer(request) for request in requests]

    def count_tokens(self, request: Request) -> int:
        """Return the number of words."""
        return len(" ".join(request.texts).split())

    def _answer(self, request: Request) -> Completion:
        tokens = self.count_tokens(request)
        said = self._recorded.said.get(request.about)
        if said is None:
            return Completion(tokens=tokens, failure=self._why_not(request.about))
        # A recorded verdict answered one question: it is no answer to others about the same item.
        asked = content_id(*request.texts), request.seed
        first = self._asked.setdefault(request.about, asked)
        if first != asked:
            return Completion(tokens=tokens, failure=FURTHER if first[0] == asked[0] else ANOTHER)
        if said.status != "ok":
            return Completion(tokens=tokens, failure=f"recorded as {said.status}: {said.reason or 'no reason given'}")
        if not request.labels:
            failure = "" if said.rationale else f"{NOT_RECORDED} in words"
            return Completion(reply=said.rationale, tokens=tokens, failure=failure)
        return _labelled(said, request, tokens)

    def _why_not(self, about: str) -> str:
        item, _, order = about.partition(" ")
        if item in self._recorded.without_order:
            return f"{NOT_RECORDED} in the order {order}: the order is unknown (judge.replay.order says it)"
        other = "ba" if order == "ab" else "ab"
        if f"{item} {other}" in self._recorded.said:
            return f"{NOT_RECORDED} in the order {order}, only in the other (judge.orders: [{other}] asks for that one)"
        return NOT_RECORDED


def _read(model: str, replay: ReplayConfig) -> Recorded:
    """Read what an annotator said, by the importer that everybody uses, into a database that is thrown away."""
    with TemporaryDirectory(prefix="rewardkit-replay-") as folder:
        with Store.open(Path(folder) / "recorded.db") as store:
            import_files(store, replay.files, ImportConfig(files=replay.files), rejects=Path(folder) / "rejects.jsonl")
            judges = [who for who in store.annotators().values() if who.kind == "judge"]
            named = {who.id: who for who in judges if who.name == model}
            if not named:
                raise ConfigError(
                    f"no judge is recorded as {model!r}",
                    where="judge.model",
                    expected=f"one of {', '.join(sorted({who.name for who in judges})) or 'none: no judge is there'}",
                )
            labels = [label for label in store.labels() if label.annotator_id in named]
            ratings = [rating for rating in store.records("ratings") if rating.annotator_id in named]
            _refuse_several([named[who] for who in {said.annotator_id for said in (*labels, *ratings)}], model)
            recorded = Recorded()
            _add_labels(recorded, labels, replay.order)
            _add_ratings(recorded, ratings)
            return recorded


def _refuse_several(who: Sequence[Annotator], model: str) -> None:
    """Refuse a name under which several judges said something: nobody could tell whose verdict is replayed."""
    if len(who) < 2:
        return
    each = sorted(f"{one.revision or 'no revision'} ({one.id})" for one in who)
    raise ConfigError(
        f"{len(who)} judges are recorded as {model!r}, of the revisions {', '.join(each)}",
        where="judge.model",
        expected="one judge of that name with labels or ratings",
        fix="name files in judge.replay.files that hold those of one of them",
    )


def _rank(said: Label | Rating) -> tuple[bool, float]:
    """Order what one judge said of an item: an answer before a failure, then the earliest, then what has no date."""
    return said.status != "ok", said.created_at.timestamp() if said.created_at else math.inf


def _add_labels(recorded: Recorded, labels: Iterable[Label], otherwise: Order | None) -> None:
    for label in sorted(labels, key=_rank):
        # The first of several is what is replayed: repeats are no answers to the same question asked once.
        order = label.order_shown or otherwise
        if label.repeat:
            continue
        if order is None:
            recorded.without_order.add(label.comparison_id)
        else:
            recorded.said.setdefault(f"{label.comparison_id} {order}", label)


def _add_ratings(recorded: Recorded, ratings: Iterable[Rating]) -> None:
    for rating in sorted(ratings, key=_rank):
        if not rating.repeat:
            recorded.said.setdefault(f"{rating.response_id} {rating.criterion}", rating)


def _labelled(said: Label | Rating, request: Request, tokens: int) -> Completion:
    """Return what was said as probabilities of labels, or that these labels cannot say it."""
    order = request.about.rpartition(" ")[2]
    shares = _pair(said, order, request.labels) if isinstance(said, Label) else _levels(said, request.labels)
    if shares is None:
        return Completion(tokens=tokens, failure=f"{NOT_RECORDED} in the labels {', '.join(request.labels)}")
    logprobs = {label: math.log(share) if share else -math.inf for label, share in shares.items()}
    return Completion({**dict.fromkeys(request.labels, -math.inf), **logprobs}, tokens=tokens)


def _pair(label: Label, order: str, labels: Sequence[str]) -> dict[str, float] | None:
    """Return the shares of A (shown first) and B, and of the labels that say that neither is better."""
    if not set(labels) >= PAIR or label.choice is None:
        return None
    p_a = SURE[label.choice] if label.p_a is None else label.p_a
    p_first = p_a if order == "ab" else 1.0 - p_a
    neither = {sign: share for sign, share in _neither(label).items() if sign in labels}
    # Half of what says neither is in the recorded probability of each side.
    half = sum(neither.values()) / 2
    return {"A": max(0.0, p_first - half), "B": max(0.0, 1.0 - p_first - half), **neither}


def _neither(label: Label) -> dict[str, float]:
    """Return what was recorded of T and N; where only a choice was, the whole is what it says."""
    if label.p_a is None:
        return {sign: float(label.choice == choice) for choice, sign in NEITHER.items()}
    told = {sign: label.metadata.get(f"p_{choice}") for choice, sign in NEITHER.items()}
    return {sign: float(share) if isinstance(share, int | float) else 0.0 for sign, share in told.items()}


def _levels(rating: Rating, labels: Sequence[str]) -> dict[str, float] | None:
    """Return the shares of the two numbers beside a rating, of which it is the mean."""
    numbers = sorted(int(label) for label in labels if label.isdigit())
    low, high = rating.scale
    if rating.value is None or len(numbers) < 2 or numbers != list(range(numbers[0], numbers[-1] + 1)):
        return None
    place = numbers[0] + (numbers[-1] - numbers[0]) * (rating.value - low) / (high - low)
    below = min(math.floor(place), numbers[-1] - 1)
    return {str(below): 1.0 - (place - below), str(below + 1): place - below}

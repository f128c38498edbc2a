"""How a study goes: labels by the hour, time left, agreement. Numbers only; `labeling_ui.figures` draws them.

Everything that was answered is counted somewhere. Agreement looks at work that was labelled for the first time:
gold was chosen for being clear, and a repeat is the same person again.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labeling_ui.answered import Answered
from labeling_ui.progress import Progress
from rewardkit.aggregation.agreement import Agreement, Level, agreement

HOUR, DAY = 3600.0, 86400.0
MOST_BARS = 48
# A pace that was measured on less would jump with every label.
LEAST_SECONDS = 300.0
# Of items: fewer tell nothing of a change, and more points than these nobody reads.
LEAST_PART, MOST_PARTS = 20, 12


@dataclass(frozen=True)
class Bar:
    """Answers of one hour or day.

    Attributes:
        start: Seconds since 1970.
        seconds: How long it is.
        work: First labels of work.
        other: Gold, qualification and repeats.
    """

    start: float
    seconds: float
    work: int
    other: int


@dataclass(frozen=True)
class Pace:
    """How fast the study goes.

    Attributes:
        per_hour: Labels of work in an hour lately; None where nothing came lately.
        left: Seconds until all labels that are wanted are there; None where nobody can tell.
        counted: Labels that this pace is measured on.
        over: Seconds that they took.
    """

    per_hour: float | None
    left: float | None
    counted: int
    over: float


@dataclass(frozen=True)
class Measured:
    """Agreement on one question.

    Attributes:
        name: Of what.
        found: How far annotators agree.
    """

    name: str
    found: Agreement


@dataclass(frozen=True)
class Moment:
    """Agreement on the items whose last label came in one stretch of time.

    Attributes:
        at: When the last of them came, in seconds since 1970.
        found: How far annotators agree on them.
    """

    at: float
    found: Agreement


@dataclass(frozen=True)
class Agreed:
    """How far annotators agree, in every way that is shown.

    Attributes:
        whole: On what the study asks first.
        questions: On every question.
        tasks: On what the study asks first, for each task that prompts name.
        moments: The same, over time.
    """

    whole: Agreement
    questions: Sequence[Measured]
    tasks: Sequence[Measured]
    moments: Sequence[Moment]


def throughput(answers: Sequence[Answered], now: float) -> list[Bar]:
    """Count answers by the hour, or by the day where hours would be too many; hours without any are there too.

    Args:
        answers: All of them.
        now: Seconds since 1970; the last bar holds it.
    """
    if not answers:
        return []
    first = min(each.at for each in answers)
    size = HOUR if now - first < MOST_BARS * HOUR else DAY
    start, count = math.floor(first / size), math.floor(max(now, first) / size)
    work = Counter(math.floor(each.at / size) for each in answers if is_work(each))
    every = Counter(math.floor(each.at / size) for each in answers)
    return [Bar(at * size, size, work[at], every[at] - work[at]) for at in range(start, count + 1)]


def pace_of(answers: Iterable[Answered], progress: Progress, now: float) -> Pace:
    """Measure the pace of the last hour, and how long the rest takes at it."""
    counting = [each.at for each in answers if is_work(each) and not each.abstained]
    lately = [at for at in counting if now - HOUR < at <= now]
    over = HOUR if len(counting) > len(lately) else max(LEAST_SECONDS, now - min(lately, default=now))
    rest = max(0, progress.wanted - progress.done)
    rate = len(lately) / over
    left = 0.0 if not rest else rest / rate if rate else None
    return Pace(rate * HOUR if rate else None, left, len(lately), over)


def is_work(answer: Answered) -> bool:
    """Tell whether an answer counts towards what the study wants."""
    return answer.role == "work" and answer.repeat == 0


def agreements(answers: Iterable[Answered]) -> list[Measured]:
    """Measure agreement on every question that was asked: the choice, its grade, criteria, ranks, ratings."""
    work = [each for each in answers if is_work(each)]
    said: dict[tuple[str, Level], _Said] = defaultdict(_Said)
    for each in work:
        for name, level, unit, value in _statements(each):
            said[name, level].add(each, unit, value)
    return [Measured(name, gathered.measured(level)) for (name, level), gathered in said.items()]


def agreed_on(answers: Sequence[Answered]) -> Agreed:
    """Measure agreement in every way; what is the same question twice is measured once."""
    questions, tasks = agreements(answers), _by_task(answers)
    main = {"comparison": CHOICE, "ranking": ORDER}
    asked = {main.get(each.task) for each in answers if is_work(each)}
    known = next((each.found for each in questions if {each.name} == asked), None)
    whole = known or main_agreement(answers)
    by_task = agreement_by_task(answers) if len(tasks) > 1 else [Measured(_named(task), whole) for task in tasks]
    return Agreed(whole, questions, by_task, agreement_over_time(answers))


def agreement_by_task(answers: Iterable[Answered]) -> list[Measured]:
    """Measure agreement on the main question for each task that prompts name."""
    return [Measured(_named(task), main_agreement(theirs)) for task, theirs in _by_task(answers).items()]


def _by_task(answers: Iterable[Answered]) -> dict[str, list[Answered]]:
    by_task: dict[str, list[Answered]] = defaultdict(list)
    for each in answers:
        if is_work(each):
            by_task[each.texts[0].task].append(each)
    return {task: by_task[task] for task in sorted(by_task)}


def _named(task: str) -> str:
    return f"Prompts of the task {task}" if task else "Prompts that name no task"


def main_agreement(answers: Iterable[Answered], *, resamples: int = 1_000) -> Agreement:
    """Measure agreement on what the study asks first: the choice, the order of each pair, or all ratings together."""
    said = _Said()
    level: Level = "nominal"
    for each in answers:
        if is_work(each):
            level = "interval" if each.task == "rating" else level
            for name, _, unit, value in _statements(each):
                if each.task == "rating" or name in (CHOICE, ORDER):
                    said.add(each, unit, value)
    return said.measured(level, resamples=resamples)


def agreement_over_time(answers: Iterable[Answered]) -> list[Moment]:
    """Measure agreement on the items in the order in which they got their last label, so many at a time."""
    by_item: dict[str, list[Answered]] = defaultdict(list)
    for each in answers:
        if is_work(each):
            by_item[each.item_id].append(each)
    several = [found for found in by_item.values() if len(found) > 1]
    several.sort(key=lambda found: max(each.at for each in found))
    size = max(LEAST_PART, math.ceil(len(several) / MOST_PARTS))
    parts = [several[start : start + size] for start in range(0, len(several), size)]
    return [
        Moment(max(each.at for found in part for each in found), main_agreement(sum(part, []), resamples=300))
        for part in parts
    ]


CHOICE, GRADE, ORDER = "which is better", "how much better", "order of two in a ranking"


def _statements(answer: Answered) -> Iterable[tuple[str, Level, str, str | float]]:
    """Yield what an answer says: the question, how its answers differ, what it is about, the answer."""
    if answer.task == "ranking":
        yield from ((ORDER, "nominal", unit, said) for unit, said in answer.pairs())
    elif answer.task == "rating":
        for criterion, value in answer.answer["ratings"].items():
            if value is not None:
                yield criterion, "interval", f"{answer.item_id} {criterion}", value
    elif answer.choice is not None:
        yield CHOICE, "nominal", answer.item_id, answer.choice
        yield GRADE, "ordinal", answer.item_id, answer.graded or 0.0
        for criterion, shown in answer.answer.get("criteria", {}).items():
            yield f"{criterion}: which is better", "nominal", answer.item_id, _unshown(shown, answer)
    if answer.task == "comparison":
        yield from _ratings_of_both(answer)


def _ratings_of_both(answer: Answered) -> Iterable[tuple[str, Level, str, float]]:
    for place, values in answer.answer.get("ratings", {}).items():
        response = answer.responses[answer.shown[int(place) - 1]]
        for criterion, value in values.items():
            if value is not None:
                # Within its item: the same response may stand in several.
                yield criterion, "interval", f"{answer.item_id} {response} {criterion}", value


def _unshown(shown: str, answer: Answered) -> str:
    if shown not in ("first", "second"):
        return shown
    return "a" if (shown == "first") == (answer.shown[0] == 0) else "b"


class _Said:
    """Gathers answers to one question."""

    def __init__(self) -> None:
        self.units: list[str] = []
        self.people: list[str] = []
        self.values: list[str | float] = []
        self.prompts: list[str] = []

    def add(self, answer: Answered, unit: str, value: str | float) -> None:
        self.units.append(unit)
        self.people.append(answer.person_id)
        self.values.append(value)
        self.prompts.append(answer.texts[0].prompt_id)

    def measured(self, level: Level, *, resamples: int = 1_000) -> Agreement:
        values, clusters = self.values, self.prompts
        return agreement(self.units, self.people, values, level=level, clusters=clusters, resamples=resamples)

"""How each annotator works: pace, known answers, biases, consistency. Each share comes with its n and interval.

Nobody is left out: somebody who has done nothing yet has a row, and what cannot be measured says n = 0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import sqlalchemy as sa
from scipy import stats

from labeling_ui.answered import Answered, known_people
from labeling_ui.biases import Correlation, first_cases, length_correlation, longer_cases
from labeling_ui.steps import step_of
from labeling_ui.study import Study
from rewardkit.aggregation.anchor import mean_interval
from rewardkit.aggregation.votes import sigmoid
from rewardkit.store.labelling_tables import events, leases, people
from rewardkit.store.store import Store
from rewardkit.store.tables import annotators

SAME = 1e-12
"""What is left of rounding is no variation."""


@dataclass(frozen=True)
class Share:
    """A share of some cases, with its 95 % interval.

    Attributes:
        hits: How many.
        n: Of how many.
        prompts: How many prompts these are about; answers to one prompt go together.
        interval: Clustered by prompt; all that is possible where there are fewer than two.
    """

    hits: int
    n: int
    prompts: int = field(default=0, compare=False)
    interval: tuple[float, float] = field(default=(0.0, 1.0), compare=False)

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.n if self.n else None

    @classmethod
    def of(cls, cases: Iterable[tuple[str, bool | None]]) -> Share:
        """Count cases, each with its prompt; None is no case."""
        counted = [(prompt, float(case)) for prompt, case in cases if case is not None]
        prompts, hits = [prompt for prompt, _ in counted], [hit for _, hit in counted]
        return cls(int(sum(hits)), len(hits), len(set(prompts)), rate_interval(hits, prompts))


def rate_interval(hits: Sequence[float], units: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of a share, cluster-robust, with t on the logit scale.

    Where the units do not differ there is no standard error: it is Clopper's and Pearson's then, of each unit as one
    trial.

    Args:
        hits: 1 or 0 for each case, (n,).
        units: What it belongs to, (n,).

    References:
        Liang and Zeger (1986), Biometrika 73; Franco et al. (2019), Journal of Survey Statistics and Methodology 7;
        Clopper and Pearson (1934), Biometrika 26.
    """
    found = mean_interval(hits, units)
    if found is None or found.low is None or found.high is None:
        return 0.0, 1.0
    share, half = found.value, (found.high - found.low) / 2
    if half < SAME:
        return _exact_interval(share * found.n_units, found.n_units)
    middle, half = math.log(share / (1 - share)), half / (share * (1 - share))
    return sigmoid(middle - half), sigmoid(middle + half)


def _exact_interval(hits: float, n: int) -> tuple[float, float]:
    low = float(stats.beta.ppf(0.025, hits, n - hits + 1)) if hits > 0 else 0.0
    return low, float(stats.beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0


@dataclass(frozen=True)
class Annotated:
    """How one annotator works.

    Attributes:
        person_id: Who.
        name: The pseudonym under which their labels are kept.
        entry: How they came.
        external_id: Who they are there; nothing where it was erased.
        role: annotator or admin.
        state: active or paused.
        step: Where they stand: consent, check, failed, break or work.
        answered: Items, of every role, repeats included.
        work: First labels of work among them.
        abstained: Of all that were answered.
        returned: Items that they gave back.
        expired: Items whose time went by.
        refused: Answers of theirs that were refused, such as ones that came too fast.
        seconds: Median for an answer; None of none.
        known: Right answers among items whose answer is known (gold and qualification).
        first: The response shown first, among preferences; a ranking has one for each pair that is not tied.
        longer: The longer response, among preferences between responses of different length.
        longer_rated: How far ratings grow with length; None where nothing was rated.
        consistent: Repeats that were answered as the first time.
        last_seen: Seconds since 1970; None where they never did anything.
    """

    person_id: str
    name: str
    entry: str
    external_id: str
    role: str
    state: str
    step: str
    answered: int
    work: int
    abstained: Share
    returned: int
    expired: int
    refused: int
    seconds: float | None
    known: Share
    first: Share
    longer: Share
    longer_rated: Correlation | None
    consistent: Share
    last_seen: float | None


def annotators_of(store: Store, study: Study, answers: Iterable[Answered]) -> list[Annotated]:
    """Return how everybody works, those who did most first.

    Args:
        store: Where the study is.
        study: Whose people.
        answers: All that was answered in it.
    """
    theirs: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        theirs[answer.person_id].append(answer)
    ended, noted, names = _ended(store, study.name), _noted(store, study.name), _names(store, study.name)
    found = []
    for person in known_people(store, study.name):
        refused, last_seen = noted.get(person.id, (0, None))
        measured = _measured(theirs[person.id])
        found.append(
            Annotated(
                person_id=person.id,
                name=names[person.annotator_id],
                entry=person.entry,
                external_id="" if person.details.get("erased") else person.external_id,
                role=person.role,
                state=person.state,
                step=step_of(person.details, study),
                returned=ended[person.id, "returned"],
                expired=ended[person.id, "expired"],
                refused=refused,
                last_seen=last_seen,
                **measured,
            )
        )
    return sorted(found, key=lambda each: (-each.answered, each.name))


def _measured(answers: Sequence[Answered]) -> dict[str, Any]:
    """Return what a person's answers tell."""
    once = [each for each in answers if each.repeat == 0]
    before = {each.item_id: each.said for each in once}
    again = [each for each in answers if each.repeat and each.item_id in before]
    return {
        "answered": len(answers),
        "work": sum(each.role == "work" for each in once),
        "abstained": _share(answers, lambda each: each.abstained),
        "seconds": median(each.seconds for each in answers) if answers else None,
        # Not to judge is no right answer either: else one who skips what is hard would look best.
        "known": _share(answers, lambda each: None if each.expected is None else each.choice == each.expected),
        "first": _shares(once, first_cases),
        "longer": _shares(once, longer_cases),
        "longer_rated": length_correlation(once),
        "consistent": _share(again, lambda each: each.said == before[each.item_id]),
    }


def _share(answers: Iterable[Answered], case: Callable[[Answered], bool | None]) -> Share:
    return _shares(answers, lambda each: [case(each)])


def _shares(answers: Iterable[Answered], cases: Callable[[Answered], Iterable[bool | None]]) -> Share:
    """Count cases, of which an answer may have several; they all stand under its prompt."""
    return Share.of((each.texts[0].prompt_id, case) for each in answers for case in cases(each))


def _names(store: Store, study: str) -> dict[str, str]:
    query = sa.select(annotators.c.id, annotators.c.name).join_from(
        people, annotators, people.c.annotator_id == annotators.c.id
    )
    with store.reading() as connection:
        return {row.id: row.name for row in connection.execute(query.where(people.c.study == study))}


def _ended(store: Store, study: str) -> Counter[tuple[str, str]]:
    """Count leases by person and state."""
    query = sa.select(leases.c.person_id, leases.c.state, sa.func.count()).join_from(
        leases, people, leases.c.person_id == people.c.id
    )
    query = query.where(people.c.study == study).group_by(leases.c.person_id, leases.c.state)
    with store.reading() as connection:
        return Counter({(person, state): count for person, state, count in connection.execute(query)})


def _noted(store: Store, study: str) -> dict[str, tuple[int, float | None]]:
    """Return how often each person was refused, and when they did something last."""
    refused = sa.func.sum(sa.case((events.c.kind == "refused", 1), else_=0))
    # What others did to them is no sign of life.
    alive = sa.func.max(sa.case((events.c.kind.not_in(("paused", "active", "expired", "erased")), events.c.at)))
    query = sa.select(events.c.person_id, refused, alive).where(events.c.study == study).group_by(events.c.person_id)
    with store.reading() as connection:
        return {person: (int(count), at) for person, count, at in connection.execute(query) if person}

"""What researchers are told of a study, counted from all answers; what takes long is not counted anew each time.

Reading goes on where it stopped, and agreement is kept while no new answer came, and for a while after that: counting
it takes at most a tenth of the time, however many pages ask and however fast answers come.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labeling_ui.anchoring import Anchoring, anchoring
from labeling_ui.answered import Answered, AnswerReader, known_people
from labeling_ui.at_work import at_work
from labeling_ui.disputes import Dispute, disputes
from labeling_ui.overview import Agreed, Bar, Pace, agreed_on, pace_of, throughput
from labeling_ui.progress import Progress, progress_of
from labeling_ui.quality import Annotated, annotators_of
from labeling_ui.study import Study
from rewardkit.store.store import Store

REST = 9.0
"""Agreement is kept for so many times as long as it took to count, whatever comes meanwhile."""


@dataclass(frozen=True)
class Overview:
    """How a study goes.

    Attributes:
        progress: Labels that are wanted, and there.
        answered: All answers, of every role.
        abstained: Those among them that could not be judged.
        pace: How fast it goes.
        joined: Annotators who ever came.
        paused: Those among them who are paused.
        at_work: Annotators who answered lately and have something in hand.
        bars: Answers by the hour or day.
        agreed: How far annotators agree.
        agreed_at: When that was counted, in seconds since 1970.
        anchoring: What became of reviews; None where there were none.
    """

    progress: Progress
    answered: int
    abstained: int
    pace: Pace
    joined: int
    paused: int
    at_work: int
    bars: Sequence[Bar]
    agreed: Agreed
    agreed_at: float
    anchoring: Anchoring | None


class Counts(Protocol):
    """What the researchers' page asks for; `Counted` counts, and `labeling_ui.counting` lets it count elsewhere."""

    def overview(self, now: float) -> Overview:
        """Return how the study goes."""
        ...

    def annotators(self, study: Study) -> list[Annotated]:
        """Return how everybody works."""
        ...

    def dispute(self, after: str) -> tuple[Dispute | None, int]:
        """Return the next comparison that is to be decided after an item, and how many there are."""
        ...


@dataclass
class Counted:
    """Counts one study's answers.

    Attributes:
        store: Where they are.
        study: Its name.
    """

    store: Store
    study: str
    _reader: AnswerReader = field(init=False)
    _kept: _Kept | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._reader = AnswerReader(self.store, self.study)

    def overview(self, now: float) -> Overview:
        """Return how the study goes.

        Args:
            now: Seconds since 1970.
        """
        answers, progress = self._reader.read(), progress_of(self.store, self.study)
        people = [person for person in known_people(self.store, self.study) if person.role == "annotator"]
        kept = self._agreed(answers, now)
        return Overview(
            progress=progress,
            answered=len(answers),
            abstained=sum(each.abstained for each in answers),
            pace=pace_of(answers, progress, now),
            joined=len(people),
            paused=sum(person.state == "paused" for person in people),
            at_work=at_work(self.store, answers, now),
            bars=throughput(answers, now),
            agreed=kept.agreed,
            agreed_at=kept.at,
            anchoring=anchoring(self.store, self.study),
        )

    def annotators(self, study: Study) -> list[Annotated]:
        """Return how everybody works, those who did most first.

        Args:
            study: As it is settled now.
        """
        return annotators_of(self.store, study, self._reader.read())

    def dispute(self, after: str) -> tuple[Dispute | None, int]:
        """Return the next comparison that is to be decided, and how many there are.

        Args:
            after: The item that was shown last, if it is to be passed over.
        """
        found = disputes(self.store, self._reader.read())
        ids = [each.item_id for each in found]
        at = ids.index(after) + 1 if after in ids else 0
        return (found[at % len(found)] if found else None), len(found)

    def _agreed(self, answers: Sequence[Answered], now: float) -> _Kept:
        kept = self._kept
        if kept is None or (kept.answers is not answers and time.monotonic() >= kept.until):
            start = time.monotonic()
            agreed = agreed_on(answers)
            end = time.monotonic()
            kept = self._kept = _Kept(answers, agreed, now, end + REST * (end - start))
        return kept


@dataclass(frozen=True)
class _Kept:
    """Agreement on the answers that there were.

    Attributes:
        answers: These.
        agreed: How far annotators agreed.
        at: When, in seconds since 1970.
        until: Until when it is good enough, on the monotonic clock.
    """

    answers: Sequence[Answered]
    agreed: Agreed
    at: float
    until: float

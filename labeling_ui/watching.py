"""A judge at work on one comparison, for the researcher who watches it: one at a time, and nothing of it is stored.

What it says lies in this process, on the event loop that hears it, so that a page that is reloaded goes on where it
was. The work ends with the last word, with Stop, or when nobody looks any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from labeling_ui.chatting import ChatFailed
from labeling_ui.judges import Watchable
from labeling_ui.people import Refused
from labeling_ui.reviewing import Opinion, Words
from labeling_ui.watched import Case
from rewardkit.errors import RewardkitError

PACE, SILENCE, GRACE, LONGEST = 0.15, 2.0, 10.0, 900.0
"""Seconds: between two looks at what is new; after which a page that sees nothing new is shown the same, so that one
that is gone is noticed; for which a judge goes on when nobody looks; and that it may take for everything."""

State = Literal["waiting", "working", "through", "stopped", "failed", "kept"]


@dataclass(eq=False)
class Watch:
    """One judge on one comparison.

    Attributes:
        judge: Who judges.
        case: What.
        person_id: Who watches.
        state: How far it is.
        thoughts: What a model that thinks before it speaks has thought, by part.
        said: What it has said, by part: its critique, its verdict, its ratings.
        opinion: Its labels and ratings so far.
        why: Why it failed.
        news: Grows with all that is new.
        looking: How many pages show it.
    """

    judge: Watchable
    case: Case
    person_id: str
    state: State = "waiting"
    thoughts: dict[int, str] = field(default_factory=dict)
    said: dict[int, str] = field(default_factory=dict)
    opinion: Opinion | None = None
    why: str = ""
    news: int = 0
    looking: int = 0

    @property
    def under_way(self) -> bool:
        """Whether the judge has something left to say."""
        return self.state in ("waiting", "working")

    @property
    def useful(self) -> bool:
        """Whether it has said, to the end, what can be kept."""
        labels = self.opinion.labels if self.opinion else ()
        return self.state == "through" and any(label.status == "ok" for label in labels)

    def hear(self, each: Words | Opinion) -> None:
        """Take in what the judge says."""
        self.news += 1
        if isinstance(each, Opinion):
            self.opinion = each
            return
        parts = self.thoughts if each.thought else self.said
        parts[each.part] = parts.get(each.part, "") + each.text

    def become(self, state: State, why: str = "") -> None:
        """Be in another state."""
        self.state, self.why, self.news = state, why, self.news + 1


@dataclass(eq=False)
class Watching:
    """Who watches what.

    Attributes:
        shared: Lets conversations in with a judge for whom annotators wait; None where there is none.
        latest: What each researcher watched last, by their id.
    """

    shared: asyncio.Semaphore | None = None
    latest: dict[str, Watch] = field(default_factory=dict)
    _work: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> Watch | None:
        """What is watched now."""
        return next((watch for watch in self.latest.values() if watch.under_way), None)

    def start(self, watch: Watch) -> None:
        """Let a judge begin; on the event loop.

        Raises:
            Refused: One is at work.
        """
        if (other := self.under_way) is not None:
            mine = other.person_id == watch.person_id
            raise Refused(
                "the judge is at work already" if mine else "another researcher watches a judge now",
                fix="stop it, or wait until it is through" if mine else "wait until it is through, and try again",
            )
        self.latest[watch.person_id] = watch
        self._work = asyncio.create_task(self._worked(watch))

    async def stop(self, person_id: str) -> None:
        """End what a researcher watches, and with it the model's work.

        Raises:
            Refused: They watch nothing.
        """
        watch = self.latest.get(person_id)
        if watch is None or not watch.under_way:
            raise Refused("no judge of yours is at work", fix="choose one and let it begin")
        assert self._work is not None
        self._work.cancel()
        await asyncio.wait([self._work])
        if watch.under_way:
            # It had not even begun.
            watch.become("stopped")

    async def news(self, person_id: str) -> AsyncGenerator[Watch | None, None]:
        """Yield what a researcher watches whenever there is something new, to its end; None where nothing is new."""
        watch = self.latest.get(person_id)
        if watch is None:
            return
        with self._looked_at(watch):
            seen = -1
            while watch.news != seen:
                seen = watch.news
                yield watch
                while watch.under_way and watch.news == seen:
                    if not await _changed(watch, seen):
                        yield None
                await asyncio.sleep(PACE if watch.under_way else 0)

    @contextmanager
    def _looked_at(self, watch: Watch) -> Iterator[None]:
        watch.looking += 1
        try:
            yield
        finally:
            watch.looking -= 1
            if watch.under_way and not watch.looking:
                asyncio.get_running_loop().call_later(GRACE, self._end_unseen, watch)

    def _end_unseen(self, watch: Watch) -> None:
        if watch.under_way and not watch.looking and self._work is not None:
            self._work.cancel()

    async def _worked(self, watch: Watch) -> None:
        try:
            async with asyncio.timeout(LONGEST), self._room(watch.judge):
                # A model goes on loading where nobody waits for it any more: the next one who asks for it has it.
                judge = await asyncio.to_thread(watch.judge.opened)
                watch.become("working")
                async with aclosing(judge.opinion(watch.case.subject, watch.case.order)) as coming:
                    async for each in coming:
                        watch.hear(each)
            watch.become("through")
        except TimeoutError:
            watch.become("failed", f"no whole answer in {LONGEST / 60:.0f} minutes")
        except ChatFailed as failed:
            watch.become("failed", failed.why)
        except RewardkitError as error:
            watch.become("failed", str(error))
        except asyncio.CancelledError:
            watch.become("stopped")
            raise
        except Exception as error:
            # Nobody foresaw it: it is said to the researcher, and keeps its traceback.
            watch.become("failed", f"{type(error).__name__}: {error}")
            raise

    def _room(self, judge: Watchable) -> asyncio.Semaphore:
        # Only one is watched at a time; one for whom annotators wait is shared with them.
        return self.shared if self.shared is not None and judge.shared else asyncio.Semaphore(1)


async def _changed(watch: Watch, seen: int) -> bool:
    """Wait until there is something new; return whether there is, before the page has been silent for long."""
    for _ in range(round(SILENCE / PACE)):
        await asyncio.sleep(PACE)
        if watch.news != seen:
            return True
    return False

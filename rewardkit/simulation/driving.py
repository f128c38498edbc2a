"""Personas go through a running labelling page, each in a thread of their own, until nothing is left for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from rewardkit.errors import JobFailed, RewardkitError
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.answering import Worth, answer_to, subject_of
from rewardkit.simulation.personas import Persona
from rewardkit.simulation.reviewing import review_of
from rewardkit.simulation.talking import message_of, pick_of, replies_of
from rewardkit.simulation.visiting import Visitor

ENDS = ("done", "failed", "paused", "break")
REFUSALS_IN_A_ROW = 3
QUEUE = 120.0
"""Seconds for which a stream that ends with a problem is asked for again: models serve a few people at a time."""
View = dict[str, Any]


@dataclass(frozen=True)
class House:
    """What personas know of the page that they visit.

    Attributes:
        worth: Of the texts that may be shown.
        right: Right options of the comprehension check, from 1.
        speed: How many times faster than people they are.
    """

    worth: Worth
    right: tuple[int, ...] = ()
    speed: float = 1.0


@dataclass
class Tour:
    """A persona's way through the page.

    Attributes:
        persona: Who.
        visitor: Their connection.
        house: What they know.
        told: Is called after each label.
        stop: Ends all ways.
        step: Where they stand.
        labels: Answers that were taken.
        reviews: Answers that were given once more, after a judge's points.
        followed: Reviews in which the judge's choice was taken over.
        answer_seconds: From sending an answer to having what comes next.
        each_seconds: From having an item to having what comes next.
        problem: Why they could not go on.
    """

    persona: Persona
    visitor: Visitor
    house: House
    told: Callable[[], None]
    stop: Event
    step: str = "outside"
    labels: int = 0
    reviews: int = 0
    followed: int = 0
    answer_seconds: list[float] = field(default_factory=list)
    each_seconds: list[float] = field(default_factory=list)
    problem: str = ""
    _refused_in_a_row: int = 0
    _tries: int = 0

    def go(self) -> int:
        """Come in or come back, and go on until nothing is left or all is stopped; return the labels of this round."""
        before = self.labels
        try:
            if self.step == "outside":
                self.visitor.enter()
            turn: View | None = self.visitor.ask("/api/turn")
            while turn is not None and not self.stop.is_set():
                self.step = turn["step"]
                turn = self._step(turn)
        except RewardkitError as error:
            self.problem = str(error)
        return self.labels - before

    def _step(self, turn: View) -> View | None:
        if turn["step"] in ENDS:
            return None
        if turn["step"] == "consent":
            return self.visitor.tell("/api/consent", version=turn["version"])
        if turn["step"] == "check":
            return self.visitor.tell("/api/check", answers=self._check(turn["questions"]))
        if turn["step"] == "item":
            return self._label(turn)
        if turn["step"] == "review":
            return self._review(turn)
        if turn["step"] == "chat":
            return self._talk(turn)
        raise JobFailed(f"the page wants {turn['step']!r}, which no persona can do")

    def _check(self, questions: Sequence[Mapping[str, Any]]) -> list[int]:
        """Answer each question right with the persona's understanding, else with the next option."""
        if len(questions) != len(self.house.right):
            raise JobFailed(
                f"the page asks {len(questions)} questions, and the config has answers to {len(self.house.right)}",
                fix="give the config that the page was started with",
            )
        self._tries += 1
        understanding, answers = self.persona.settings.understanding, []
        for number, (question, right) in enumerate(zip(questions, self.house.right, strict=True)):
            understood = self.persona.uniform(f"question {number}", f"try {self._tries}") < understanding
            answers.append(right if understood else right % len(question["options"]) + 1)
        return answers

    def _label(self, turn: View) -> View | None:
        item, came = turn["item"], time.monotonic()
        answer = answer_to(self.persona, item, self.house.worth, turn["progress"]["done"])
        if not self._dwell(_texts(item), item["least_seconds"]):
            return None
        return self._send(came, "/api/submit", lease=item["lease"], answer=answer)

    def _review(self, turn: View) -> View | None:
        """Make something of a judge's points, once they are all there."""
        lease = turn["item"]["lease"]
        if turn["points"] is None:
            return self._follow(turn, "/api/review/points", lease=lease)
        said = review_of(self.persona, turn)
        if not self._dwell(["review", *_texts(turn["item"])], 0.0):
            return None
        then, taken = self._act("/api/review", lease=lease, answer=said.answer, points=said.points)
        self.reviews += taken
        self.followed += taken and said.followed
        return then

    def _talk(self, turn: View) -> View | None:
        """Say something, wait for replies, or pick one of them."""
        chat, came = turn["chat"], time.monotonic()
        if chat["awaits"] == "replies":
            return self._follow(turn, "/api/chat/replies", token=chat["token"])
        if chat["awaits"] == "message":
            text = message_of(self.persona, chat)
            if text is None:
                return self._act("/api/chat/end", token=chat["token"])[0]
            return self._act("/api/chat/say", token=chat["token"], text=text)[0]
        answer = pick_of(self.persona, chat, turn["progress"]["done"])
        if not self._dwell(replies_of(chat), chat["least_seconds"]):
            return None
        return self._send(came, "/api/chat/pick", token=chat["token"], answer=answer)

    def _dwell(self, texts: Sequence[str], least: float) -> bool:
        """Take the time for an answer; False where all is stopped."""
        return not self.stop.wait(max(self.persona.seconds(subject_of(texts)) / self.house.speed, least))

    def _send(self, came: float, path: str, **said: Any) -> View:
        sent = time.monotonic()
        then, taken = self._act(path, **said)
        if taken:
            now = time.monotonic()
            self.answer_seconds.append(now - sent)
            self.each_seconds.append(now - came)
            self.labels += 1
            self.told()
        return then

    def _act(self, path: str, **said: Any) -> tuple[View, bool]:
        """Return where a step leads, and whether it was taken.

        Raises:
            JobFailed: Several in a row are refused.
        """
        before = len(self.visitor.refusals)
        then = self.visitor.act(path, **said)
        taken = len(self.visitor.refusals) == before
        self._refused_in_a_row = 0 if taken else self._refused_in_a_row + 1
        if self._refused_in_a_row >= REFUSALS_IN_A_ROW:
            raise JobFailed(f"the page refuses what is said: {self.visitor.refusals[-1]}", where=path)
        return then, taken

    def _follow(self, turn: View, path: str, **said: Any) -> View | None:
        """Read a stream until it tells another turn; one that ends otherwise is asked for again, as people do.

        Raises:
            JobFailed: It does not come, or leads nowhere.
        """
        until = time.monotonic() + QUEUE
        while True:
            told: View = {}
            with closing(self.visitor.lines(path, **said)) as lines:
                for line in lines:
                    told |= line
                    if self.stop.is_set():
                        return None
            then: View | None = told.get("turn")
            if then is not None and then != turn:
                return then
            problem = told.get("problem", "it broke off" if then is None else "the page still waits for it")
            if then is not None or time.monotonic() > until:
                raise JobFailed(f"what was waited for does not come: {problem}", where=path)
            if self.stop.wait(1.0):
                return None


def _texts(item: Mapping[str, Any]) -> list[str]:
    return [response["text"] for response in item["responses"]]


def visitors_of(annotators: Sequence[SimulatedAnnotatorConfig], people: int, seed: int) -> list[Persona]:
    """Return as many personas as wanted: the simulated humans dealt out in turn, each with a name of its own."""
    humans = [each for each in annotators if each.kind == "human"]
    dealt = [(humans[number % len(humans)], number // len(humans) + 1) for number in range(people)]
    return [Persona(settings, f"{settings.name}-{round_}", seed) for settings, round_ in dealt]


def tours_of(
    links: Mapping[str, str], personas: Sequence[Persona], house: House, told: Callable[[], None], stop: Event
) -> list[Tour]:
    """Return the ways of personas who are still outside.

    Args:
        links: Where each persona comes in, by name.
        personas: Who.
        house: What they know.
        told: Is called after each label, never by two at once.
        stop: Ends all ways at the next step.
    """
    lock = Lock()

    def tell() -> None:
        with lock:
            told()

    return [Tour(each, Visitor(links[each.name]), house, tell, stop) for each in personas]


def drive(tours: Sequence[Tour], stop: Event) -> None:
    """Let personas label at the same time, in rounds until a round brings no label.

    A label may make another one be wanted, or an item be given back, after somebody found nothing left; hence the
    rounds. Who could not go on is in no further one, and ends nobody else's way.

    Args:
        tours: Their ways.
        stop: Ends all of them.

    Raises:
        KeyboardInterrupt: It was interrupted; all have left the page, and what they had said is kept.
    """
    try:
        with ThreadPoolExecutor(len(tours)) as pool:
            while _round(pool, [tour for tour in tours if not tour.problem], stop):
                pass
    finally:
        for tour in tours:
            tour.visitor.leave()


def _round(pool: ThreadPoolExecutor, tours: Sequence[Tour], stop: Event) -> int:
    running: list[Future[int]] = [pool.submit(tour.go) for tour in tours]
    try:
        wait(running)
    except BaseException:
        # Threads cannot be interrupted: they are told, and end before their next answer.
        stop.set()
        raise
    return 0 if stop.is_set() else sum(each.result() for each in running)

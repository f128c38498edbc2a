"""What the browser is given to see, as plain values: nothing of a model's name, of gold, or of other labels.

A turn is where somebody stands: something to read and agree to, questions, an item, a break, the end.
All texts are rendered here; the page shows them as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy.engine import Row

from labeling_ui.desk import LATEST, Desk
from labeling_ui.leases import Lease
from labeling_ui.people import People, Refused
from labeling_ui.progress import of_person
from labeling_ui.rendering import safe_html, safe_line
from labeling_ui.sessions import Sessions
from labeling_ui.steps import changed_since, step_of
from labeling_ui.study import Study
from labeling_ui.subjects import load_subject

View = dict[str, Any]
ABOUT = 140
"""Characters of a request that stand for it in a list."""
rendered = lru_cache(maxsize=512)(safe_html)


class Talk(Protocol):
    """Conversations as annotators see them."""

    def turn(self, person_id: str) -> View | None:
        """Return the conversation that goes on; None where there is none."""

    def progress(self, person_id: str) -> View:
        """Return how much a person has done."""


@dataclass(frozen=True)
class Turns:
    """Shows people where they stand.

    Attributes:
        desk: Gives and takes items.
        people: Who takes part.
        sessions: Makes completion codes.
        talk: Shows conversations, in a study that has these instead of items.
    """

    desk: Desk
    people: People
    sessions: Sessions
    talk: Talk | None = None

    def turn(self, person_id: str) -> View:
        """Return where a person stands; gives them an item if they have none.

        Raises:
            Refused: The person is not known here.
        """
        person = self.people.get(person_id)
        if person is None:
            raise Refused("you are not known here", fix="open the link of your invitation again")
        if person.state != "active":
            return {"step": "paused"}
        step = step_of(person.details, self.desk.study)
        if step == "work" and self.talk is not None:
            return self.talk.turn(person_id) or self.after(person_id, None)
        if step == "work":
            return self._review(person_id) or self.after(person_id, self.desk.next(person_id))
        if step == "consent":
            return self._consent(person)
        return {"step": step, **(self._check(person) if step == "check" else {})}

    def after(self, person_id: str, lease: Lease | None) -> View:
        """Return an item that was given, or what there is to see where none was."""
        if lease is not None:
            return {"step": "item", "item": self.item(lease), "progress": self.progress(person_id)}
        person = self.people.get(person_id)
        assert person is not None
        if step_of(person.details, self.desk.study) != "work":
            return self.turn(person_id)
        if review := self._review(person_id):
            return review
        progress = self.progress(person_id)
        # A code is worth money: nobody has earned one who has answered nothing.
        completion = self._completion(person) if progress["done"] else {"code": None, "url": None}
        return {"step": "done", "progress": progress, **completion}

    def item(self, lease: Lease) -> View:
        """Return what is to be labelled, in the order that was drawn for this annotator."""
        config = self.desk.study.config
        with self.desk.store.reading() as connection:
            subject = load_subject(connection, lease.responses)
        shown = [subject.responses[place] for place in lease.shown]
        return {
            "lease": lease.id,
            "task": lease.task,
            "qualification": lease.role == "qualification",
            "messages": [{"role": m.role, "html": rendered(m.content)} for m in subject.prompt.messages],
            "responses": [{"html": rendered(response.text), "text": response.text} for response in shown],
            "criteria": asked_criteria(self.desk.study),
            "rates": config.criteria == "rate",
            "scale": list(self.desk.study.scale),
            "reasons": list(self.desk.study.reasons),
            "may_edit": config.edits,
            "may_mark": config.spans,
            "least_seconds": config.least_seconds,
            "draft": lease.draft,
            "answer": lease.answer,
        }

    def progress(self, person_id: str) -> View:
        """Return how much a person has done, and how long the rest will take them."""
        if self.talk is not None:
            return self.talk.progress(person_id)
        with self.desk.store.reading() as connection:
            done, seconds = of_person(connection, person_id)
        config = self.desk.study.config
        most = config.most_items
        if most is not None and config.qualification.source:
            # What comes before the work is counted among what is done.
            most += config.qualification.items
        left = None if most is None or seconds is None else max(0, most - done) * seconds
        return {"done": done, "most": most, "seconds_each": seconds, "seconds_left": left}

    def latest(self, person_id: str) -> View:
        """Return the answers that a person can still change, the latest first."""
        answers = [
            {"lease": lease.id, "task": lease.task, "answer": lease.answer, "about": self._about(lease)}
            for lease in self.desk.latest(person_id)
        ]
        return {"answers": answers, "most": LATEST}

    def earlier(self, person_id: str, lease_id: str) -> View:
        """Return an item that a person has answered and may still change.

        Raises:
            Refused: It is not among their latest answers.
        """
        for lease in self.desk.latest(person_id):
            if lease.id == lease_id:
                return {"step": "item", "item": self.item(lease), "progress": self.progress(person_id)}
        raise Refused(f"only the latest {LATEST} answers can be changed", fix="go on with the next item")

    def _review(self, person_id: str) -> View | None:
        """Return what a judge said of an answer that a person has just given, where they are to see it."""
        found = self.desk.reviewing(person_id)
        if found is None:
            return None
        lease, points = found
        # Of a judge that is asked live there are none yet: the page asks for them.
        said = None if points is None else [{"html": rendered(point.text), **vars(point)} for point in points]
        return {"step": "review", "item": self.item(lease), "points": said, "progress": self.progress(person_id)}

    def _about(self, lease: Lease) -> str:
        """Return the beginning of what was asked for, by which people know an item again."""
        with self.desk.store.reading() as connection:
            messages = load_subject(connection, lease.responses[:1]).prompt.messages
        text = " ".join(messages[-1].content.split()) if messages else ""
        return safe_line(text if len(text) <= ABOUT else f"{text[:ABOUT]}…")

    def _consent(self, person: Row[Any]) -> View:
        study = self.desk.study
        return {
            "step": "consent",
            "version": study.version,
            "changed": changed_since(person.details, study),
            "consent": study.consent.html,
            "guidelines": study.guidelines.html,
        }

    def _check(self, person: Row[Any]) -> View:
        check, tried = self.desk.study.config.check, person.details.get("check", {})
        questions = [
            {"html": rendered(question.text), "options": [safe_line(option) for option in question.options]}
            for question in check.questions
        ]
        left = check.tries - tried.get("tries", 0)
        guidelines = self.desk.study.guidelines.html
        return {"questions": questions, "tries_left": left, "wrong": tried.get("wrong", []), "guidelines": guidelines}

    def _completion(self, person: Row[Any]) -> View:
        config = self.desk.study.config
        code = config.completion_code or self.sessions.code(person.id)
        prolific = config.prolific if person.entry == "prolific" else None
        url = prolific.completion_url.format(code=code) if prolific else None
        return {"code": code, "url": url}


def asked_criteria(study: Study) -> list[View]:
    """Return the criteria that a study asks for, as the page shows them."""
    return [
        {
            "name": c.name,
            "description": c.said,
            "anchors": {f"{at:g}": what for at, what in c.anchors.items()},
        }
        for c in (study.rubric.by_weight() if study.rubric else ())
    ]

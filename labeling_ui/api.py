"""What the page asks of the server: JSON over HTTP, under /api.

Identity comes from the signed cookie alone. Whatever changes something carries the session's CSRF token,
names the lease that it speaks of, and answers with where the annotator stands then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from labeling_ui.answers import ANSWER, Form
from labeling_ui.breaks import pause, resume
from labeling_ui.people import Refused
from labeling_ui.recording import AnyAnswer
from labeling_ui.reviewing import Decisions
from labeling_ui.sessions import COOKIE, CSRF_HEADER
from labeling_ui.steps import checked, step_of
from labeling_ui.views import Turns, View
from rewardkit.errors import RewardkitError

LeaseId = Annotated[str, Field(max_length=64)]


class Submission(Form):
    """An answer to what was given under a lease."""

    lease: LeaseId
    answer: dict[str, Any]


class Reviewed(Submission):
    """An answer after a judge's points, and what the annotator makes of each."""

    points: Decisions


class Draft(Form):
    """What the page wants kept of an answer that is not finished."""

    lease: LeaseId
    draft: dict[str, Any]


class Agreement(Form):
    """Consent, and the version of what was agreed to."""

    version: Annotated[str, Field(max_length=100)]


class CheckAnswers(Form):
    """Numbers of the options that were taken, from 1."""

    answers: Annotated[list[Annotated[int, Field(ge=1, le=8)]], Field(max_length=50)]


@dataclass(frozen=True)
class Api:
    """The handlers of one study's page."""

    turns: Turns

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api")
        for path, handler in (
            ("/me", self.me),
            ("/turn", self.turn),
            ("/latest", self.latest),
            ("/latest/{lease}", self.earlier),
        ):
            router.add_api_route(path, handler, methods=["GET"])
        for path, change in (
            ("/consent", self.consent),
            ("/check", self.check),
            ("/submit", self.submit),
            ("/revise", self.revise),
            ("/review", self.review),
            ("/draft", self.draft),
            ("/give-back", self.give_back),
            ("/break", self.take_break),
        ):
            router.add_api_route(path, change, methods=["POST"])
        return router

    def me(self, request: Request) -> View:
        """Return the token that changes need, and what stays at hand on every screen."""
        person, study = self.person(request), self.turns.desk.study
        guidelines = study.guidelines.html
        return {"csrf": self.turns.sessions.csrf(person), "title": study.config.title, "guidelines": guidelines}

    def turn(self, request: Request) -> View:
        """Return where the annotator stands."""
        return self.turns.turn(self.person(request))

    def latest(self, request: Request) -> View:
        """Return the answers that can still be changed."""
        return self.turns.latest(self.person(request))

    def earlier(self, request: Request, lease: str) -> View:
        """Return an answered item, to be changed."""
        return self.turns.earlier(self.person(request), lease)

    def consent(self, request: Request, agreed: Agreement) -> View:
        """Keep that the annotator agreed to what they were shown."""
        person, study = self.changing(request), self.turns.desk.study
        if agreed.version != study.version:
            raise Refused("the guidelines have changed meanwhile", fix="reload the page and read them again")
        self.turns.people.keep(person, "consented", lambda _: study.agreement)
        return self.turns.turn(person)

    def check(self, request: Request, form: CheckAnswers) -> View:
        """Take a try at the comprehension check."""
        person, study = self.changing(request), self.turns.desk.study
        if len(form.answers) != len(study.config.check.questions):
            raise Refused("every question wants an answer", fix="answer all of them")

        def tried(details: Any) -> dict[str, Any]:
            if step_of(details, study) != "check":
                raise Refused("there is nothing to check now", fix="reload the page")
            return checked(details, study, form.answers)

        self.turns.people.keep(person, "checked", tried)
        return self.turns.turn(person)

    def submit(self, request: Request, form: Submission) -> View:
        """Take an answer, give the next item."""
        person = self.changing(request)
        lease = self.turns.desk.submit_and_next(form.lease, person, read_answer(form.answer))
        return self.turns.after(person, lease)

    def revise(self, request: Request, form: Submission) -> View:
        """Replace one of the latest answers."""
        person = self.changing(request)
        self.turns.desk.revise(form.lease, person, read_answer(form.answer))
        return self.turns.turn(person)

    def review(self, request: Request, form: Reviewed) -> View:
        """Keep what the annotator makes of a judge's points, give the next item."""
        person = self.changing(request)
        lease = self.turns.desk.review(form.lease, person, read_answer(form.answer), form.points)
        return self.turns.after(person, lease)

    def draft(self, request: Request, form: Draft) -> View:
        """Keep an answer that is not finished."""
        self.turns.desk.keep_draft(form.lease, self.changing(request), form.draft)
        return {"kept": True}

    def give_back(self, request: Request, lease: Annotated[LeaseId, Body(embed=True)]) -> View:
        """Return an item unanswered."""
        person = self.changing(request)
        self.turns.desk.give_back(lease, person)
        return self.turns.turn(person)

    def take_break(self, request: Request, on: Annotated[bool, Body(embed=True)]) -> View:
        """Begin or end a break; an item in hand waits, and the time for it stands still."""
        person = self.changing(request)
        (pause if on else resume)(self.turns.desk, person)
        return self.turns.turn(person)

    def person(self, request: Request) -> str:
        """Return who asks.

        Raises:
            HTTPException: Nobody that is known.
        """
        person = self.turns.sessions.person_of(request.cookies.get(COOKIE))
        if person is None:
            raise HTTPException(401, "open the link of your invitation, or log in")
        return person

    def changing(self, request: Request) -> str:
        """Return who asks for a change.

        Raises:
            HTTPException: Nobody that is known, or the request does not come from the page.
        """
        person = self.person(request)
        if not self.turns.sessions.same_csrf(person, request.headers.get(CSRF_HEADER)):
            raise HTTPException(403, "the request does not come from this page; reload it")
        return person


def refused(_: Request, error: Exception) -> JSONResponse:
    """Answer a request that is not granted, or whose text cannot be stored."""
    assert isinstance(error, RewardkitError)
    return JSONResponse({"problem": error.what, "fix": error.fix}, 409)


def read_answer(form: dict[str, Any]) -> AnyAnswer:
    """Return an answer as the page sent it.

    Raises:
        HTTPException: It is none.
    """
    try:
        return ANSWER.validate_python(form)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HTTPException(422, f"the answer cannot be read: {where}: {first['msg']}") from error

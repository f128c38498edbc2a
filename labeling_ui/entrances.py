"""How people come in: from Prolific, by an invitation, by name and password; and the researcher by a link.

Each way ends with a signed cookie and the page. Forms are plain HTML, which works before any script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.engine import Row
from starlette.exceptions import HTTPException

from labeling_ui.passwords import Attempts, hash_password, same_password
from labeling_ui.people import People, Refused, Role
from labeling_ui.sessions import COOKIE, WEEK, Sessions
from labeling_ui.study import Study
from rewardkit.types import Annotator, content_id

TEMPLATES = Path(__file__).parent / "templates"
PROLIFIC_ID = re.compile(r"[0-9A-Za-z]{1,64}")
MOST_SIGNUPS = 30
HASHED_AT_ONCE = 2
NOT_FOUND = "Not Found"
"""What is said where no route fits."""
NAME = re.compile(r"\S(.{0,78}\S)?")

Field_ = Annotated[str, Form(max_length=300)]


@dataclass
class Entrances:
    """The ways in.

    Attributes:
        study: What people join.
        people: Where they are kept.
        sessions: Signs their cookies.
        attempts: Limits how often a password may be guessed.
        signups: Limits how many names may be made from one address, where a class may sit behind one.
        hashing: How many passwords are hashed at once: each takes 64 MiB, and a thread that others wait for.
    """

    study: Study
    people: People
    sessions: Sessions
    attempts: Attempts = field(default_factory=Attempts)
    signups: Attempts = field(default_factory=lambda: Attempts(most=MOST_SIGNUPS))
    hashing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(HASHED_AT_ONCE))

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/start", self.start, methods=["GET"])
        router.add_api_route("/join/{token}", self.join, methods=["GET"])
        router.add_api_route("/persona/{token}", self.persona, methods=["GET"])
        router.add_api_route("/researcher/{token}", self.researcher, methods=["GET"])
        router.add_api_route("/login", self.form, methods=["GET"])
        router.add_api_route("/login", self.login, methods=["POST"])
        router.add_api_route("/signup", self.signup, methods=["POST"])
        router.add_api_route("/logout", self.logout, methods=["POST"])
        return router

    def start(self, request: Request) -> Response:
        """Let somebody in who comes from Prolific."""
        names = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
        who, study, session = (request.query_params.get(name, "")[:100] for name in names)
        if self.study.config.prolific is None:
            return self._refuse(request, "This study does not take people from Prolific.")
        expected = self.study.config.prolific.study_id
        if not PROLIFIC_ID.fullmatch(who):
            return self._refuse(request, "This link lacks your Prolific ID. Open the study from Prolific again.")
        if expected is not None and study != expected:
            return self._refuse(request, "This link belongs to another study. Open the study from Prolific again.")

        def arrived() -> str:
            person = self._known("prolific", who)
            self.people.keep(person, "arrived", lambda _: {"prolific": {"study": study, "session": session}})
            return person

        return self._let_in(request, arrived)

    def join(self, request: Request, token: str) -> Response:
        """Let somebody in who was invited."""
        name = self.sessions.invited(token)
        if name is None:
            return self._refuse(request, "This invitation is not valid. Ask for a new one.")
        return self._let_in(request, partial(self._known, "invitation", name))

    def persona(self, request: Request, token: str) -> Response:
        """Let a simulated annotator in; only who has the workspace's secret can make such a link."""
        name = self.sessions.persona_of(token)
        if name is None:
            return self._refuse(request, "This link is not valid.")
        return self._let_in(request, partial(self._known, "persona", name, simulated=True))

    def researcher(self, request: Request, token: str) -> Response:
        """Let a researcher in."""
        name = self.sessions.logged_in(token)
        if name is None:
            return self._refuse(
                request, "This link is not valid any more. Start `rewardkit label` again for a new one."
            )
        return self._let_in(request, partial(self._known, "researcher", name, role="admin"), to="/admin/")

    def form(self, request: Request) -> Response:
        """Show the form for a name and a password."""
        return self._page("login.html.j2", request, problem="")

    async def login(self, request: Request, name: Field_, password: Field_) -> Response:
        """Let somebody in by name and password."""
        keys = f"name {name}", _address(request)
        try:
            _require_own_form(request)
            # What is refused anyway does not wait for its turn.
            self.attempts.require(*keys)
            person = await run_sync(self._person_of, name, password, keys, limiter=self.hashing)
        except Refused as refused:
            return self._page("login.html.j2", request, problem=_sentence(refused), status=403)
        return self._enter(request, person.id, to="/admin/" if person.role == "admin" else "/work/")

    def _person_of(self, name: str, password: str, keys: Sequence[str]) -> Row[Any]:
        """Return who has a name and a password.

        Raises:
            Refused: Nobody, or there were too many attempts.
        """
        self.attempts.reserve(*keys)
        person = self.people.find("password", name)
        right = same_password(password, person.details.get("password") if person is not None else None)
        if person is None or not right:
            raise Refused("name or password is wrong")
        self.attempts.release(*keys)
        return person

    async def signup(self, request: Request, name: Field_, password: Field_) -> Response:
        """Make somebody known under a name of their own, where the study is open to all."""
        try:
            _require_own_form(request)
            if not self.study.config.open_signup:
                raise Refused("this study takes only people who were invited")
            self.signups.reserve(_address(request))
            person = await run_sync(self.add_person, name, password, limiter=self.hashing)
        except Refused as refused:
            return self._page("login.html.j2", request, problem=_sentence(refused), status=403)
        return self._enter(request, person)

    def add_person(self, name: str, password: str, *, role: Role = "annotator") -> str:
        """Make somebody known under a name and a password; return their id.

        Raises:
            Refused: The name is taken, erased or none, or the password too short.
        """
        if not NAME.fullmatch(name):
            raise Refused("a name has 1 to 80 characters", fix="choose another")
        hashed = hash_password(password)
        person = self._known("password", name, role=role)

        def once(details: dict[str, str]) -> dict[str, str]:
            if "password" in details:
                raise Refused("this name is taken", fix="choose another")
            return {"password": hashed}

        self.people.keep(person, "password set", once)  # type: ignore[arg-type]
        return person

    def logout(self, request: Request) -> Response:
        """End the session in this browser."""
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    def nowhere(self, request: Request, error: Exception) -> Response:
        """Answer a request for what there is not: people in words, programs as they expect it."""
        assert isinstance(error, HTTPException)
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"detail": error.detail}, error.status_code)
        problem = "There is no such page." if error.detail == NOT_FOUND else f"{_capital(error.detail)}."
        return self._page("nowhere.html.j2", request, problem=problem, status=error.status_code)

    def _let_in(self, request: Request, known: Callable[[], str], *, to: str = "/work/") -> Response:
        try:
            person = known()
        except Refused as refused:
            return self._refuse(request, f"{_capital(_sentence(refused))}.")
        return self._enter(request, person, to=to)

    def _known(self, entry: str, external_id: str, *, role: Role = "annotator", simulated: bool = False) -> str:
        # Labels carry a pseudonym; who that is stands only among the people, whom no export writes.
        pseudonym = f"{self.study.name}-{content_id('pseudonym', self.sessions.secret, entry, external_id)[:12]}"
        group = self.study.config.rater_group
        annotator = Annotator.of("human", pseudonym, rater_group=group, simulated=simulated)
        return self.people.join(entry, external_id, annotator, role=role)

    def _enter(self, request: Request, person_id: str, *, to: str = "/work/") -> Response:
        answer = RedirectResponse(to, 303)
        secure = (self.study.config.public_url or str(request.url)).startswith("https:")
        answer.set_cookie(
            COOKIE, self.sessions.cookie(person_id), max_age=WEEK, httponly=True, samesite="lax", secure=secure
        )
        return answer

    def _refuse(self, request: Request, problem: str) -> Response:
        return self._page("refused.html.j2", request, problem=problem, status=403)

    def _page(self, name: str, request: Request, *, problem: str, status: int = 200) -> HTMLResponse:
        # A form that nobody can fill in is not shown.
        passwords = self.study.config.open_signup or self.people.any_came_by("password")
        html = _templates().get_template(name).render(config=self.study.config, problem=problem, passwords=passwords)
        return HTMLResponse(html, status)


def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)


def _address(request: Request) -> str:
    return f"address {request.client.host if request.client else ''}"


def _require_own_form(request: Request) -> None:
    """Refuse a form that another site sends: there is no session yet whose token it could carry.

    Raises:
        Refused: It comes from elsewhere.
    """
    origin = request.headers.get("origin") or request.headers.get("referer")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused("the form was sent from another site", fix="open this page directly")


def _sentence(refused: Refused) -> str:
    return f"{refused.what}: {refused.fix}" if refused.fix else refused.what


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]

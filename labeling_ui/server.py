"""One process: FastAPI owns sessions, leases and export; the Gradio pages are mounted behind it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from labeling_ui.admin import admin_page
from labeling_ui.admin_access import Researchers
from labeling_ui.admin_files import Downloads
from labeling_ui.api import Api, refused
from labeling_ui.chat_api import ChatApi
from labeling_ui.chat_views import ChatViews
from labeling_ui.chatting import Chat, Replies
from labeling_ui.conversations import Conversations
from labeling_ui.desk import Desk
from labeling_ui.entrances import Entrances
from labeling_ui.first_paint import FirstPaint
from labeling_ui.gate import Gate
from labeling_ui.judges import Judges
from labeling_ui.live_review import LiveReview
from labeling_ui.office import Office
from labeling_ui.page import work_page
from labeling_ui.people import People, Refused
from labeling_ui.reviewing import LiveJudge
from labeling_ui.sessions import Sessions
from labeling_ui.settings import read_settings, settled
from labeling_ui.study import Study
from labeling_ui.views import Turns
from rewardkit.errors import DataError
from rewardkit.extras import require
from rewardkit.store.store import Store

STATIC = Path(__file__).parent / "static"
LARGEST_UPLOAD = 512 * 2**20
LAST_SECONDS = 3
IDLE_SECONDS = 75
"""For which a connection is kept while somebody reads: opening a new one would be felt at each answer."""


@dataclass(frozen=True)
class Served:
    """A study that is ready to be served.

    Attributes:
        app: The ASGI application.
        sessions: Signs links to it.
        people: Who takes part.
    """

    app: FastAPI
    sessions: Sessions
    people: People


@dataclass(frozen=True)
class Writers:
    """Models that write for the pages.

    Attributes:
        replies: With whom people talk, in a study of conversations.
        judge: Asked after an answer, in a study whose reviews are live.
        judges: What researchers do with judges.
    """

    replies: Replies | None = None
    judge: LiveJudge | None = None
    judges: Judges = Judges()


def build(store: Store, study: Study, secret: str, *, pages: bool = True, writers: Writers | None = None) -> Served:
    """Put a study's server together.

    Args:
        store: Holds everything.
        study: What is labelled.
        secret: Signs cookies and links.
        pages: Without them there is only what programs speak with, and Gradio is not loaded.
        writers: Models that write for the pages.
    """
    writers = writers or Writers()
    study = settled(study, read_settings(store, study.name))
    sessions = Sessions(secret, study.name)
    people = People(store, study.name)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(DataError, refused)
    desk, entrances = Desk(store, study, judge=writers.judge), Entrances(study, people, sessions)
    talk = Conversations(desk, study.config.chat) if study.config.chat else None
    api = Api(Turns(desk, people, sessions, ChatViews(talk) if talk else None))
    app.include_router(api.router())
    if talk and writers.replies:
        app.include_router(ChatApi(api, Chat(talk, writers.replies, api.turns.turn)).router())
    office, researchers = Office(desk, people, sessions, entrances, writers.judges), Researchers(people, sessions)
    if writers.judge and study.config.review and study.config.review.live:
        review = LiveReview(api, writers.judge, study.config.review.live)
        app.include_router(review.router())
        office.watching.shared = review.room
    app.include_router(entrances.router())
    app.add_exception_handler(404, entrances.nowhere)
    app.add_api_route("/healthz", lambda: {"ok": True}, methods=["GET"])
    app.add_api_route("/", lambda: RedirectResponse("/work/", 303), methods=["GET"])
    app.add_api_route("/favicon.ico", lambda: RedirectResponse("/static/icon.svg", 301), methods=["GET"])
    app.mount("/static", StaticFiles(directory=STATIC))
    app.include_router(Downloads(office, researchers).router())
    if pages:
        _mount(app, office, researchers)
    app.add_middleware(Gate, people=people, sessions=sessions)
    return Served(app, sessions, people)


def _mount(app: Any, office: Office, researchers: Researchers) -> None:
    # Read when gradio is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    gradio = require("gradio", "ui")
    # The system's fonts: the themes' own come from another host.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page: dict[str, Any] = {"theme": theme, "show_error": False, "footer_links": []}
    # Said to screen readers after every event; Gradio's own dictionary lacks it, and the key would be read out.
    page["i18n"] = gradio.I18n(en={"common.complete": "Done"})
    gradio.mount_gradio_app(app, work_page(office.desk.study.config.title), path="/work", **page)
    app.add_middleware(FirstPaint, path="/work/", sheet="/static/page.css")
    # As a link: Gradio would rewrite the selectors of a style sheet that it is given itself.
    page["head"] = '<link rel="stylesheet" href="/static/admin.css">'
    gradio.mount_gradio_app(app, admin_page(office, researchers), path="/admin", max_file_size=LARGEST_UPLOAD, **page)
    # After what takes a core for seconds: it loads while the first researcher opens the link.
    office.open()


def serve(served: Served, bound: socket.socket) -> None:
    """Serve until interrupted."""
    import uvicorn

    # Replies on their way do not hold up the end: their message stays, and is replied to anew.
    config = uvicorn.Config(
        served.app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
    )
    uvicorn.Server(config).run([bound])

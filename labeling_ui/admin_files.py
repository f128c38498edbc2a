"""Downloads of the researchers' page: routes of their own, as Gradio would keep copies of what it hands out."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import orjson
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from labeling_ui.admin_access import Researchers
from labeling_ui.office import Office
from labeling_ui.one_person import lines_of
from labeling_ui.people import Refused
from labeling_ui.trail import note
from labeling_ui.uploads import REJECTS
from rewardkit.store.exporting import export

TOKEN = re.compile(r"[\w-]{8,64}")
FILES = {"records.jsonl": "jsonl", "labels.parquet": "parquet", "preferences-trl.jsonl": "trl"}
"""What is offered, with the exporter that makes it."""


@dataclass(frozen=True)
class Downloads:
    """Hands out files to researchers, each made for the request and gone after it.

    Attributes:
        office: Of the study.
        researchers: Who may have them.
    """

    office: Office
    researchers: Researchers

    def router(self) -> APIRouter:
        """Return the routes; they stand before the page that is mounted above them."""
        router = APIRouter(prefix="/admin/files")
        router.add_api_route("/export/{name}", self.export, methods=["GET"])
        router.add_api_route("/audit", self.audit, methods=["GET"])
        router.add_api_route("/person/{person_id}", self.person, methods=["GET"])
        router.add_api_route("/rejects/{token}", self.rejects, methods=["GET"])
        return router

    def export(self, request: Request, name: str) -> FileResponse:
        """Export the store as it is now."""
        by = self._researcher(request, f"export {name}")
        if name not in FILES:
            raise HTTPException(404, "there is no such export")
        path = self._place(name)
        export(self.office.store, path, FILES[name])
        self._note("exported", by, name=name)
        return _sent(path, f"{self.office.desk.study.name}-{name}")

    def audit(self, request: Request) -> FileResponse:
        """Send the page of the judges as they were measured the last time."""
        by, audit = self._researcher(request, "audit of the judges"), self.office.judges.audit
        if audit is None or audit.kept() is None:
            raise HTTPException(404, "the judges have not been measured yet")
        self._note("exported", by, name="audit of the judges")
        name = f"{self.office.desk.study.name}-judges.html"
        return FileResponse(audit.page, filename=name, media_type="application/octet-stream")

    def person(self, request: Request, person_id: str) -> FileResponse:
        """Export all that is kept of one person."""
        by, study = self._researcher(request, "export a person"), self.office.desk.study.name
        path = self._place("person.jsonl")
        try:
            with path.open("wb") as file:
                for line in lines_of(self.office.store, study, person_id):
                    file.write(orjson.dumps(line) + b"\n")
        except Refused as refused:
            path.unlink()
            raise HTTPException(404, refused.what) from refused
        self._note("exported", by, name="one person", person=person_id)
        return _sent(path, f"{study}-person.jsonl")

    def rejects(self, request: Request, token: str) -> FileResponse:
        """Send the rejected rows of an upload."""
        self._researcher(request, "rejects")
        path = self.office.folder / REJECTS.format(token=token)
        if not TOKEN.fullmatch(token) or not path.exists():
            raise HTTPException(404, "these rows are not kept any more: upload the file again")
        return FileResponse(path, filename="rejects.jsonl", media_type="application/x-ndjson")

    def _researcher(self, request: Request, what: str) -> str:
        try:
            return str(self.researchers.require(request.cookies, what).id)
        except Refused as refused:
            raise HTTPException(403, refused.what) from refused

    def _place(self, name: str) -> Path:
        return self.office.folder / f"{secrets.token_hex(8)}-{name}"

    def _note(self, kind: str, by: str, **details: str) -> None:
        study = self.office.desk.study.name
        with self.office.store.writing() as connection:
            note(connection, kind, study=study, at=self.office.desk.clock(), person_id=by, **details)


def _sent(path: Path, name: str) -> FileResponse:
    # Gone once it is sent, also where the browser breaks off.
    return FileResponse(
        path, filename=name, media_type="application/octet-stream", background=BackgroundTask(path.unlink)
    )

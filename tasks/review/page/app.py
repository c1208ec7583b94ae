"""The page as a FastAPI application: its shell, what it asks for, and what a click does."""

import mimetypes
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from segmentation.errors import InputRejected, SpanscanError
from tasks.report.wording import clean_text
from tasks.review.decisions import MOST_COMMENT_CHARS, MOST_NAME_CHARS, StaleDecisionError, Verdict
from tasks.review.page.guard import Access, Guard
from tasks.review.session import ReviewSession

_ASSETS: Final = {"review.js": "text/javascript", "review.css": "text/css", "report.css": "text/css"}
_REPORT_ASSETS: Final = ("report.css",)


class _Asked(BaseModel):
    """A decision as the page sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    defect_id: Annotated[str, Field(max_length=200)]
    verdict: Verdict
    comment: Annotated[str, Field(max_length=4 * MOST_COMMENT_CHARS)]
    reviewer: Annotated[str, Field(max_length=4 * MOST_NAME_CHARS)]
    saw: Annotated[int, Field(ge=0, lt=99_999)]


def review_app(session: ReviewSession, access: Access, *, reviewer: str | None) -> ASGIApp:
    """The application behind its guard; `reviewer` is the name that the page starts with."""
    app = FastAPI(title="spanscan review", docs_url=None, redoc_url=None, openapi_url=None)
    shell = _shell(session, reviewer)
    _add_pages(app, session, shell)
    _add_actions(app, session)
    app.add_exception_handler(SpanscanError, _told)
    return Guard(app, access)


def _add_pages(app: FastAPI, session: ReviewSession, shell: str) -> None:
    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(shell)

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise InputRejected("E_NOT_FOUND", clean_text(name, most_chars=40), "no such file", "reload the page")
        return Response(_asset(name), media_type=_ASSETS[name])

    @app.get("/pictures/{look}/{defect_id:path}")
    def picture(look: str, defect_id: str) -> Response:
        return Response(session.picture(defect_id, outlined=look == "outlined"), media_type="image/jpeg")

    @app.get("/revisions/{number}/{key:path}")
    def issued(number: int, key: str) -> Response:
        return _file(session.issued_file(number, key), key)

    @app.get("/runs/{run_key}/{key:path}")
    def published(run_key: str, key: str) -> Response:  # noqa: ARG001 - there is one run
        return _file(session.run_file(key), key)


def _add_actions(app: FastAPI, session: ReviewSession) -> None:
    @app.get("/api/review")
    def review() -> dict[str, Any]:
        return session.overview()

    @app.get("/api/decisions")
    def decisions() -> dict[str, Any]:
        return session.decisions()

    @app.get("/api/defects/{defect_id:path}")
    def defect(defect_id: str) -> dict[str, Any]:
        return session.detail(defect_id)

    @app.post("/api/decisions", status_code=201)
    def decide(asked: _Asked) -> Response:
        try:
            made = session.decide(
                asked.defect_id, asked.verdict, comment=asked.comment, reviewer=asked.reviewer, saw=asked.saw
            )
        except StaleDecisionError:
            return JSONResponse({"code": "E_STALE", **session.decisions()}, status_code=409)
        return JSONResponse({"decision": made, **session.decisions()}, status_code=201)

    @app.post("/api/revisions", status_code=201)
    def issue() -> dict[str, Any]:
        revision = session.issue()
        return {"revision": revision.number, "decisions": revision.decisions, "defects": revision.defects}


def _told(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 - FastAPI's signature
    assert isinstance(error, SpanscanError)
    status = {"E_NOT_FOUND": 404}.get(error.code, 422 if isinstance(error, InputRejected) else 500)
    return JSONResponse({"code": error.code, "message": str(error)}, status_code=status)


def _file(data: bytes, key: str) -> Response:
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return Response(data, media_type=kind)


def _shell(session: ReviewSession, reviewer: str | None) -> str:
    templates = Environment(
        loader=PackageLoader("tasks.review.page", package_path="."), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("review.html.j2").render(
        survey=clean_text(session.place.survey_id),
        run_key=session.place.run_key,
        reviewer=clean_text(reviewer or ""),
        most_name=MOST_NAME_CHARS,
        most_comment=MOST_COMMENT_CHARS,
    )


@cache
def _asset(name: str) -> str:
    package = "tasks.report.templates" if name in _REPORT_ASSETS else "tasks.review.page"
    return files(package).joinpath(name).read_text(encoding="utf-8")

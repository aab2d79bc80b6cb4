"""POST /api/v1/launch, and GET /api/v1/dicom/viewer/{study_uid}."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent
from interop.errors import ForbiddenError, InvalidContentError, Issue, MalformedError, TooLargeError
from interop.imaging_api.launcher import Launched, Launcher

Asked = TypeVar("Asked", bound=BaseModel)

_MAX_BODY = 64 * 1024


class LaunchRequest(BaseModel):
    """What to open: studies by UID, or all studies of one accession number."""

    model_config = ConfigDict(extra="forbid", str_max_length=128)

    studies: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    accession: str | None = None
    annotate: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> LaunchRequest:
        if (self.studies is None) == (self.accession is None):
            raise ValueError("give either studies (a list of UIDs) or accession")
        return self


class LaunchDoor:
    """The endpoint."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    async def post(self, request: Request) -> Response:
        """A one-time URL for the studies asked for."""
        agent = with_bearer(request)
        wanted = read_as(LaunchRequest, await body_of(request))
        studies = _once(wanted.studies or await self._launcher.studies_of(agent, wanted.accession or ""))
        return self._told(await self._launcher.launched(agent, studies, annotate=wanted.annotate), studies)

    async def to_viewer(self, request: Request) -> Response:
        """GET: the same for the studies in the path, commas between, as a redirect; as JSON for who accepts that."""
        agent = with_bearer(request)
        studies = _once(uid for uid in request.path_params["study_uid"].split(",") if uid)
        launched = await self._launcher.launched(agent, studies)
        if "application/json" in request.headers.get("accept", ""):
            answer = self._told(launched, studies)
        else:
            answer = RedirectResponse(launched.url, 303)
        answer.headers["vary"] = "Accept"
        return answer

    def _told(self, launched: Launched, studies: Sequence[str]) -> Response:
        warnings = [each.told() for each in launched.unseen]
        told = {"url": launched.url, "expires_in": self._launcher.seconds, "studies": studies, "warnings": warnings}
        return JSONResponse(told)


def with_bearer(request: Request) -> Agent:
    """Who asks; ForbiddenError for a viewer session, which has no more to give than it has."""
    agent: Agent = request.state.agent
    if agent.kind == "viewer":
        raise ForbiddenError("a viewer session cannot launch another; a bearer token can")
    return agent


async def body_of(request: Request) -> bytes:
    """The body; TooLargeError if it is longer than a request here can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise TooLargeError(f"a launch request is at most {_MAX_BODY} bytes")
    return body


def _once(studies: Iterable[str]) -> list[str]:
    """Each of them once, in the order in which they are named."""
    return list(dict.fromkeys(studies))


def read_as(kind: type[Asked], body: bytes) -> Asked:
    """The request in this body; MalformedError, InvalidContentError naming what is wrong with it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        issues = tuple(
            Issue("invalid", f"{'.'.join(map(str, found['loc']))}: {found['msg']}".removeprefix(": "))
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        )
        text = "; ".join(issue.text for issue in issues)
        if any(found["type"] == "json_invalid" for found in error.errors(include_url=False)):
            raise MalformedError(f"the body is not JSON: {text}", issues=issues) from None
        raise InvalidContentError(text, issues=issues) from None


def imaging_routes(launcher: Launcher) -> list[BaseRoute]:
    """The routes of this door."""
    door = LaunchDoor(launcher)
    return [
        Route("/api/v1/launch", door.post, methods=["POST"]),
        Route("/api/v1/dicom/viewer/{study_uid}", door.to_viewer, methods=["GET"]),
    ]

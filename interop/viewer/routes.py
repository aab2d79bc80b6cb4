"""The viewer's door: one-time URLs, IHE's Invoke Image Display, and OHIF itself at the root of the site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent
from interop.errors import ConflictError, ForbiddenError, NotFoundError, UnsupportedError
from interop.viewer.assets import Assets
from interop.viewer.pages import LAUNCHED, MODES, ViewerPages

_ELSEWHERE = re.compile(r"(fhir|dicom-web|api|console|login|\.well-known)(/.*)?")

_MOST_NUMBERS = 30  # accession numbers in one IID address


class Links(Protocol):
    """Redeems one-time URLs."""

    async def redeem(
        self, code: str, caller: Agent, cookies: str, *, in_frame: bool = False
    ) -> tuple[list[str], list[str]]: ...


class Launch(Protocol):
    """Makes launches."""

    async def launch(self, agent: Agent, studies: Sequence[str]) -> str: ...
    async def studies_of(self, agent: Agent, accession: str) -> list[str]: ...
    async def studies_of_patient(
        self, agent: Agent, patient_id: str, *, newest: str, lower: str, upper: str, modalities: str
    ) -> list[str]: ...
    async def require(self, agent: Agent, studies: Sequence[str]) -> object: ...
    async def not_shown(self, agent: Agent, studies: Sequence[str]) -> list[dict[str, str]]: ...


class Viewer:
    """The endpoints."""

    def __init__(self, links: Links, launch: Launch, assets: Assets | None, pages: ViewerPages) -> None:
        self._links = links
        self._launch = launch
        self._assets = assets
        self._pages = pages

    async def open(self, request: Request) -> Response:
        """GET /viewer/open/{code}: sets the cookie and leads to the study. A HEAD request uses nothing up."""
        if request.method != "GET":
            return Response(status_code=405, headers={"allow": "GET"})
        cookies = "; ".join(request.headers.getlist("cookie"))
        studies, set_cookies = await self._links.redeem(
            request.path_params["code"], request.state.agent, cookies, in_frame=self._pages.framed(request.headers)
        )
        response = self._to_viewer(request, studies)
        for value in set_cookies:
            response.headers.append("set-cookie", value)
        return response

    async def iid(self, request: Request) -> Response:
        """GET /viewer/iid (IHE RAD-106): a bearer is led to a one-time URL, a fitting session to the images.

        HEAD is not answered: a URL that opens once is made for who follows it.
        """
        if request.method != "GET":
            return Response(status_code=405, headers={"allow": "GET"})
        agent: Agent = request.state.agent
        try:
            studies = list(dict.fromkeys(await self._asked_for(agent, request.query_params)))
        except (NotFoundError, ConflictError) as error:
            if agent.kind != "viewer":
                raise
            # A session is not told which numbers of others there are.
            raise ForbiddenError("this session holds no study of this number") from error
        if agent.kind == "viewer":
            await self._launch.require(agent, studies)
            return self._to_viewer(request, studies)
        return RedirectResponse(await self._launch.launch(agent, studies), 303)

    async def unseen(self, request: Request) -> Response:
        """GET /viewer/unseen: what of the studies the viewer will not show, for the notice on its page."""
        studies = _studies(request.query_params)
        if not studies:
            raise UnsupportedError("StudyInstanceUIDs names the studies")
        warnings = await self._launch.not_shown(request.state.agent, studies)
        return JSONResponse({"warnings": warnings}, headers={"cache-control": "no-store"})

    async def _asked_for(self, agent: Agent, params: QueryParams) -> list[str]:
        kind = params.get("requestType")
        if kind == "PATIENT":
            return await self._of_patient(agent, params)
        if kind != "STUDY":
            raise UnsupportedError("requestType is STUDY or PATIENT")
        uids = _listed(params, "studyUID")
        if uids:
            return uids
        numbers = _listed(params, "accessionNumber")
        if not numbers:
            raise UnsupportedError("requestType=STUDY needs studyUID or accessionNumber")
        if len(numbers) > _MOST_NUMBERS:
            raise UnsupportedError(f"at most {_MOST_NUMBERS} accession numbers are opened together")
        return [uid for number in numbers for uid in await self._launch.studies_of(agent, number)]

    async def _of_patient(self, agent: Agent, params: QueryParams) -> list[str]:
        if not params.get("patientID"):
            raise UnsupportedError("requestType=PATIENT needs patientID")
        return await self._launch.studies_of_patient(
            agent,
            params["patientID"],
            newest=params.get("mostRecentResults", ""),
            lower=params.get("lowerDateTime", ""),
            upper=params.get("upperDateTime", ""),
            modalities=",".join(_listed(params, "modalitiesInStudy")),
        )

    async def serve(self, request: Request) -> Response:
        """Everything else at the root: OHIF's files, and its page for the paths that it routes itself."""
        path = request.path_params["path"]
        if self._assets is None:
            raise NotFoundError("the viewer is not installed on this server (make setup, or INTEROP_OHIF_DIR)")
        if path.split("/", 1)[0] in MODES:
            return await self._show(request, request.state.agent) or self._page(request, self._assets)
        if path == "app-config.js":
            return self._assets.config(read_only=_is_read_only(request.state.agent))
        response = None if _ELSEWHERE.fullmatch(path) else self._assets.file(path, request.headers)
        if response is None:
            raise NotFoundError("there is nothing at this address")
        return response

    async def _show(self, request: Request, agent: Agent) -> Response | None:
        """A redirect where the address leaves the study open; None where the page may be shown."""
        studies = _studies(request.query_params)
        if studies:
            await self._launch.require(agent, studies)
        mode = request.path_params["path"].rstrip("/")
        if not studies and mode in LAUNCHED:  # OHIF's page would stay empty
            if not agent.studies:
                raise NotFoundError("no study is named; open one from where it is listed")
            return self._to_viewer(request, sorted(agent.studies), mode)
        return None

    def _page(self, request: Request, assets: Assets) -> Response:
        return assets.page(self._pages.ancestors("'self'"), self._pages.headers(request.scope))

    def _to_viewer(self, request: Request, studies: Sequence[str], mode: str = "viewer") -> RedirectResponse:
        named = quote(",".join(studies), safe=",")
        address = f"{self._pages.path}/{mode}?StudyInstanceUIDs={named}"
        return RedirectResponse(address, 303, self._pages.headers(request.scope))


def _studies(params: QueryParams) -> list[str]:
    """As OHIF reads them from its address."""
    return [uid for value in params.getlist("StudyInstanceUIDs") for uid in re.split(r"[,\\]", value) if uid]


def _is_read_only(agent: Agent) -> bool:
    """A bearer's rights are looked at when it stores; a session says beforehand."""
    return agent.studies is not None and not agent.annotates


def _listed(params: QueryParams, name: str) -> list[str]:
    return [part.strip() for value in params.getlist(name) for part in value.split(",") if part.strip()]


def viewer_routes(
    links: Links, launch: Launch, assets: Assets | None, pages: ViewerPages | None = None
) -> list[BaseRoute]:
    """The routes of this door. The last one takes what no other door has: put them after all others."""
    viewer = Viewer(links, launch, assets, pages or ViewerPages())
    return [
        Route("/viewer/open/{code}", viewer.open, methods=["GET"]),
        Route("/viewer/iid", viewer.iid, methods=["GET"]),
        Route("/viewer/unseen", viewer.unseen, methods=["GET"]),
        Route("/{path:path}", viewer.serve, methods=["GET"], name="ohif"),
    ]

"""/api/v1/jobs: dead letters of every kind, listed, tried again, given up.

To the scopes a job is what it is about (``workflow.dead_jobs.TYPES``): s to see it in the list, u to have it tried
again, d to give it up. Every call is audited in the commit of what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent, decide
from interop.audit import Event
from interop.errors import ForbiddenError, InvalidContentError, NotFoundError
from interop.store import Store, Tx
from interop.workflow import dead_jobs
from interop.workflow.dead_jobs import TYPES, DeadJob

VERBS = ("retry", "drop")
MOST = 500
_LETTERS = {"retry": "u", "drop": "d"}
_ACTS = {"retry": dead_jobs.retry, "drop": dead_jobs.drop}


class DeadJobs:
    """What may be done about dead letters."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, agent: Agent, words: Mapping[str, str]) -> dict[str, Any]:
        """A page of those that the agent may see, newest first; InvalidContentError for words that ask nothing."""
        kind, before, limit = asked(words)
        kinds = [each for each in ([kind] if kind else TYPES) if _may(agent, "s", each)]
        if not kinds:
            decide(agent, "s", TYPES[kind or "send"])

        def work(tx: Tx) -> list[DeadJob]:
            query = "&".join(f"{name}={value}" for name, value in words.items())
            tx.audit(Event("steering", "list-jobs", "E", query=f"GET /api/v1/jobs?{query}"))
            return dead_jobs.listed(tx, kinds, before=before, limit=limit)

        found = await self._store.unit(agent, work)
        following = found[-1].job.id if len(found) == limit else None
        return {"jobs": [_shown(one) for one in found], "next": following}

    async def act(self, verb: str, agent: Agent, id: int) -> dict[str, Any]:
        """Retry or drop; an InteropError says why it is not to be."""

        def work(tx: Tx) -> dict[str, Any]:
            found = dead_jobs.find(tx, id)
            decide(agent, _LETTERS[verb], TYPES[found.job.kind])
            _ACTS[verb](tx, found)
            return _shown(found) | {"state": "ready" if verb == "retry" else "dropped"}

        return await self._store.unit(agent, work)


def asked(words: Mapping[str, str]) -> tuple[str | None, int | None, int]:
    """Kind, before and limit; InvalidContentError for anything else."""
    for name in words:
        if name not in ("kind", "before", "limit"):
            raise InvalidContentError(f"{name!r} is not asked here; there are kind, before, limit", status=400)
    kind = words.get("kind")
    if kind is not None and kind not in TYPES:
        raise InvalidContentError(f"kind is one of {', '.join(TYPES)}", status=400)
    return kind, _number(words, "before", 2**62), _number(words, "limit", MOST) or 100


def _number(words: Mapping[str, str], name: str, most: int) -> int | None:
    text = words.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidContentError(f"{name} is a number from 1 to {most}", status=400)
    return int(text)


def _may(agent: Agent, letter: str, kind: str) -> bool:
    try:
        decide(agent, letter, TYPES[kind])
    except ForbiddenError:
        return False
    return True


def _shown(found: DeadJob) -> dict[str, Any]:
    job = found.job
    created = job.created.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": job.id,
        "kind": job.kind,
        "about": found.about,
        "state": "dead",
        "created": created,
        "attempts": job.attempt,
        "error": job.last_error,
    }


def jobs_routes(store: Store) -> list[BaseRoute]:
    """The routes of this door."""
    dead = DeadJobs(store)

    async def list_dead(request: Request) -> Response:
        pairs = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=20)
        words = dict(pairs)
        if len(words) != len(pairs):
            raise InvalidContentError("a question is asked once", status=400)
        return JSONResponse(await dead.list(request.state.agent, words))

    async def act(request: Request) -> Response:
        id: int = request.path_params["id"]
        if not 0 < id < 2**62:
            raise NotFoundError(f"there is no dead letter {id}")
        return JSONResponse(await dead.act(request.url.path.rsplit("/", 1)[1], request.state.agent, id))

    return [
        Route("/api/v1/jobs", list_dead, methods=["GET"]),
        Route("/api/v1/jobs/{id:int}/retry", act, methods=["POST"]),
        Route("/api/v1/jobs/{id:int}/drop", act, methods=["POST"]),
    ]

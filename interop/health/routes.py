"""GET /healthz: the process answers. GET /readyz: all it needs has answered too."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interop.health.checks import Readiness


def health_routes(readiness: Readiness) -> list[BaseRoute]:
    """The routes of this door; nobody needs to sign in for them, so they name parts and no addresses."""

    async def alive(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(request: Request) -> Response:
        findings = await readiness.findings()
        verdict = readiness.verdict(findings)
        good = verdict != "not ready"
        checks = {
            name: {"ok": finding.ok, "ms": finding.milliseconds}
            | ({"detail": finding.detail} if finding.detail else {})
            for name, finding in findings.items()
        }
        body = {"status": verdict, "checks": checks}
        return JSONResponse(body, 200 if good else 503, headers={} if good else {"retry-after": "5"})

    return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]

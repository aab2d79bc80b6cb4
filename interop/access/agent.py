"""The agent of a unit of work: the one value that doors make, the store keeps and the audit trail names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agent:
    """Whoever acts: a person or app with a token, a viewer with a cookie, an HL7 peer, or a part of this server."""

    who: str  # token subject, "RIS|HOSP" (MSH-3|MSH-4) for a peer, "archive-feed" for a part of ours
    kind: str = "user"  # user | viewer | peer | system | anonymous
    name: str | None = None  # display, never logged
    client: str | None = None  # client_id of the token, or the door's own name
    address: str | None = None  # network address of the caller
    scopes: frozenset[str] = frozenset()  # SMART v2 scopes, e.g. "system/*.cruds"
    patient: str | None = None  # launch patient: the id that patient/… scopes are bound to
    studies: frozenset[str] | None = None  # a viewer cookie's StudyInstanceUIDs; None: not limited to studies
    token_id: str | None = None  # jti
    request_id: str | None = None  # X-Request-Id, or the HL7 control id
    annotates: frozenset[str] = frozenset()  # of a viewer's studies, those into which it may store annotations
    expires: float | None = None  # when its token does, in seconds since 1970; None: it has none


def system_agent(part: str) -> Agent:
    """The agent for work that the server does of its own accord, e.g. ``system_agent("archive-feed")``."""
    return Agent(who=part, kind="system", client=part)

"""One FHIR interaction as a value, whichever way it was asked for: an HTTP request or an entry of a Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Protocol

from interop.access import Agent
from interop.errors import InteropError
from interop.fhir.summary import View
from interop.store import Stored, Tx


class Patch(Protocol):
    """A change of a resource, read from a request and not yet carried out: ``interop.fhir.json_patch``, for one."""

    def applied(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource as it is changed; InvalidContentError where it cannot be changed so."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for. ``resource`` was validated, or ``problem`` says why it could not be."""

    interaction: str  # codes of R4 valueset-type-restful-interaction, or transaction, batch, capabilities
    type: str = ""
    id: str = ""
    version: str = ""
    params: tuple[tuple[str, str], ...] = ()
    query: str = ""  # as it was sent, for the audit trail
    operation: str = ""  # its name without the $, where the interaction is one
    resource: dict[str, Any] | None = None
    problem: InteropError | None = None
    if_match: frozenset[str] | None = None  # versions that it may change; "*" any
    if_none_exist: str | None = None
    lenient: bool = False  # Prefer: handling=lenient
    new_id: str | None = None  # given beforehand to what a transaction creates
    coming: frozenset[str] = frozenset()  # references that the rest of the transaction will make good
    criteria: tuple[tuple[str, str], ...] | None = None  # of a conditional update, patch or delete: instead of an id
    if_none_match: frozenset[str] | None = None  # versions that the client has; "*" any
    if_modified_since: datetime | None = None
    compartment: str = ""  # Patient/x, whose resources alone are searched
    patch: Patch | None = None
    links: Mapping[str, str] = field(default_factory=dict)  # what a patch may call other entries of its transaction
    view: View | None = None  # which part of the resources is wanted


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it, before it is put into HTTP or a Bundle."""

    status: int
    body: bytes = b""
    stored: Stored | None = None  # the version that was read or written: ETag, Last-Modified
    location: bool = False  # whether to say where it is
    written: bool = False  # body is what was written, and may be left out (Prefer)
    view: View | None = None


class Writer(Protocol):
    """Who carries out the writes: ``interop.workflow.resources``."""

    def foresee(self, tx: Tx, site: Any, resource: dict[str, Any], id: str | None = None) -> None:
        """Prepare for ``create``, or with an id for ``update`` over it: what they ask is asked at once."""
        ...

    def create(self, tx: Tx, site: Any, resource: dict[str, Any], *, id: str | None = None) -> Stored:
        """Store a new resource, under this id if one is given."""
        ...

    def update(self, tx: Tx, site: Any, resource: dict[str, Any], if_match: int | None = None) -> Stored:
        """Store the next version of a resource, or its first under the id it brings."""
        ...

    def delete(self, tx: Tx, site: Any, type: str, id: str) -> Stored:
        """End a resource; what is returned is not ``deleted`` where the rules keep it."""
        ...


class HasZone(Protocol):
    """The site; only its zone matters here, the rest is the writer's."""

    @property
    def zone(self) -> tzinfo:
        """Of dates and times that state none."""
        ...


class Binding(Protocol):
    """What somebody gets who asks to be told by websocket."""

    @property
    def token(self) -> str: ...
    @property
    def expires(self) -> datetime: ...
    @property
    def url(self) -> str: ...


class Bindings(Protocol):
    """Who gives out binding tokens: ``interop.auth.bindings``."""

    @property
    def url(self) -> str:
        """Of the websocket, for whoever has a bearer token."""
        ...

    def issue(self, tx: Tx, agent: Agent, subscriptions: Sequence[str]) -> Binding:
        """A token for these subscriptions; ForbiddenError for an agent without a bearer token of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every interaction may use besides its transaction."""

    site: HasZone
    writer: Writer
    base_url: str  # of the FHIR endpoint, without a trailing slash
    delete_multiple: bool = False  # whether a conditional delete may end more than one resource
    bindings: Bindings | None = None  # None: there is no websocket

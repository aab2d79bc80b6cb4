"""One FHIR interaction as a value, whichever way it was asked for: an HTTP request or an entry of a Bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Protocol

from interop.errors import InteropError
from interop.store import Stored, Tx


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
    if_match: int | None = None
    if_none_exist: str | None = None
    lenient: bool = False  # Prefer: handling=lenient
    new_id: str | None = None  # given beforehand to what a transaction creates
    coming: frozenset[str] = frozenset()  # references that the rest of the transaction will make good


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it, before it is put into HTTP or a Bundle."""

    status: int
    body: bytes = b""
    stored: Stored | None = None  # the version that was read or written: ETag, Last-Modified
    location: bool = False  # whether to say where it is
    written: bool = False  # body is what was written, and may be left out (Prefer)


class Writer(Protocol):
    """Who carries out the writes: ``interop.workflow.resources``."""

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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every interaction may use besides its transaction."""

    site: HasZone
    writer: Writer
    base_url: str  # of the FHIR endpoint, without a trailing slash

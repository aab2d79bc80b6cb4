"""Every refusal of this server, and the answer each one earns on the wire.

An error says the fact; the doors translate it, in one place per tongue: HTTP status and OperationOutcome issue code
(FHIR R4 http.html, valueset-issue-type), HL7 acknowledgement code (table 0008) and error code (table 0357).

    InteropError
    ├── InvalidContentError          what was sent breaks the rules of its tongue
    │   ├── MalformedError           not even readable (JSON, HL7, DICOM syntax)
    │   ├── UnmappedCodeError        a code without a row in our tables where one is needed
    │   └── BrokenReferenceError     points at something that is not here
    ├── RefusedError                 readable, but this server does not do it
    │   ├── UnsupportedError         interaction, parameter, message type or version we do not offer
    │   │   └── MethodNotOfferedError  the path takes other methods
    │   ├── DuplicateError           the same identity already stands, with other content
    │   ├── IllegalTransitionError   the lifecycle has no such step from here
    │   ├── ConflictError            referenced elsewhere, or changed in between
    │   ├── PreconditionError        If-Match or a conditional criterion does not hold
    │   └── TooLargeError            beyond a configured limit
    ├── NotFoundError / GoneError    no such thing; was here, was deleted
    ├── UnauthenticatedError / ForbiddenError
    └── UnavailableError             ours to mend, worth a retry (database full, archive down)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding about something that was sent: a FHIR issue and an HL7 ERR segment can both be made of it."""

    code: str  # FHIR issue-type: invalid, structure, required, value, code-invalid, not-found, duplicate, …
    text: str
    expression: tuple[str, ...] = ()  # FHIRPath, e.g. ("ServiceRequest.subject",)
    location: str | None = None  # HL7 position, e.g. "OBR-18" or "PID[1]-3[2].4"
    severity: str = "error"  # fatal | error | warning | information
    hl7_code: str | None = None  # table 0357 where it is more exact than the error's own

    def row(self) -> dict[str, object]:
        """The finding as it is kept, by field name."""
        return {
            "code": self.code,
            "text": self.text,
            "expression": self.expression,
            "location": self.location,
            "severity": self.severity,
            "hl7_code": self.hl7_code,
        }


class InteropError(Exception):
    """The request could not be carried out."""

    status = 500
    issue_code = "exception"
    ack_code = "AE"
    hl7_code = "207"  # application internal error

    def __init__(
        self,
        text: str = "",
        *,
        expression: tuple[str, ...] | str = (),
        location: str | None = None,
        issues: tuple[Issue, ...] = (),
        issue_code: str | None = None,
        hl7_code: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.text = text or (self.__doc__ or "").strip()
        super().__init__(self.text)
        if issue_code is not None:
            self.issue_code = issue_code
        if hl7_code is not None:
            self.hl7_code = hl7_code
        if status is not None:
            self.status = status
        self.retry_after = retry_after  # seconds
        path = (expression,) if isinstance(expression, str) else expression
        self.issues = issues or (Issue(self.issue_code, self.text, path, location, hl7_code=self.hl7_code),)


class InvalidContentError(InteropError):
    """The content breaks a rule of its format."""

    status, issue_code, ack_code, hl7_code = 422, "invalid", "AE", "102"


class MalformedError(InvalidContentError):
    """The content could not be read."""

    status, issue_code, ack_code, hl7_code = 400, "structure", "AR", "100"


class UnmappedCodeError(InvalidContentError):
    """A code has no row in the mapping tables."""

    issue_code, hl7_code = "code-invalid", "103"


class BrokenReferenceError(InvalidContentError):
    """A reference points at nothing."""

    issue_code, hl7_code = "not-found", "204"


class RefusedError(InteropError):
    """This server does not do that."""

    status, issue_code, ack_code, hl7_code = 422, "business-rule", "AR", "207"


class UnsupportedError(RefusedError):
    """Not offered by this server."""

    status, issue_code, hl7_code = 400, "not-supported", "200"


class MethodNotOfferedError(UnsupportedError):
    """The path exists, but not with this method."""

    status = 405

    def __init__(self, text: str, allow: tuple[str, ...]) -> None:
        super().__init__(text)
        self.allow = allow  # the methods that it takes (RFC 9110 15.5.6)


class DuplicateError(RefusedError):
    """The identity already exists with other content."""

    status, issue_code, hl7_code = 409, "duplicate", "205"


class IllegalTransitionError(RefusedError):
    """The order's lifecycle has no such transition."""

    status, issue_code, ack_code, hl7_code = 422, "business-rule", "AE", "207"


class ConflictError(RefusedError):
    """The resource is still needed, or was changed in between."""

    status, issue_code = 409, "conflict"


class PreconditionError(RefusedError):
    """A condition of the request does not hold."""

    status, issue_code = 412, "conflict"


class TooLargeError(RefusedError):
    """Larger than this server accepts."""

    status, issue_code = 413, "too-long"


class NotFoundError(InteropError):
    """No such resource."""

    status, issue_code, hl7_code = 404, "not-found", "204"


class GoneError(NotFoundError):
    """The resource was deleted."""

    status, issue_code = 410, "deleted"


class UnauthenticatedError(InteropError):
    """A valid bearer token is needed."""

    status, issue_code, ack_code = 401, "login", "AR"


class ForbiddenError(InteropError):
    """Not allowed for this caller."""

    status, issue_code, ack_code = 403, "forbidden", "AR"


class UnavailableError(InteropError):
    """Not possible right now; worth a retry."""

    status, issue_code, ack_code, hl7_code = 503, "transient", "AE", "207"

"""References to types that are served here must point at something that is here (R4 references.html, "enforced")."""

from __future__ import annotations

from typing import Any

from interop.errors import BrokenReferenceError, Issue
from interop.fhir.profile import accepted_types
from interop.fhir.references import references, split_reference
from interop.store import Tx


def require_targets(tx: Tx, resource: dict[str, Any], *, coming: frozenset[str] = frozenset()) -> None:
    """BrokenReferenceError naming every reference to a resource of ours that does not exist or was deleted.

    ``coming`` are those that the same transaction is about to create. A type that is not served here may be referred
    to freely: it lives elsewhere.
    """
    served = accepted_types()
    broken: list[Issue] = []
    known: dict[tuple[str, str], bool] = {}
    for path, reference in references(resource):
        if reference.startswith("urn:uuid:"):  # a link within a Bundle (bundle.html#references) that leads nowhere
            broken.append(Issue("not-found", "no entry of a Bundle has this fullUrl", (path,)))
            continue
        target = split_reference(reference)
        if target is None or target[0] not in served or f"{target[0]}/{target[1]}" in coming:
            continue
        if target not in known:
            found = tx.read(*target)
            known[target] = found is not None and not found.deleted
        if not known[target]:
            text = f"there is no {target[0]}/{target[1]}"
            broken.append(Issue("not-found", text, (path,), hl7_code=BrokenReferenceError.hl7_code))
    if broken:
        raise BrokenReferenceError(broken[0].text, issues=tuple(broken))

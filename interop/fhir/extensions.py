"""Extensions: ext-1, and what the definitions of our own say of them and of their parts."""

from __future__ import annotations

from typing import Any

from interop.fhir.findings import Finding
from interop.fhir.profile import ExtensionRule, extension_rules


def extension_is_right(extension: dict[str, Any]) -> Finding | None:
    """The fault of an extension, if it has one."""
    values = [name for name in extension if name.startswith(("value", "_value"))]
    if bool(values) == ("extension" in extension):
        return Finding("invariant", "an extension has a value or extensions, not both (ext-1)")
    rule = extension_rules().get(extension.get("url", ""))
    return _own_extension(rule, extension) if rule else None


def _own_extension(rule: ExtensionRule, extension: dict[str, Any]) -> Finding | None:
    if rule.parts:
        return _parts_are_right(rule, extension)
    value = extension.get("value" + rule.value_type[0].upper() + rule.value_type[1:])
    if value is None:
        return Finding("structure", f"{rule.url} carries a {rule.value_type}", "value")
    if rule.codes is not None and value not in rule.codes:
        return Finding("code-invalid", f"not one of {', '.join(sorted(rule.codes))}", "value")
    return None


def _parts_are_right(rule: ExtensionRule, extension: dict[str, Any]) -> Finding | None:
    seen: set[str] = set()
    for part in extension.get("extension", ()):
        known = rule.parts.get(part.get("url", ""))
        if known is None:
            return Finding("structure", f"{rule.url} has the parts {', '.join(rule.parts)}", "extension")
        if known.url in seen and not known.repeats:
            return Finding("structure", f"{rule.url} has one {known.url}", "extension")
        seen.add(known.url)
        finding = _own_extension(known, part)
        if finding is not None:
            return finding
    return None if seen else Finding("structure", f"{rule.url} has parts", "value")

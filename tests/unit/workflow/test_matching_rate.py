"""A thousand studies with the defects of real departments: most find their orders, and none finds another's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop.access.agent import system_agent
from interop.fhir import names
from interop.store import Store, open_store
from interop.testing.matching_set import DEFECTS, MatchingSet, Order, Study, matching_set
from interop.workflow import resources, studies
from interop.workflow.matching import issuer_system
from interop.workflow.site import Site
from tests.hospital import PLACER, an_order, typed
from tests.sites import a_site

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "matching.md"
AGENT = system_agent("archive-feed")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite's alone: the rules are the same on either engine."""
    opened = await open_store(f"sqlite:///{tmp_path / 'interop.db'}")
    yield opened
    await opened.close()


async def known(store: Store, site: Site, orders: tuple[Order, ...]) -> dict[str, str]:
    """The orders placed, their patients first; id of the ServiceRequest by placer number."""
    patients: dict[tuple[str, str], str] = {}
    ids: dict[str, str] = {}
    for order in orders:
        person = order.person
        key = (person.issuer, person.number)
        if key not in patients:
            patient = {
                "resourceType": "Patient",
                "identifier": [{"system": issuer_system(site, person.issuer), "value": person.number}],
                "name": [{"family": person.family, "given": [person.given]}],
                "birthDate": person.birth_date,
            }
            made = await store.unit(AGENT, lambda tx, patient=patient: resources.create(tx, site, patient))  # type: ignore[misc]
            patients[key] = made.reference
        request = _request(site, order, patients[key])
        made = await store.unit(AGENT, lambda tx, request=request: resources.create(tx, site, request))  # type: ignore[misc]
        ids[order.placer] = made.id
    return ids


def _request(site: Site, order: Order, patient: str) -> dict[str, Any]:
    return an_order(
        patient,
        placer=None,
        identifier=[
            typed("PLAC", PLACER, order.placer),
            typed("ACSN", issuer_system(site, order.accession_issuer), order.accession),
            {"system": names.STUDY_UID, "value": f"urn:oid:{order.study_uid}"},
        ],
        orderDetail=[{"coding": [{"system": names.DCM, "code": order.modality}]}],
        occurrenceDateTime=order.start.isoformat(),
    )


async def _matched(store: Store, site: Site, made: MatchingSet) -> list[tuple[Study, str, bool, bool]]:
    """Of each study: how it went, whether it has its order, whether it has one that is not its own."""
    ids = await known(store, site, made.orders)
    outcomes = []
    for study in made.studies:
        found = await store.unit(AGENT, lambda tx, study=study: studies.register(tx, site, study.facts))  # type: ignore[misc]
        ended = replace(study.facts, series=(), quiet=True)
        after = await store.unit(AGENT, lambda tx, ended=ended: studies.register(tx, site, ended))  # type: ignore[misc]
        if after.by != "linked":  # the end of a burst has the last word
            found = after
        own = ids[study.of] if study.of else None
        right = found.row is not None and found.row.id == own
        outcomes.append((study, found.by, right, found.row is not None and not right))
    return outcomes


async def test_a_thousand_studies(store: Store) -> None:
    outcomes = await _matched(store, a_site(), matching_set())
    assert [(study.defect, by) for study, by, _, wrong in outcomes if wrong] == []
    ordered = [(study, by, right) for study, by, right, _ in outcomes if study.of]
    rate = sum(right for _, _, right in ordered) / len(ordered)
    assert rate >= 0.95
    rows = []
    for defect in DEFECTS:
        of_it = [(by, right, study.of) for study, by, right, _ in outcomes if study.defect == defect]
        counted = Counter(by for by, _, _ in of_it)
        how = ", ".join(f"{by} {count}" for by, count in sorted(counted.items()))
        rows.append(f"| {defect} | {len(of_it)} | {sum(right for _, right, _ in of_it)} | {how} |")
    total = f"{len(ordered)} of {len(outcomes)} studies have an order; {100 * rate:.1f} % of them found it"
    print("\n".join([*rows, total]))
    page = re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))
    for row in (*rows, total):
        assert row in page


@pytest.mark.parametrize("seed", range(1, 4))
async def test_other_departments_have_no_wrong_match_either(store: Store, seed: int) -> None:
    outcomes = await _matched(store, a_site(), matching_set(200, seed))
    assert [(study.defect, by) for study, by, _, wrong in outcomes if wrong] == []

"""A doctor's browser: OHIF shows the launched study, talks to nobody but us, and runs under our policy."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, sync_playwright

from interop.demo.viewing import CHROMIUM, FLAGS, shows_pattern

CT, BIG = "1.2.826.0.1.9.1", "1.2.826.0.1.9.4"


def test_ohif_shows_images_of_the_byte_order_that_browsers_do_not_read(site: Any) -> None:
    """Slices and cines of the usual ones: test_viewer_shows_each_modality."""
    assert "%" in shows_pattern(site.launch(BIG), BIG)


def test_the_page_talks_to_this_server_alone_and_breaks_no_rule_of_ours(site: Any) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site.launch(CT))
        page.wait_for_selector("canvas", timeout=60_000)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("crossOriginIsolated") is True
        assert "interop" not in page.evaluate("document.cookie")  # the session is kept from scripts
        _steal(page, site.base)
        browser.close()
    assert complaints == []
    outside = [url for url in requests if not url.startswith((site.base, "blob:", "data:"))]
    assert outside == []
    events = site.run(lambda: site.store.view(lambda tx: [row.event for row in _rows(tx)]))
    assert sorted((event.kind, event.subtype) for event in events if event.patient == site.patients[CT]) == [
        ("dicom-query", "qido-rs"),
        ("dicom-transfer", "wado-rs"),
        ("launch", "launch"),
    ]


def _steal(page: Page, base: str) -> None:
    """CVE-2026-12473: an address in the page's URL makes OHIF fetch from there with the doctor's rights."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    for source in ("dicomjson", "dicomwebproxy"):
        page.goto(f"{base}/viewer/{source}?url=http://127.0.0.1:9/evil.json&StudyInstanceUIDs={CT}")
        page.wait_for_load_state("networkidle")
    assert not [url for url in seen if url.startswith("http://127.0.0.1:9/")]


def _rows(tx: Any) -> Any:
    from interop.fhir.query import Query

    return tx.audit_rows(Query("AuditEvent", count=500))

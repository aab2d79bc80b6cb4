"""A shared link in a browser: it opens, its secret is nowhere to be seen, and once it is taken back nothing is left."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from interop.cli import main
from interop.demo.viewing import CHROMIUM, FLAGS

CT = "1.2.826.0.1.9.1"


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, and what it said."""
    sys.argv = ["interop", "share", *words]
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_link_is_made_opened_and_taken_back(
    site: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("INTEROP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTEROP_HTTP_PORT", site.base.rpartition(":")[2])
    status, said, _ = command(capsys, "create", CT, "--minutes", "5", "--label", "γνώμη", "--json")
    assert status == 0
    link = json.loads(said)
    secret = link["url"].partition("#")[2]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), headless=True)
        page = browser.new_page()
        sent = _followed(page)
        page.goto(link["url"])
        page.wait_for_selector("canvas", timeout=60_000)
        assert page.url == f"{site.base}/viewer?StudyInstanceUIDs={CT}"
        assert secret not in " ".join(sent["addresses"] + sent["referers"])
        assert sent["complaints"] == []
        assert page.evaluate("window.config.customizationService['panelMeasurement.disableEditing'].$set") is True
        with site.client(headers=site.bearer()) as client:
            assert client.delete(f"/api/v1/share/{link['id']}").status_code == 204
        assert page.evaluate("fetch('/dicom-web/studies').then(answer => answer.status)") == 401
        refused = page.goto(f"{site.base}/viewer?StudyInstanceUIDs={CT}")
        assert refused is not None
        assert refused.status == 401
        page.goto(link["url"])
        page.wait_for_selector("h1:has-text('No longer here')")
        page.goto(f"{site.base}/viewer/share#{'x' * 43}")  # pasted over the refusal: loaded, not jumped to
        page.wait_for_selector("h1:has-text('Not here')")
        page.goto(f"{site.base}/viewer/share")
        page.wait_for_selector("p:has-text('not complete')")
        browser.close()
    status, said, _ = command(capsys, "list")
    assert all(word in said for word in (link["id"], "revoked", "1 times", "γνώμη", CT)), said
    status, made, told = command(capsys, "create", CT)
    assert (status, made.startswith(f"{site.base}/viewer/share#")) == (0, True)
    other = told.split()[1]
    assert command(capsys, "revoke", other)[:2] == (0, f"share {other} is over\n")
    assert command(capsys, "revoke", "0")[::2] == (1, "interop: there is no share of this id\n")
    assert command(capsys, "revoke", "../launch")[0] == 1
    assert command(capsys, "create")[0] == 1
    assert command(capsys, "create", CT, "--minutes", "99999")[0] == 1


def _followed(page: Page) -> dict[str, list[str]]:
    """What the page asks for, with which Referer, and what it complains of."""
    found: dict[str, list[str]] = {"addresses": [], "referers": [], "complaints": []}
    page.on("request", lambda request: found["addresses"].append(request.url.partition("#")[0]))
    page.on("request", lambda request: found["referers"].append(request.headers.get("referer", "")))
    page.on("console", lambda message: found["complaints"].append(message.text) if message.type == "error" else None)
    return found

"""OHIF's files below a path, and which configurations of a site are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.settings import Settings
from interop.viewer import ViewerConfigurationError, configuration
from interop.viewer.placing import placed_file, placed_page

OURS = b"window.config = { dataSources: [] };"


def test_addresses_of_the_page_lead_below_the_path() -> None:
    html = '<link href="/a.css"><script src="/b.js"></script><script>window.PUBLIC_URL="/"</script><a href="//x">'
    below = (
        '<link href="/p/a.css"><script src="/p/b.js"></script><script>window.PUBLIC_URL="/p/"</script><a href="//x">'
    )
    assert placed_page(html, "/p") == below
    assert placed_page(html, "") == html


def test_bundles_and_style_sheets_name_where_they_load_from(tmp_path: Path) -> None:
    script, style, other = tmp_path / "a.js", tmp_path / "a.css", tmp_path / "b.js"
    script.write_text('x(); __webpack_require__.p = "/"; y("/")')
    style.write_text("@font-face{src:url(/f.woff2)}a{background:url('/b.svg') url(data:x) url(//cdn)}")
    other.write_text('fetch("/")')
    assert placed_file(script, "/p") == b'x(); __webpack_require__.p = "/p/"; y("/")'
    assert (
        placed_file(style, "/p")
        == b"@font-face{src:url(/p/f.woff2)}a{background:url('/p/b.svg') url(data:x) url(//cdn)}"
    )
    assert placed_file(other, "/p") is None
    assert placed_file(script, "") is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("site.js", "window.config.dataSources.push({})"),
        ("site.js", "window.config['dangerouslyUseDynamicConfig'] = { enabled: true }"),
        ("site.js", "window.config.x = 'dicomjson'"),
        ("site.js", "alert(1)"),
        ("site.json", '{"dataSources": []}'),
        ("site.json", '{"oidc": []}'),
        ("site.json", '{"a": {"customizationUrlPrefixes": {}}}'),
        ("site.json", "[]"),
        ("site.json", "{"),
    ],
)
def test_a_site_cannot_lead_the_viewer_elsewhere(name: str, text: str) -> None:
    with pytest.raises(ViewerConfigurationError, match=name):
        configuration(OURS, site=text, name=name)


def test_a_sites_words_come_after_ours_and_before_the_last_ones() -> None:
    text = "// no dataSources, see https://docs.ohif.org\nwindow.config.showPatientInfo = 'visible';\n"
    script = configuration(OURS, "/p", site=text, name="site.js").decode()
    places = [script.index(part) for part in ("dataSources: []", "showPatientInfo", 'path = "/p"')]
    assert places == sorted(places)
    overlay = {"maxNumRequests": {"prefetch": 2}, "note": "</script>\u2028'\""}
    script = configuration(OURS, site=json.dumps(overlay), name="site.json").decode()
    assert json.dumps(json.dumps(overlay)) in script


@pytest.mark.parametrize(
    ("url", "path"),
    [("https://host", ""), ("https://host/", ""), ("https://host/imaging/", "/imaging"), ("https://host/a/b", "/a/b")],
)
def test_the_public_url_may_have_a_path(url: str, path: str) -> None:
    assert Settings.of({"INTEROP_PUBLIC_URL": url}).base_path == path


@pytest.mark.parametrize(
    "url",
    [
        "https://host/fhir",
        "https://host/viewer/x",
        "https://host/a?b",
        "https://host/../a",
        "https://host//a",
        "https://host/a%20b",
    ],
)
def test_a_path_that_cannot_serve_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"path"):
        Settings.of({"INTEROP_PUBLIC_URL": url})

"""Settings that are wrong are refused by name, in one sentence, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from interop.server import StartError, check_bindings, parse_roles
from interop.settings import Settings, SettingsError, faults


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    return faults(caught.value)


def test_a_misspelt_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = refused(monkeypatch, INTEROP_MLPP_PORT="2575")
    assert found == ["INTEROP_MLPP_PORT: there is no such setting; is INTEROP_MLLP_PORT meant?"]


def test_what_tests_and_the_file_need_is_no_misspelling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "interop.toml").write_text('facility = "NGH"\nmllp_peers = ["10.1.4.20=RIS"]\nhttp_port = 1\n')
    monkeypatch.setenv("INTEROP_CONFIG", str(tmp_path / "interop.toml"))
    monkeypatch.setenv("INTEROP_CORPUS", "/somewhere")
    monkeypatch.setenv("INTEROP_HTTP_PORT", "8100")
    settings = Settings()
    assert (settings.facility, settings.mllp_peers) == ("NGH", ("10.1.4.20=RIS",))
    assert settings.http_port == 8100, "the environment wins"


def test_an_unknown_key_of_the_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "interop.toml"
    file.write_text('time_zon = "Asia/Nicosia"\n')
    assert refused(monkeypatch, INTEROP_CONFIG=str(file)) == [
        f"time_zon in {file}: there is no such setting; is time_zone meant?"
    ]


@pytest.mark.parametrize("content", ["facility = ", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes | None
) -> None:
    file = tmp_path / "interop.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("INTEROP_CONFIG", str(file))
    with pytest.raises(SettingsError, match=r"INTEROP_CONFIG: .*interop\.toml"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INTEROP_HTTP_PORT", "abc", "integer"),
        ("INTEROP_FACILITY", "lower", "pattern"),
        ("INTEROP_TIME_ZONE", "Cyprus/Limassol", "is not an IANA time zone"),
        ("INTEROP_ORTHANC_URL", "ftp://archive", "is not the address of a server"),
        ("INTEROP_ORTHANC_URL", "http://bad:x:y", "Port could not be cast"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    (fault,) = refused(monkeypatch, **{name: value})
    assert fault.startswith(f"{name}: ")
    assert said in fault


def test_binding_beyond_loopback_is_refused_until_it_is_meant() -> None:
    http, mllp = parse_roles(["http"]), parse_roles(["mllp"])
    open_to_all = Settings(http_host="0.0.0.0", mllp_host="::")
    with pytest.raises(StartError, match=r"INTEROP_HTTP_HOST=0.0.0.0 is reachable .* INTEROP_ALLOW_REMOTE=true"):
        check_bindings(open_to_all, http)
    with pytest.raises(StartError, match=r"INTEROP_MLLP_HOST=:: is reachable .* INTEROP_MLLP_PEERS"):
        check_bindings(open_to_all.model_copy(update={"allow_remote": True}), mllp)
    check_bindings(open_to_all.model_copy(update={"allow_remote": True}), http)
    check_bindings(open_to_all.model_copy(update={"allow_remote": True, "mllp_peers": ("10.0.0.0/8",)}), mllp)
    check_bindings(open_to_all, parse_roles(["worker"]))


def test_a_password_file_needs_a_url_with_a_user(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p@ss/word\n")
    url = "postgresql+psycopg://interop@db/interop"
    assert Settings(database_url=url, database_password_file=secret).database == url.replace("@", ":p%40ss%2Fword@", 1)
    with pytest.raises(SettingsError, match="INTEROP_DATABASE_PASSWORD_FILE"):
        assert Settings(database_password_file=secret).database

"""Where notifications may go: URLs that look like an allowed one, and names that lead somewhere else."""

from __future__ import annotations

import pytest

from interop.access.endpoints import EndpointRefusedError, endpoint_prefix, parse_prefix

PREFIX = parse_prefix("https://emr.example.org/fhir/hooks")

ALLOWED = [
    "https://emr.example.org/fhir/hooks",
    "https://emr.example.org/fhir/hooks/",
    "https://emr.example.org/fhir/hooks/orders?site=a",
    "https://emr.example.org:443/fhir/hooks/x",
    "https://EMR.example.org/fhir/hooks/x",
    "HTTPS://emr.example.org/fhir/hooks",
]
NOT_ALLOWED = [
    "http://emr.example.org/fhir/hooks",
    "https://emr.example.org.evil.com/fhir/hooks",
    "https://emr.example.org@evil.com/fhir/hooks",
    "https://evil.com@emr.example.org/fhir/hooks",
    "https://user:pass@emr.example.org/fhir/hooks",
    "https://evil.com/https://emr.example.org/fhir/hooks",
    "https://evil.com#https://emr.example.org/fhir/hooks",
    "https://emr.example.org/fhir/hooks#x",
    "https://emr.example.org\\@evil.com/fhir/hooks",
    "https://emr.example.org/fhir/hooksandmore",
    "https://emr.example.org/fhir",
    "https://emr.example.org/fhir/hooks/../admin",
    "https://emr.example.org/fhir/hooks/./x",
    "https://emr.example.org/fhir/hooks/%2e%2e/admin",
    "https://emr.example.org/fhir/hooks/..%2Fadmin",
    "https://emr.example.org/fhir/hooks/%5c..%5cadmin",
    "https://emr.example.org:8443/fhir/hooks",
    "https://emr.example.org:0/fhir/hooks",
    "https://emr.example.org:x/fhir/hooks",
    "https://emr.example.org./fhir/hooks",
    "https://emr.example.org/fhir/hooks/\tx",
    "https://emr.example.org/fhir/hooks/\r\nHost: evil",
    "https://emr.example.org/fhir/hooks /x",
    "https://emr。example.org/fhir/hooks",
    "https:///fhir/hooks",
    "https:emr.example.org/fhir/hooks",
    "//emr.example.org/fhir/hooks",
    "file:///etc/passwd",
    "gopher://emr.example.org/fhir/hooks",
    "https://[::ffff:10.0.0.1]/fhir/hooks",
    "",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_what_lies_at_the_prefix_or_below_is_allowed(url: str) -> None:
    assert endpoint_prefix(url, [PREFIX]) is PREFIX


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_what_only_looks_like_it_is_not(url: str) -> None:
    with pytest.raises(EndpointRefusedError):
        endpoint_prefix(url, [PREFIX])


def test_nothing_is_allowed_where_nothing_is_listed() -> None:
    with pytest.raises(EndpointRefusedError, match="INTEROP_SUBSCRIPTION_ENDPOINTS"):
        endpoint_prefix("https://emr.example.org/", [])


@pytest.mark.parametrize("text", ["http://emr.example.org/", "https://a@b/", "https://x/=10.0.0.0/99", "x", "ftp://x/"])
def test_a_prefix_that_is_none_is_an_error_of_the_settings(text: str) -> None:
    with pytest.raises(ValueError):
        parse_prefix(text)


INSIDE = [
    "127.0.0.1",
    "::1",
    "10.0.0.5",
    "172.16.3.4",
    "192.168.1.1",
    "169.254.169.254",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "0.0.0.0",
    "::",
    "100.64.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "not an address",
]


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_may_not_lead_inside(address: str) -> None:
    assert not PREFIX.may_connect(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_a_name_may_lead_to_a_public_address(address: str) -> None:
    assert PREFIX.may_connect(address)


def test_a_network_that_is_named_is_where_a_name_may_lead_and_nowhere_else() -> None:
    prefix = parse_prefix("https://emr.hospital.example/hooks=10.1.0.0/16|192.168.7.9")
    assert prefix.may_connect("10.1.2.3")
    assert prefix.may_connect("192.168.7.9")
    assert prefix.may_connect("::ffff:10.1.2.3")
    for address in ("10.2.0.1", "192.168.7.10", "127.0.0.1", "93.184.216.34"):
        assert not prefix.may_connect(address)


def test_an_address_that_is_named_is_itself_and_localhost_is_this_machine() -> None:
    literal = parse_prefix("http://127.0.0.1:9000/hook")
    assert literal.may_connect("127.0.0.1")
    assert not literal.may_connect("127.0.0.2")
    local = parse_prefix("http://localhost:9000/hook")
    assert local.may_connect("127.0.0.1")
    assert local.may_connect("::1")
    assert not local.may_connect("10.0.0.1")
    with pytest.raises(EndpointRefusedError):
        endpoint_prefix("http://2130706433:9000/hook", [literal])
    with pytest.raises(EndpointRefusedError):
        endpoint_prefix("http://0177.0.0.1:9000/hook", [literal])

"""Where notifications may be sent: an allow-list of URL prefixes, and the addresses that their names may lead to.

What a client writes into a Subscription makes this server send requests. So nothing is sent unless whoever runs the
server has named the place: scheme, host and port are compared as parsed, the path segment by segment, and the address
that a name resolves to is judged again each time (a name may be made to point at something inside).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from interop.errors import RefusedError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_VISIBLE = re.compile(r"[!-\[\]-~]+")  # printable ASCII without space and backslash
_HIDDEN = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)  # dots and slashes that a receiver might decode
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class EndpointRefusedError(RefusedError):
    """No notification may be sent there."""


@dataclass(frozen=True, slots=True)
class EndpointPrefix:
    """One place that notifications may go to, and everything below its path."""

    scheme: str
    host: str
    port: int
    path: str  # without a slash at its end
    networks: tuple[Network, ...] = ()  # where the name leads; empty: public addresses only

    def covers(self, parts: SplitResult) -> bool:
        """Whether the URL lies at the prefix or below."""
        if (parts.scheme, parts.hostname, _port(parts)) != (self.scheme, self.host, self.port):
            return False
        return parts.path.rstrip("/") == self.path or parts.path.startswith(self.path + "/")

    def may_connect(self, address: str) -> bool:
        """Whether a connection to this resolved address is what the prefix meant.

        An address that is not public has to be named: as the host itself, as ``localhost``, or as a network behind
        the prefix.
        """
        try:
            found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        literal = _literal(self.host)
        if literal is not None:
            return found == _plain(literal)
        if self.networks:
            return any(found in network for network in self.networks)
        if self.host == "localhost":
            return found.is_loopback
        return _public(found)


def parse_prefix(text: str) -> EndpointPrefix:
    """``https://host[:port]/path[=address[/bits][|…]]``; ValueError says what is wrong with it."""
    url, _, named = text.partition("=")
    parts = _parts(url)
    networks = tuple(ipaddress.ip_network(each.strip()) for each in named.split("|")) if named else ()
    assert parts.hostname is not None
    return EndpointPrefix(parts.scheme, parts.hostname, _port(parts), parts.path.rstrip("/"), networks)


def endpoint_prefix(url: str, prefixes: Iterable[EndpointPrefix]) -> EndpointPrefix:
    """The prefix that allows this URL; EndpointRefusedError where none does."""
    try:
        parts = _parts(url)
    except ValueError as error:
        raise EndpointRefusedError(str(error)) from error
    for prefix in prefixes:
        if prefix.covers(parts):
            return prefix
    raise EndpointRefusedError(
        f"notifications to {parts.scheme}://{parts.hostname} are not allowed here; "
        "INTEROP_SUBSCRIPTION_ENDPOINTS lists where they may go"
    )


def _parts(url: str) -> SplitResult:
    """The URL, taken apart once it is one of the plain kind; ValueError for any other."""
    if not _VISIBLE.fullmatch(url):
        raise ValueError("the endpoint has characters that no URL has")
    parts = urlsplit(url)
    port = parts.port  # ValueError where it is no port
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ValueError("the endpoint is the address of a server, https://host/path")
    if "@" in parts.netloc:
        raise ValueError("the endpoint names a user; credentials belong into channel.header")
    if "#" in url:
        raise ValueError("the endpoint has a fragment")
    if _HIDDEN.search(url) or any(segment in (".", "..") for segment in parts.path.split("/")):
        raise ValueError("the endpoint's path has segments that lead elsewhere")
    if parts.scheme == "http" and not _local(parts.hostname):
        raise ValueError("the endpoint is not https, which only an address of this machine may do without")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _local(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """An IPv4 address written as an IPv6 one is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (
        address.sixtofour is not None or address.teredo is not None or address in _NAT64
    ):
        return False  # they lead to an IPv4 address that is not looked at here
    return address.is_global and not address.is_multicast and not address.is_reserved

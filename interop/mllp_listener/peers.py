"""Who may send: by network address, by certificate, and by MSH-3 and MSH-4 where an entry names them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from interop.errors import InvalidContentError
from interop.tls import Certificate

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOCAL: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_ANYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_KNOWN = 256  # senders whose answer is remembered: asked for every message, and they are few
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One allowed sender; what is not named may be anything."""

    network: Network
    application: str | None = None  # MSH-3
    facility: str | None = None  # MSH-4
    name: str | None = None  # a name in the certificate: common name, or an alternative one
    fingerprint: str | None = None  # SHA-256 of the certificate, hexadecimal

    @property
    def wants_certificate(self) -> bool:
        """Whether only a connection with a client certificate can fit."""
        return self.name is not None or self.fingerprint is not None

    def fits(self, certificate: Certificate | None) -> bool:
        """Whether this is the certificate that is wanted, if one is."""
        if not self.wants_certificate:
            return True
        if certificate is None:
            return False
        return self.name in (None, *certificate.names) and self.fingerprint in (None, certificate.fingerprint)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The allowed senders. Without an entry: everybody on this machine, nobody else."""

    entries: tuple[Entry, ...] = ()
    doors: tuple[Entry, ...] | None = None  # whose addresses may connect, where more may than may be heard
    _known: dict[tuple[str, str, str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, items: Iterable[str]) -> AllowList:
        """From entries ``who[=MSH-3[|MSH-4]]``, where who is ``address[/bits]``, ``cn:NAME``, ``sha256:HEX`` or
        several of them joined by ``+``."""
        return cls(tuple(entry for item in items for entry in _entries(item)) or _EVERYBODY_HERE)

    def known_by(self, certificate: Certificate | None) -> AllowList:
        """The list for one connection, whose certificate (or having none) is known.

        Over TLS whoever has an address that may connect is heard out and refused by AR; a connection without TLS is
        not taken where only certificates are listed.
        """
        heard = tuple(entry for entry in self._entries if entry.fits(certificate))
        return AllowList(heard, heard if certificate is None else self._entries)

    def admits(self, address: str) -> bool:
        """Whether a connection from this address may be opened at all."""
        return bool(_fitting(self._entries if self.doors is None else self.doors, address))

    def hears(self, address: str) -> bool:
        """Whether any message from this address may be taken, with the certificate that it has."""
        return bool(_fitting(self._entries, address))

    def allows(self, address: str, application: str, facility: str = "") -> bool:
        """Whether this address may send as this MSH-3 and MSH-4."""
        known, asked = self._known, (address, application, facility)
        found = known.get(asked)
        if found is None:
            if len(known) >= _KNOWN:
                known.clear()
            found = known[asked] = any(
                entry.application in (None, application) and entry.facility in (None, facility)
                for entry in _fitting(self._entries, address)
            )
        return found

    @property
    def _entries(self) -> tuple[Entry, ...]:
        return self.entries if self.entries or self.doors is not None else _EVERYBODY_HERE


_EVERYBODY_HERE = tuple(Entry(network) for network in _LOCAL)


@lru_cache(maxsize=1024)  # asked for every message; the same few senders
def _fitting(entries: tuple[Entry, ...], address: str) -> tuple[Entry, ...]:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ()
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return tuple(entry for entry in entries if ip in entry.network)


def _entries(text: str) -> list[Entry]:
    who, separator, sender = text.strip().partition("=")
    application, bar, facility = (part.strip() for part in sender.partition("|"))
    if separator and not application:
        raise InvalidContentError(f"mllp_peers: {text!r} names no MSH-3 after '='")
    if bar and not facility:
        raise InvalidContentError(f"mllp_peers: {text!r} names no MSH-4 after '|'")
    networks: tuple[Network, ...] = ()
    name = fingerprint = None
    for part in who.split("+"):
        kind, colon, value = part.strip().partition(":")
        if colon and kind == "cn" and value:
            name = value
        elif colon and kind == "sha256":
            fingerprint = _hexadecimal(value, text)
        else:
            networks = (_network(part.strip(), text),)
    return [
        Entry(network, application or None, facility or None, name, fingerprint) for network in networks or _ANYWHERE
    ]


def _hexadecimal(value: str, text: str) -> str:
    plain = value.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise InvalidContentError(f"mllp_peers: {text!r}: sha256: wants 64 hexadecimal digits")
    return plain


def _network(address: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError as error:
        wanted = "address[/bits], cn:NAME or sha256:HEX, and perhaps =MSH-3 or =MSH-3|MSH-4"
        raise InvalidContentError(f"mllp_peers: {text!r} is not {wanted}") from error

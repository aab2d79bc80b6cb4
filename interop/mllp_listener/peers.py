"""Who may send: by network address, and by MSH-3 where an entry names one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from interop.errors import InvalidContentError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOCAL: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One allowed sender; no application allows every MSH-3 from there."""

    network: Network
    application: str | None = None


@dataclass(frozen=True, slots=True)
class AllowList:
    """The allowed senders. Without an entry: everybody on this machine, nobody else."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, items: Iterable[str]) -> AllowList:
        """From ``address[/bits]`` or ``address[/bits]=MSH-3`` entries."""
        return cls(tuple(_entry(item) for item in items))

    def admits(self, address: str) -> bool:
        """Whether a connection from this address may be opened at all."""
        return bool(self._fitting(address))

    def allows(self, address: str, application: str) -> bool:
        """Whether this address may send as this MSH-3."""
        return any(entry.application in (None, application) for entry in self._fitting(address))

    def _fitting(self, address: str) -> tuple[Entry, ...]:
        return _fitting(self.entries or _EVERYBODY_HERE, address)


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


def _entry(text: str) -> Entry:
    address, separator, application = text.strip().partition("=")
    try:
        network = ipaddress.ip_network(address.strip(), strict=False)
    except ValueError as error:
        raise InvalidContentError(f"mllp_peers: {text!r} is not address[/bits] or address=MSH-3") from error
    if separator and not application.strip():
        raise InvalidContentError(f"mllp_peers: {text!r} names no MSH-3 after '='")
    return Entry(network, application.strip() or None)

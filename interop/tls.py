"""Certificates and keys from files, as contexts that are made anew when a file changes: no restart for a renewal."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

from interop.errors import InteropError

logger = getLogger(__name__)

_Stamp = tuple[tuple[int, int], ...]


class TlsFileError(InteropError):
    """A certificate, key or CA file cannot be used."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where they are. A key in the same file as its certificate needs no file of its own."""

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What identifies the other side: the names in its certificate, and the certificate's SHA-256."""

    names: frozenset[str] = field(default_factory=frozenset)
    fingerprint: str = ""


class TlsContext:
    """The context of these files as they are now; TLS 1.2 and later (RFC 8996)."""

    def __init__(self, files: TlsFiles, *, server: bool) -> None:
        """TlsFileError names the file that cannot be used."""
        self._files = files
        self._server = server
        self._stamp = self._stamps()
        self._context = self._make()

    def current(self) -> ssl.SSLContext:
        """The context for the next connection. Files that changed to what cannot be used leave the one before."""
        try:
            stamp = self._stamps()
            if stamp != self._stamp:
                self._context = self._make()
                self._stamp = stamp
                logger.info("TLS files read again")
        except TlsFileError as error:
            logger.error("TLS files changed and cannot be used, the ones before stay: %s", error.text)
        return self._context

    def _stamps(self) -> _Stamp:
        paths = [path for path in (self._files.cert, self._files.key, self._files.ca) if path is not None]
        try:
            return tuple((found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in paths))
        except OSError as error:
            raise TlsFileError(f"{error.filename}: {error.strerror}") from error

    def _make(self) -> ssl.SSLContext:
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self._server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if files.cert is not None:
                context.load_cert_chain(files.cert, files.key, password="")  # an encrypted key is an error, no question
            if files.ca is not None:
                context.load_verify_locations(files.ca)
                context.verify_mode = ssl.CERT_REQUIRED
            elif not self._server:
                context.load_default_certs()
        except (OSError, ValueError) as error:
            named = ", ".join(str(path) for path in (files.cert, files.key, files.ca) if path is not None)
            raise TlsFileError(f"{named}: {getattr(error, 'reason', None) or error}") from error
        return context


_WORDS = {  # what OpenSSL calls it, and what it means to whoever has to mend it
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other side sent no certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the authority of our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired, says the other side",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other side asks for a certificate of ours",
    "UNSUPPORTED_PROTOCOL": "the other side speaks no TLS 1.2 or later",
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
}


def reason_of(error: OSError) -> str:
    """Why a handshake failed, with OpenSSL's own name for it; of an error that is none of TLS its class."""
    reason = (error.reason if isinstance(error, ssl.SSLError) else "") or ""
    if not reason:
        return type(error).__name__
    words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else _WORDS.get(reason, "")
    return f"{words} ({reason})" if words else reason


def valid_until(files: TlsFiles) -> datetime:
    """When the certificate of these files ends; TlsFileError where it cannot be used, or its time is not now.

    Both sides of a handshake in memory: what another one would see.
    """
    assert files.cert is not None
    server = TlsContext(TlsFiles(files.cert, files.key), server=True).current()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # this very certificate is trusted, whoever signed it
    client.load_verify_locations(files.cert)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there)
    try:
        for side in (theirs, ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLError as error:
        raise TlsFileError(f"{files.cert}: {reason_of(error)}") from error
    found = theirs.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)


def certificate_of(peercert: Mapping[str, Any] | None, fingerprint: str) -> Certificate:
    """Common name and alternative names, as ``ssl`` gives them."""
    names: set[str] = set()
    for attributes in (peercert or {}).get("subject", ()):
        names |= {value for kind, value in attributes if kind == "commonName"}
    names |= {value for kind, value in (peercert or {}).get("subjectAltName", ()) if kind in ("DNS", "URI", "email")}
    return Certificate(frozenset(names), fingerprint)

"""What the doctor sees of TLS: certificates of ours and when they end, receivers and what their handshake says."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interop.cli.installed import Finding
from interop.settings import Settings
from interop.tls import TlsContext, TlsFileError, TlsFiles, reason_of, valid_until

if TYPE_CHECKING:
    from interop.hl7.line import Line

_SOON = 30  # days before its end from which a certificate is a warning
_PATIENCE = 2.0
_MOMENT = 0.5


async def certificates(settings: Settings) -> list[Finding]:
    """The listener's certificate, and those that are shown to receivers."""
    from interop.parts import receivers

    found = []
    if settings.mllp_tls_cert is not None:
        files = TlsFiles(settings.mllp_tls_cert, settings.mllp_tls_key)
        found.append(_certificate("MLLP certificate", files, "INTEROP_MLLP_TLS_CERT"))
    for receiver in receivers(settings):
        line = receiver.line
        if line.tls and line.cert:
            found.append(_certificate(f"certificate for {receiver.name}", _files(line), "cert in the peers file"))
    return found


async def answering_receivers(settings: Settings) -> list[Finding]:
    """Whether each receiver takes a connection, and over TLS what its handshake says."""
    from interop.parts import receivers

    findings = []
    for receiver in receivers(settings):
        place = f"{receiver.host}:{receiver.port}"
        why = await asyncio.to_thread(_refusal, receiver.host, receiver.port, receiver.line)
        seen = f"{place} {why}" if why else f"{place} answers{' over TLS' if receiver.line.tls else ''}"
        remedy = "its messages wait and are retried; check the peer, or the peers file" if why else ""
        findings.append(Finding("warning" if why else "ok", f"receiver {receiver.name}", seen, remedy))
    return findings


def _files(line: Line) -> TlsFiles:
    cert, key, ca = (Path(name) if name else None for name in (line.cert, line.key, line.ca))
    return TlsFiles(cert, key, ca)


def _certificate(subject: str, files: TlsFiles, setting: str) -> Finding:
    try:
        until = valid_until(files)
    except TlsFileError as error:
        return Finding("fault", subject, error.text, f"put another in its place, or change {setting}")
    days = (until - datetime.now(UTC)).days
    seen = f"{files.cert}, until {until:%Y-%m-%d}"
    if days < _SOON:
        return Finding("warning", subject, seen, f"{days} days are left; a new file in its place needs no restart")
    return Finding("ok", subject, seen)


def _refusal(host: str, port: int, line: Line) -> str:
    """What kept a connection from being made; nothing where one was. No message is sent."""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE) as plain:
            if line.tls:
                context = TlsContext(_files(line), server=False).current()
                with context.wrap_socket(plain, server_hostname=line.server_name or host) as secured:
                    _listen(secured)
    except TlsFileError as error:
        return f"cannot be tried: {error.text}"
    except ssl.SSLError as error:
        return f"refuses TLS, or we do: {reason_of(error)}"
    except OSError:
        return "is silent"
    return ""


def _listen(secured: ssl.SSLSocket) -> None:
    """Behind a handshake of TLS 1.3 the other side may still refuse a certificate of ours; else it says nothing."""
    secured.settimeout(_MOMENT)
    with suppress(TimeoutError):
        secured.recv(1)

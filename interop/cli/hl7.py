"""``interop hl7``: send, look up and preview HL7 v2 messages."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interop.cli.message_files import Sending, sendings
from interop.errors import InteropError, NotFoundError, UnavailableError
from interop.hl7.acknowledgement import names_another
from interop.hl7.batches import batches_in, messages_in
from interop.hl7.charsets import decode
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import parse
from interop.settings import Settings
from interop.tls import TlsContext, TlsFiles, reason_of

if TYPE_CHECKING:
    from interop.store import MessageLink, MessageRow

commands = typer.Typer(help="Send, look up and preview HL7 v2 messages.", no_args_is_help=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a message could tell the terminal to do

FileArgument = Annotated[str, typer.Argument(help="HL7 v2 messages, one or many; - for standard input.")]


@commands.command("send")
def send(
    file: FileArgument,
    host: Annotated[str | None, typer.Option(help="Listener; INTEROP_MLLP_HOST unless given.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port; INTEROP_MLLP_PORT unless given.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the acknowledgement.")] = 30.0,
    exact: Annotated[bool, typer.Option("--exact", help="Send the file's bytes as they are.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="Over TLS; INTEROP_MLLP_TLS_PORT unless a port is given.")] = False,
    ca: Annotated[Path | None, typer.Option(help="PEM authorities of the listener; the system's unless given.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM certificate of ours, if the listener wants one.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, unless that is in the same file.")] = None,
) -> None:
    """Send a message over MLLP and print its acknowledgement; status 1 unless it is AA or CA.

    Of several in the file each is sent when the one before is answered; a batch (FHS, BHS) goes in one frame. An
    editor's line ends become the CR that HL7 wants, and MLLP frames are taken off, unless --exact.
    """
    settings = Settings()
    if (ca or cert or key) and not tls:
        raise InteropError("--ca, --cert and --key are for --tls")
    port = port or (settings.mllp_tls_port if tls or not settings.mllp_plain else settings.mllp_port)
    files = TlsFiles(cert, key, ca) if tls else None
    accepted = True
    for answer in exchanged(sendings(file, exact=exact), host or settings.mllp_host, port, timeout, files):
        typer.echo(_readable(answer))
        accepted &= all(parse(one).get("MSA-1") in ("AA", "CA") for one in messages_in(answer))
    sys.exit(0 if accepted else 1)


@commands.command("show")
def show(
    control_id: Annotated[str | None, typer.Argument(help="MSH-10 of a message that came in or went out.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The bytes exactly as they came or went.")] = False,
    number: Annotated[int | None, typer.Option(help="Which one, where several have this control id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, as the API answers.")] = False,
) -> None:
    """Show a stored message, what became of it, its acknowledgement and what it answers or is answered by.

    The server may run or not.
    """
    if control_id is None and number is None:
        raise InteropError("say which: a control id, or --number as interop hl7 list shows it")
    from interop.cli.desk import opened

    rows = asyncio.run(opened(Settings(), control_id, number))
    if not rows:
        which = [f"control id {control_id}"] * (control_id is not None) + [f"number {number}"] * (number is not None)
        raise NotFoundError(f"no message with {' and '.join(which)}")
    if as_json and not raw:
        from interop.hl7_api import shown_row

        for row in rows:
            typer.echo(json.dumps(shown_row(row), ensure_ascii=False))
        return
    if raw and len(rows) > 1:
        numbers = ", ".join(str(row.id) for row in rows)
        raise InteropError(f"{len(rows)} messages have this control id: choose one by --number ({numbers})")
    shown = rows[0].raw if raw else ("\n".join(line for row in rows for line in told(row)) + "\n").encode()
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()


def exchange(message: bytes, host: str, port: int, timeout: float, tls: TlsFiles | None = None) -> bytes:
    """Send one framed message and return the first framed answer. UnavailableError when none comes in time."""
    return next(exchanged([Sending(message, [message])], host, port, timeout, tls))


def exchanged(
    sendings: Sequence[Sending], host: str, port: int, timeout: float, tls: TlsFiles | None = None
) -> Iterator[bytes]:
    """Send one after the other over one connection; the answers as they come, to each message at least one.

    UnavailableError when one does not come within ``timeout`` seconds. A batch may be answered by a batch.
    """
    context = None if tls is None else TlsContext(tls, server=False).current()
    total, told = sum(len(sending.messages) for sending in sendings), 0
    try:
        with ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection((host, port), timeout=timeout))
            if context is not None:
                connection = opened.enter_context(context.wrap_socket(connection, server_hostname=host))
            received = _received(connection, f"{host}:{port}", timeout, bare=tls is not None and not tls.cert)
            answered: list[bytes] = []
            for sending in sendings:
                connection.sendall(frame(sending.data))
                waiting = list(sending.messages)
                while waiting:
                    answer = next(received)
                    yield answer
                    _settle(answer, waiting, answered)
                    told = len(answered)
    except TimeoutError as error:
        some = f"; {told} of {total} messages were answered" if total > 1 else ""
        raise UnavailableError(f"no acknowledgement from {host}:{port} within {timeout:g} s{some}") from error
    except ssl.SSLError as error:
        raise UnavailableError(f"{host}:{port}: {reason_of(error)}") from error
    except OSError as error:
        raise UnavailableError(f"{host}:{port}: {error.strerror or error}") from error


def _received(connection: socket.socket, peer: str, timeout: float, *, bare: bool) -> Iterator[bytes]:
    """The frames that come, without end; TimeoutError when the next is not whole in time."""
    decoder = FrameDecoder(50_000_000)
    while True:
        deadline = time.monotonic() + timeout
        found: list[Frame] = []
        while not found:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            data = connection.recv(65536)
            if not data:
                hint = ": it may want a certificate (--cert)" if bare else ""
                raise UnavailableError(f"{peer} closed the connection without an acknowledgement{hint}")
            found = [part for part in decoder.feed(data) if isinstance(part, Frame)]
        for part in found:
            yield part.data


def _settle(answer: bytes, waiting: list[bytes], answered: list[bytes]) -> None:
    """Move what this answers from one list to the other; the application's word on what was accepted moves nothing."""
    if batches_in(answer).enveloped:
        answered += waiting
        waiting.clear()
        return
    meant = next((one for one in waiting if not names_another(answer, one)), None)
    if meant is None and any(not names_another(answer, one) for one in answered):
        return
    at = 0 if meant is None else waiting.index(meant)
    answered.append(waiting.pop(at))


def told(row: MessageRow) -> list[str]:
    """A message for people."""
    lines = [
        f"{row.direction}  {row.type}  {row.application}|{row.facility}"
        f"  {row.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        f"  state={row.state}  ack={row.ack_code or '-'}  order={row.order_id or '-'}  number={row.id}"
        f"  attempts={row.attempts}  took={'-' if row.took is None else f'{row.took / 1000:.1f} ms'}"
    ]
    if row.touched:
        lines.append(f"  about: {' '.join(row.touched)}")
    lines += [f"  {_link(link)}" for link in row.links]
    for issue in row.issues:
        lines.append(f"  {issue.get('severity')}: {issue.get('location') or ''} {issue.get('text')}")
    for title, data in (("message", row.raw), (_answer(row), row.ack)):
        if data:
            lines += [f"--- {title}", _readable(data)]
    return lines


def _answer(row: MessageRow) -> str:
    """Which of the two acknowledgements is kept with the message itself."""
    try:
        accept = parse(row.ack or b"").get("MSA-1").startswith("C")
    except InteropError:
        accept = False
    return "accept acknowledgement" if accept else "acknowledgement"


def _link(link: MessageLink) -> str:
    """The message at the other end, and what was said."""
    way = f"{'to' if link.direction == 'out' else 'from'} {link.peer}"
    named = f"number {link.id}" + (f", control id {link.control_id}" if link.control_id else "")
    if link.relation == "answers":
        return f"answers ({link.code or 'no MSA-1'}): {link.type} {way}, {named}, {link.state}"
    return f"application acknowledgement ({link.code or 'no MSA-1'}): {link.type} {way}, {named}, {link.state}"


def _readable(data: bytes) -> str:
    """The message as text, by the character set that it is in (MSH-18); what is no message, as far as it is text."""
    try:
        text = "\r".join(segment.line for segment in parse(data).segments)
    except InteropError:
        text = decode(data, [], None)[0]
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return _CONTROL.sub("\ufffd", text)

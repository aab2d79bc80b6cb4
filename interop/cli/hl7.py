"""``interop hl7``: send, look up and preview HL7 v2 messages."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import sys
import time
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interop.errors import InteropError, MalformedError, NotFoundError, UnavailableError
from interop.hl7.charsets import decode
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import parse
from interop.settings import Settings
from interop.tls import TlsContext, TlsFiles, reason_of

if TYPE_CHECKING:
    from interop.store import MessageLink, MessageRow

commands = typer.Typer(help="Send, look up and preview HL7 v2 messages.", no_args_is_help=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a message could tell the terminal to do

FileArgument = Annotated[str, typer.Argument(help="An HL7 v2 message; - for standard input.")]


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

    An editor's line ends become the CR that HL7 wants, and an MLLP frame around the file is taken off, unless --exact.
    """
    settings = Settings()
    if (ca or cert or key) and not tls:
        raise InteropError("--ca, --cert and --key are for --tls")
    port = port or (settings.mllp_tls_port if tls or not settings.mllp_plain else settings.mllp_port)
    files = TlsFiles(cert, key, ca) if tls else None
    answer = exchange(read(file, exact=exact), host or settings.mllp_host, port, timeout, files)
    typer.echo(_readable(answer))
    code = parse(answer).get("MSA-1")
    sys.exit(0 if code in ("AA", "CA") else 1)


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


def read(file: str, *, exact: bool = False) -> bytes:
    """The message's bytes; an MLLP frame around it and the line ends of an editor are taken off unless ``exact``."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if exact:
        return data
    data = data.strip(b"\x0b\x1c\r\n")
    if not data:
        raise MalformedError("there is no message in the file")
    return data.replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r"


def exchange(message: bytes, host: str, port: int, timeout: float, tls: TlsFiles | None = None) -> bytes:
    """Send one framed message and return the first framed answer. UnavailableError when none comes in time."""
    decoder = FrameDecoder(50_000_000)
    deadline = time.monotonic() + timeout
    context = None if tls is None else TlsContext(tls, server=False).current()
    try:
        with ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection((host, port), timeout=timeout))
            if context is not None:
                connection = opened.enter_context(context.wrap_socket(connection, server_hostname=host))
            connection.sendall(frame(message))
            while True:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                received = connection.recv(65536)
                if not received:
                    hint = "" if tls is None or tls.cert else ": it may want a certificate (--cert)"
                    raise UnavailableError(f"{host}:{port} closed the connection without an acknowledgement{hint}")
                for part in decoder.feed(received):
                    if isinstance(part, Frame):
                        return part.data
    except TimeoutError as error:
        raise UnavailableError(f"no acknowledgement from {host}:{port} within {timeout:g} s") from error
    except ssl.SSLError as error:
        raise UnavailableError(f"{host}:{port}: {reason_of(error)}") from error
    except OSError as error:
        raise UnavailableError(f"{host}:{port}: {error.strerror or error}") from error


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

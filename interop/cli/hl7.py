"""``interop hl7``: send, look up and preview HL7 v2 messages."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from interop.errors import InteropError, MalformedError, NotFoundError, UnavailableError
from interop.hl7.framing import Frame, FrameDecoder, frame
from interop.hl7.message import parse
from interop.settings import Settings

commands = typer.Typer(help="Send, look up and preview HL7 v2 messages.", no_args_is_help=True)

FileArgument = Annotated[str, typer.Argument(help="An HL7 v2 message; - for standard input.")]


@commands.command("send")
def send(
    file: FileArgument,
    host: Annotated[str | None, typer.Option(help="Listener; INTEROP_MLLP_HOST unless given.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port; INTEROP_MLLP_PORT unless given.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the acknowledgement.")] = 30.0,
) -> None:
    """Send a message over MLLP and print its acknowledgement; status 1 unless it is AA or CA."""
    settings = Settings()
    answer = exchange(read(file), host or settings.mllp_host, port or settings.mllp_port, timeout)
    typer.echo(answer.decode("utf-8", "replace").replace("\r", "\n").rstrip("\n"))
    code = parse(answer).get("MSA-1")
    sys.exit(0 if code in ("AA", "CA") else 1)


@commands.command("show")
def show(
    control_id: Annotated[str, typer.Argument(help="MSH-10 of a message that came in or went out.")],
    raw: Annotated[bool, typer.Option("--raw", help="The stored bytes, exactly.")] = False,
) -> None:
    """Show a stored message, what became of it and its acknowledgement."""
    sys.stdout.buffer.write(asyncio.run(_stored(Settings(), control_id, raw=raw)))
    sys.stdout.buffer.flush()


@commands.command("preview")
def preview(file: FileArgument) -> None:
    """Print the FHIR Bundle that a message would become, and what could not be mapped. Nothing is stored."""
    from interop.mapping.preview import preview as previewed
    from interop.parts import mapping_tables

    settings = Settings()
    result = previewed(parse(read(file)), mapping_tables(), zone=settings.zone, facility=settings.facility)
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False, default=str))


def read(file: str) -> bytes:
    """The message's bytes; an MLLP frame around it and the line ends of an editor are taken off."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    data = data.strip(b"\x0b\x1c\r\n")
    if not data:
        raise MalformedError("there is no message in the file")
    return data.replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r"


def exchange(message: bytes, host: str, port: int, timeout: float) -> bytes:
    """Send one framed message and return the first framed answer. UnavailableError when none comes in time."""
    decoder = FrameDecoder(50_000_000)
    deadline = time.monotonic() + timeout
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(frame(message))
            while True:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                received = connection.recv(65536)
                if not received:
                    raise UnavailableError(f"{host}:{port} closed the connection without an acknowledgement")
                for part in decoder.feed(received):
                    if isinstance(part, Frame):
                        return part.data
    except TimeoutError as error:
        raise UnavailableError(f"no acknowledgement from {host}:{port} within {timeout:g} s") from error
    except OSError as error:
        raise UnavailableError(f"{host}:{port}: {error.strerror or error}") from error


async def _stored(settings: Settings, control_id: str, *, raw: bool) -> bytes:
    from interop.store import open_reader

    store = await open_reader(settings.database, zone=settings.zone)
    try:
        rows = await store.view(lambda tx: tx.find_messages(control_id=control_id))
    finally:
        await store.close()
    if not rows:
        raise NotFoundError(f"no message with control id {control_id}")
    if raw:
        if len(rows) > 1:
            raise InteropError(f"{len(rows)} messages have this control id; the raw form needs one")
        return rows[0].raw
    text = []
    for row in rows:
        text.append(
            f"{row.direction}  {row.type}  {row.application}|{row.facility}"
            f"  {row.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            f"  state={row.state}  ack={row.ack_code or '-'}  order={row.order_id or '-'}"
        )
        text.extend(
            f"  {issue.get('severity')}: {issue.get('location') or ''} {issue.get('text')}" for issue in row.issues
        )
        for title, data in (("message", row.raw), ("acknowledgement", row.ack)):
            if data:
                text += [f"--- {title}", data.decode("utf-8", "replace").replace("\r", "\n").rstrip("\n")]
    return ("\n".join(text) + "\n").encode()

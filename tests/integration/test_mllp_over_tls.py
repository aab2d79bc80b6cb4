"""MLLP over TLS: who is let in by certificate, what a failed handshake leaves, certificates renewed without a stop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interop.fhir.query import Query
from interop.hl7.framing import commit_block, frame
from interop.hl7.message import parse
from interop.mllp_listener import MllpListener
from interop.store import MessageQuery, Store
from interop.testing.sender import HL7Sender
from interop.tls import TlsContext, TlsFileError, TlsFiles
from tests.certificates import Authority, fingerprint
from tests.hl7_messages import orm
from tests.integration.test_mllp_intake import Peer, told
from tests.real_server import RealServer
from tests.sites import a_site


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@asynccontextmanager
async def secured(
    store: Store, authority: Authority, *allow: str, client_ca: bool = True
) -> AsyncIterator[MllpListener]:
    """A listener with a certificate, which asks for one unless told otherwise."""
    server = authority.issue("server")
    files = TlsFiles(server, None, authority.ca if client_ca else None)
    listener = MllpListener(store, a_site(), "127.0.0.1", 0, allow, tls=TlsContext(files, server=True))
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


def client_of(authority: Authority, certificate: Path | None = None) -> ssl.SSLContext:
    """What a sender that trusts the authority connects with."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def connected(listener: MllpListener, context: ssl.SSLContext) -> Peer:
    return Peer(*await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname="localhost"))


async def said_hello(listener: MllpListener, context: ssl.SSLContext) -> None:
    """Connect, send, wait for an answer."""
    peer = await connected(listener, context)
    try:
        await peer.send(orm(id="C1"))
        await peer.answer()
    finally:
        peer.writer.close()


async def faults(store: Store) -> list[str]:
    """What the list of messages says of connections that came to nothing."""
    lines = await store.view(lambda tx: tx.list_messages(MessageQuery(state="fault")))
    return [f"{line.type} {line.issues[0]['text']}" for line in lines]


async def eventually_faulty(store: Store) -> list[str]:
    async with asyncio.timeout(10):
        while not (found := await faults(store)):
            await asyncio.sleep(0.02)
    return found


async def test_messages_are_answered_over_tls_in_order(store: Store, authority: Authority) -> None:
    async with secured(store, authority, client_ca=False) as listener:
        peer = await connected(listener, client_of(authority))
        await peer.send(*(orm(placer=f"P{n}", id=f"C{n}") for n in range(20)))
        assert [told(await peer.answer()) for _ in range(20)] == [("AA", f"C{n}") for n in range(20)]
        peer.writer.close()


@pytest.mark.parametrize("entry", ["cn:ris", "cn:ris.example", "127.0.0.1+cn:ris=RIS|HOSP", "sha256:{}"])
async def test_a_listed_certificate_is_heard(store: Store, authority: Authority, entry: str) -> None:
    certificate = authority.issue("ris")
    async with secured(store, authority, entry.format(fingerprint(certificate))) as listener:
        peer = await connected(listener, client_of(authority, certificate))
        await peer.send(orm(id="C1"))
        assert told(await peer.answer()) == ("AA", "C1")
        peer.writer.close()


@pytest.mark.parametrize("entry", ["cn:ris", "10.0.0.1+cn:other", "cn:other=EMR", "cn:other=RIS|ELSEWHERE"])
async def test_an_unknown_sender_gets_ar_and_an_audit_entry(store: Store, authority: Authority, entry: str) -> None:
    async with secured(store, authority, entry, "127.0.0.1+cn:ris") as listener:
        peer = await connected(listener, client_of(authority, authority.issue("other")))
        await peer.send(orm(id="C1"))
        assert told(await peer.answer()) == ("AR", "C1")
        peer.writer.close()
    rows = await store.view(lambda tx: tx.audit_rows(Query("AuditEvent")))
    assert [(row.event.kind, row.event.outcome) for row in rows] == [("hl7", "4")]
    (kept,) = await store.view(lambda tx: tx.find_messages(state="refused"))
    assert kept.raw == orm(id="C1")


async def test_no_certificate_no_message_and_a_trace_of_it(store: Store, authority: Authority) -> None:
    async with secured(store, authority) as listener:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await said_hello(listener, client_of(authority))
        assert await eventually_faulty(store) == [
            "fault tls the TLS handshake failed: the other side sent no certificate (PEER_DID_NOT_RETURN_A_CERTIFICATE)"
        ]
        stranger = Authority(authority.ca.parent / "stranger")
        context = client_of(authority, stranger.issue("ris"))
        for _ in range(2):
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                await said_hello(listener, context)
        assert listener.counts["fault tls"] == 3
        async with asyncio.timeout(10):
            while len(rows := await store.view(lambda tx: tx.audit_rows(Query("AuditEvent")))) < 3:
                await asyncio.sleep(0.02)
    assert [row.event.subtype for row in rows] == ["mllp-tls-refused"] * 3
    unknown, without = await faults(store)  # the same once a minute
    assert ("CERTIFICATE_VERIFY_FAILED" in unknown, "sent no certificate" in without) == (True, True)


async def test_plain_bytes_and_old_versions_are_refused(store: Store, authority: Authority) -> None:
    async with secured(store, authority, client_ca=False) as listener:
        plain = Peer(*await asyncio.open_connection("127.0.0.1", listener.port))
        await plain.send(orm(id="C1"))
        with pytest.raises((EOFError, ConnectionError)):
            await plain.answer()
        plain.writer.close()
        assert await eventually_faulty(store) == [
            "fault tls the TLS handshake failed: these bytes begin no TLS handshake"
        ]
        (kept,) = await store.view(lambda tx: tx.find_messages(state="fault"))
        assert kept.raw == frame(orm(id="C1"))
        old = client_of(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connected(listener, old)
    assert await store.view(lambda tx: tx.find_messages(control_id="C1")) == []


async def test_a_certificate_of_the_list_is_wanted_on_the_plain_port_too(store: Store) -> None:
    listener = MllpListener(store, a_site(), "127.0.0.1", 0, ["cn:ris"])
    await listener.start()
    peer = Peer(*await asyncio.open_connection("127.0.0.1", listener.port))
    assert await peer.ended()
    peer.writer.close()
    await listener.stop()
    assert await faults(store) == ["fault peer the address is not on the list of peers"]


async def test_a_renewed_certificate_is_used_from_the_next_connection_on(store: Store, authority: Authority) -> None:
    async with secured(store, authority, client_ca=False) as listener:
        first = await connected(listener, client_of(authority))
        before = first.writer.get_extra_info("ssl_object").getpeercert(True)
        path = authority.issue("server")
        os.utime(path, (time.time() + 5,) * 2)
        second = await connected(listener, client_of(authority))
        assert second.writer.get_extra_info("ssl_object").getpeercert(True) != before
        path.write_text("half a certificate")
        os.utime(path, (time.time() + 10,) * 2)
        third = await connected(listener, client_of(authority))  # with the one before
        for peer in (first, second, third):
            await peer.send(orm(id="C1"))
            assert told(await peer.answer()) == ("AA", "C1")
            peer.writer.close()


async def test_somebody_who_never_shakes_hands_holds_up_no_stop(store: Store, authority: Authority) -> None:
    async with secured(store, authority) as listener:
        silent = await asyncio.open_connection("127.0.0.1", listener.port)
        await asyncio.sleep(0.1)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    silent[1].close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsFileError, match=r"none\.pem"):
        TlsContext(TlsFiles(tmp_path / "none.pem"), server=True)
    (tmp_path / "odd.pem").write_text("nothing")
    with pytest.raises(TlsFileError, match=r"odd\.pem"):
        TlsContext(TlsFiles(tmp_path / "odd.pem"), server=True)


def test_a_running_server_listens_on_both_ports_or_on_one(real_server: object, authority: Authority) -> None:
    assert callable(real_server)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    settings = {
        "mllp_tls_port": port,
        "mllp_tls_cert": authority.issue("server"),
        "mllp_tls_client_ca": authority.ca,
        "mllp_peers": "cn:ris=RIS",
        "mllp_tls_release": 2,
    }
    server: RealServer = real_server(command="serve", mllp_plain="false", **settings)
    server.start("/healthz")
    context = client_of(authority, authority.issue("ris"))
    with HL7Sender("localhost", port, tls=context) as sender:
        assert parse(sender.send(orm(id="C1"))).get("MSA-1") == "AA"
        assert parse(sender.send(orm(id="C2", sender="EMR|HOSP"))).get("MSA-1") == "AR"
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with context.wrap_socket(plain, server_hostname="localhost") as secured:
        secured.sendall(frame(orm(id="C3")))
        assert secured.recv(4) == commit_block(True)  # of this listener; the other one's release is 1
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.settings.mllp_port), timeout=2).close()

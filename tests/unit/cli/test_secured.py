"""What ``interop doctor`` says of certificates and of receivers over TLS, and ``interop hl7 send --tls``."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from interop.cli.secured import answering_receivers, certificates
from interop.settings import Settings
from interop.tls import TlsFileError, TlsFiles, valid_until
from tests.certificates import Authority
from tests.postgres import free_port

ANSWER = b"\x0bMSH|^~\\&|RIS|H|INTEROP|IMG|20260101||ACK|1|P|2.5.1\rMSA|AA|C1\r\x1c\r"
MESSAGE = "MSH|^~\\&|RIS|H|INTEROP|IMG|20260101||ORM^O01|C1|P|2.5.1\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def peer(authority: Authority) -> Iterator[int]:
    """The port of somebody who wants a certificate of this authority, and answers AA to whatever comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("peer"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError), closing(context.wrap_socket(accepted, server_side=True)) as secured:
                while secured.recv(65536):
                    secured.sendall(ANSWER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


def test_the_end_of_a_certificate(authority: Authority, tmp_path: Path) -> None:
    soon, later = (valid_until(TlsFiles(authority.issue(f"d{days}", days=days))) for days in (1, 400))
    assert 398 <= (later - soon).days <= 399
    with pytest.raises(TlsFileError, match="certificate has expired"):
        valid_until(TlsFiles(authority.issue("late", days=-2)))
    (tmp_path / "odd.pem").write_text("nothing")
    for name in ("odd.pem", "none.pem"):
        with pytest.raises(TlsFileError, match=name):
            valid_until(TlsFiles(tmp_path / name))


@pytest.mark.parametrize(
    ("days", "level", "said"), [(400, "ok", "until 20"), (5, "warning", "days are left"), (-2, "fault", "has expired")]
)
async def test_the_listeners_certificate(
    authority: Authority, tmp_path: Path, days: int, level: str, said: str
) -> None:
    (tmp_path / "peers.toml").write_text("")
    file = authority.issue(f"listener{days}", days=days)
    found = await certificates(Settings(mllp_tls_cert=file, peers_file=tmp_path / "peers.toml", data_dir=tmp_path))
    assert [(one.level, one.subject) for one in found] == [(level, "MLLP certificate")]
    assert said in f"{found[0].seen} {found[0].remedy}"


async def test_receivers_over_tls(authority: Authority, peer: int, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "Other CA")
    lines = {
        "GOOD": (peer, f'ca = "{authority.ca}"\ncert = "{authority.issue("us")}"'),
        "NONE": (peer, f'ca = "{authority.ca}"'),
        "THEIRS": (peer, f'ca = "{other.ca}"\ncert = "{authority.issue("us")}"'),
        "OURS": (peer, f'ca = "{authority.ca}"\ncert = "{other.issue("us")}"'),
        "NAME": (peer, f'ca = "{authority.ca}"\nserver_name = "elsewhere.example"'),
        "GONE": (peer, f'ca = "{tmp_path}/none.pem"'),
        "SILENT": (free_port(), f'ca = "{authority.ca}"'),
    }
    (tmp_path / "peers.toml").write_text(
        "".join(
            f'[[receiver]]\nname = "{name}"\nhost = "localhost"\nport = {port}\napplication = "{name}"\n'
            f'types = ["ORM^O01"]\ntls = true\n{more}\n'
            for name, (port, more) in lines.items()
        )
    )
    settings = Settings(peers_file=tmp_path / "peers.toml", data_dir=tmp_path)
    said = {one.subject.removeprefix("receiver "): one.seen for one in await answering_receivers(settings)}
    assert said["GOOD"].endswith("answers over TLS")
    assert "CERTIFICATE_REQUIRED" in said["NONE"]
    assert "CERTIFICATE_VERIFY_FAILED" in said["THEIRS"]
    assert "does not know the authority of our certificate" in said["OURS"]
    assert "Hostname mismatch" in said["NAME"]
    assert "none.pem" in said["GONE"]
    assert said["SILENT"].endswith("is silent")
    held = [(one.subject, one.level) for one in await certificates(settings)]
    assert held == [(f"certificate for {name}", "warning") for name in ("GOOD", "THEIRS", "OURS")]


def test_a_message_is_sent_over_tls(authority: Authority, peer: int, tmp_path: Path) -> None:
    (tmp_path / "order.hl7").write_text(MESSAGE)

    def sent(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interop", "hl7", "send", "order.hl7", "--host", "localhost", *arguments]
        return subprocess.run(
            [str(part) for part in command],
            cwd=tmp_path,
            env={**os.environ, "INTEROP_MLLP_TLS_PORT": str(peer)},
            capture_output=True,
            text=True,
            check=False,
        )

    good = sent("--tls", "--ca", authority.ca, "--cert", authority.issue("sender"))
    assert (good.returncode, "MSA|AA|C1" in good.stdout) == (0, True), good.stderr
    untrusted = sent("--tls", "--cert", authority.issue("sender"))
    assert (untrusted.returncode, "CERTIFICATE_VERIFY_FAILED" in untrusted.stderr) == (1, True)
    alone = sent("--ca", authority.ca)
    assert (alone.returncode, alone.stderr) == (1, "interop: --ca, --cert and --key are for --tls\n")

"""A stand-in for Orthanc's worklists plugin on a socket: it answers as that plugin's documentation and sources say.

Debian's Orthanc has no such plugin, so what is tested is our half of the conversation.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

USER, PASSWORD = "interop", "secret"


class Plugin(ThreadingHTTPServer):
    """The items by their names, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.items: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.missing = False  # an Orthanc without the plugin
        self.broken = 0  # so many further writes answer 500

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def writes(self) -> list[str]:
        """What was put and taken away since the last look, by method and whose it is."""
        found = [one for one in self.asked if not one.startswith("GET")]
        self.asked.clear()
        return found


@contextmanager
def plugin() -> Iterator[Plugin]:
    """It answers while the context lasts."""
    server = Plugin()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: Plugin
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        expected = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self._answer(401, {})
        elif self.server.missing or not path.startswith("/worklists"):
            self._answer(404, {"OrthancError": "Unknown resource"})
        elif self.command != "GET" and self.server.broken:
            self.server.broken -= 1
            self._answer(500, {})
        else:
            self._answer(*self._of_plugin(path.removeprefix("/worklists").strip("/"), body))

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _of_plugin(self, name: str, body: bytes) -> tuple[int, Any]:
        items = self.server.items
        if self.command in ("POST", "PUT"):
            return self._written(str(uuid4()) if self.command == "POST" else name, json.loads(body))
        if not name:
            return 200, [{"ID": id, "Tags": tags} for id, tags in items.items()]
        if name not in items:
            return 404, {"OrthancError": "Unknown resource"}
        if self.command == "DELETE":
            del items[name]
            return 200, {}
        return 200, {"ID": name, "Tags": items[name]}

    def _written(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        tags = body.get("Tags")
        if not isinstance(tags, dict):
            return 400, {"Details": "'Tags' field is missing or not a JSON object"}
        step = (tags.get("ScheduledProcedureStepSequence") or [{}])[0]
        if self.command == "POST" and not {"Modality", "ScheduledProcedureStepStartDate"} <= step.keys():
            return 400, {"Details": "'ScheduledProcedureStepSequence' is missing a 'Modality'"}
        self.server.items[name] = {"SOPInstanceUID": "1.2.3", **_stored(tags)}
        return 200, {"ID": name, "Path": f"/worklists/{name}"}

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


def _stored(tags: dict[str, Any]) -> dict[str, Any]:
    """What comes back: text with DICOM's padding, sequences item by item."""
    return {
        name: [_stored(item) for item in value] if isinstance(value, list) else value + " " * (len(value) % 2)
        for name, value in tags.items()
    }

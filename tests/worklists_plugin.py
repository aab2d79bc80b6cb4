"""A stand-in for Orthanc's worklists plugin on a socket: it answers as that plugin's documentation and sources say.

Debian's Orthanc has no such plugin, so what is tested is our half of the conversation. Compared field by field with the
sources of version 0.9.2 and after (``Plugin.cpp`` of orthanc-server/orthanc-worklists): addresses and methods, bodies,
what is checked of a new item and added to it. The forms of errors and of tags are those of Orthanc 1.10.1 itself.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
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
        asked = urlsplit(self.path)
        self.server.asked.append(f"{self.command} {asked.path}")
        expected = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self._answer(401, None, {"WWW-Authenticate": 'Basic realm="Orthanc Secure Area"'})
        elif self.server.missing or not re.match(r"/worklists(/|$)", asked.path):
            self._refuse(404, 17, "Unknown resource")
        elif self.command != "GET" and self.server.broken:
            self.server.broken -= 1
            self._refuse(500, -1, "Internal error")
        else:
            self._of_plugin(asked.path.removeprefix("/worklists").strip("/"), dict(parse_qsl(asked.query)), body)

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _of_plugin(self, name: str, query: dict[str, str], body: bytes) -> None:
        """Of the addresses the one of creation comes first, as they are registered."""
        items = self.server.items
        allowed = {"create": "POST", "": "GET"}.get(name, "DELETE,GET,PUT")
        if self.command not in allowed.split(","):
            self._answer(405, None, {"Allow": allowed.removesuffix(",PUT")})
        elif self.command in ("POST", "PUT"):
            self._write(str(uuid4()) if self.command == "POST" else name, body)
        elif self.command == "DELETE":
            gone = items.pop(name, None)
            self._refuse(404, 17, "Unknown resource") if gone is None else self._answer(200, {})
        elif query.get("format") != "Simplify":  # tags are named by numbers then, which nobody asks for here
            self._answer(200, [] if not name else {"ID": name, "Tags": {}})
        elif not name:
            made = {"CreationDate": "20260123T144753.000000"}  # where items are kept in the database
            self._answer(200, [{"ID": id, "Tags": tags} | made for id, tags in items.items()])
        elif name not in items:
            self._refuse(404, 17, "Unknown resource", "Worklist not found")
        else:
            self._answer(200, {"ID": name, "Tags": items[name]})

    def _write(self, name: str, body: bytes) -> None:
        try:
            asked = json.loads(body)
        except ValueError:
            return self._refuse(400, 15, "Bad file format", "A JSON payload was expected")
        tags = asked.get("Tags") if isinstance(asked, dict) else None
        if not isinstance(tags, dict):
            return self._refuse(400, 15, "Bad file format", "'Tags' field is missing or not a JSON object")
        if not asked.get("Force", self.command == "PUT") and (fault := _fault(tags)):
            return self._refuse(400, 15, "Bad file format", f"{fault}  Use 'Force': true to bypass this check.")
        added = {"SpecificCharacterSet": "ISO_IR 192", "StudyInstanceUID": f"2.25.{uuid4().int}"}
        self.server.items[name] = dict(sorted((added | tags).items()))
        return self._answer(200, {"ID": name, "Path": f"/worklists/{name}"})

    def _refuse(self, status: int, number: int, text: str, details: str = "") -> None:
        """As Orthanc describes errors (HttpDescribeErrors)."""
        said = {
            "HttpError": HTTPStatus(status).phrase,
            "HttpStatus": status,
            "Message": text,
            "Method": self.command,
            "OrthancError": text,
            "OrthancStatus": number,
            "Uri": urlsplit(self.path).path,
        }
        self._answer(status, said | ({"Details": details} if details else {}))

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


def _fault(tags: dict[str, Any]) -> str:
    """What a new item lacks."""
    if "ScheduledProcedureStepSequence" not in tags:
        return "'Tags' is missing a 'ScheduledProcedureStepSequence'."
    step = (tags["ScheduledProcedureStepSequence"] or [{}])[0]
    for name in ("Modality", "ScheduledProcedureStepStartDate"):
        if name not in step:
            return f"'ScheduledProcedureStepSequence' is missing a '{name}'"
    return ""

"""OHIF's files, as its authors packed them: listed once at start, so that a request can only name one of them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response

from interop.errors import InteropError
from interop.viewer.placing import placed_file, placed_page

_HASHED = re.compile(r"(^|[./-])[0-9a-f]{16,}\.[a-z0-9.]+$")  # the name changes with the content
_TEXT = frozenset({".js", ".css", ".html", ".json", ".svg", ".wasm", ".xml", ".txt"})
_SCRIPTS = frozenset({".js", ".mjs"})
_LARGEST = 24 * 1024 * 1024  # files that are kept compressed in memory
_MOST = 64 * 1024 * 1024  # … all of them together
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
_MANIFEST = '<link rel="manifest" href="/manifest.json">'
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)

# Where nothing can be stored: stored measurements and segments stay as they were stored, and nothing offers to save.
# OHIF has no customization for the button "Create SR" (between "CSV" and "Delete") and for the one of a segmentation's
# menu, so a style sheet hides them. Whatever else would open the dialogue in which a report is saved is told why not,
# and no question is asked about measurements to be tracked for saving.
_READ_ONLY = b"""
;(config => {
  const custom = (config.customizationService ??= {});
  for (const panel of ['panelMeasurement', 'panelSegmentation']) custom[panel + '.disableEditing'] = { $set: true };
  custom['panelSegmentation.customDropdownMenuContent'] = { $set: () => null };
  custom['ohif.createReportDialog'] = {
    $set: ({ onCancel }) => {
      onCancel();
      return 'Nothing can be stored in this session.';
    },
  };
  config.measurementTrackingMode = 'none';
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    `.h-9 > .space-x-1 > button:nth-child(2):not(:last-child),
    [data-cy^=segmentation-][data-cy*=-more-btn] { display: none !important; }
    [role=dialog] { color: white; }`,
  );
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
})(window.config);
"""

# crossOriginIsolated, which SharedArrayBuffer needs (volume rendering).
ISOLATION = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}
# A worker obeys the policy that its own script came with, not the page's. Those that decode compressed images load
# further scripts and WebAssembly from here, and the decoders' glue (Emscripten's embind) makes functions of strings.
_WORKER_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self'; worker-src 'self' blob:"


# Full screen too is granted to a frame by the page that has it (allow="fullscreen"), and by nothing here.
_PERMISSIONS = "fullscreen=(self), camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), midi=()"


class MissingViewerError(InteropError):
    """OHIF's files are not there."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    path: Path
    size: int
    etag: str
    media_type: str
    cache: str
    compressible: bool
    placed: bytes | None = None  # the content, where it is not the file's

    def read(self) -> bytes:
        """The content."""
        return self.path.read_bytes() if self.placed is None else self.placed


class Assets:
    """Serves the files of OHIF's dist folder, our configuration, and the page that starts it."""

    def __init__(self, dist: Path, config: bytes, path: str = "") -> None:
        """``path`` is the one below which browsers find the viewer, empty for the root of the site."""
        index = dist / "index.html"
        if not index.is_file():
            raise MissingViewerError(f"{dist} does not hold OHIF's dist: make setup, or set INTEROP_OHIF_DIR")
        self._assets = {
            file.relative_to(dist).as_posix(): _asset(file, path)
            for file in sorted(dist.rglob("*"))
            if file.is_file() and not file.is_symlink() and file.name not in ("index.html", "app-config.js")
        }
        self._compressed: dict[str, bytes] = {}
        self._compressing: set[asyncio.Task[None]] = set()
        html = index.read_text("utf-8")
        # A manifest is fetched without cookies unless told otherwise, and nothing is served without them.
        html = html.replace(_MANIFEST, _MANIFEST.replace(">", ' crossorigin="use-credentials">'))
        html = placed_page(html, path)
        self._page = html.encode()
        self._policy = _policy(html)
        self._config = config

    def page(self, ancestors: str, in_frame: Mapping[str, str]) -> Response:
        """The page on which OHIF runs, whatever study its address names; the pages that may frame it, and how."""
        headers = {
            **ISOLATION,
            "content-security-policy": f"{self._policy}; {ancestors}",
            "permissions-policy": _PERMISSIONS,
            "cache-control": "no-store",
            **in_frame,
        }
        return Response(self._page, media_type="text/html", headers=headers)

    def config(self, *, read_only: bool) -> Response:
        """OHIF's configuration for one session, kept by no cache: the next session in this browser may have another."""
        text = self._config + _READ_ONLY if read_only else self._config
        return Response(text, media_type="text/javascript", headers={**ISOLATION, "cache-control": "no-store"})

    def file(self, name: str, headers: Headers) -> Response | None:
        """The named file as the client wants it; None if there is no such file."""
        asset = self._assets.get(name)
        if asset is None:
            return None
        compressed = self._gzipped(name, asset) if _accepts_gzip(headers) else None
        etag = f'"{asset.etag}-gz"' if compressed is not None else f'"{asset.etag}"'
        own = {**ISOLATION, "etag": etag, "cache-control": asset.cache}
        if asset.compressible:
            own["vary"] = "Accept-Encoding"
        if asset.path.suffix in _SCRIPTS:
            own["content-security-policy"] = _WORKER_POLICY
        known = {tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")}
        if etag in known:
            return Response(status_code=304, headers=own)
        if compressed is not None:
            own["content-encoding"] = "gzip"
            return Response(compressed, media_type=asset.media_type, headers=own)
        if asset.placed is not None:
            return Response(asset.placed, media_type=asset.media_type, headers=own)
        return FileResponse(asset.path, media_type=asset.media_type, headers=own)

    def _gzipped(self, name: str, asset: Asset) -> bytes | None:
        """The compressed file, if it is ready; the first request starts the work and gets the file as it is."""
        if not asset.compressible or asset.size > _LARGEST:
            return None
        ready = self._compressed.get(name)
        if ready is None and sum(map(len, self._compressed.values())) < _MOST:
            self._compressed[name] = b""  # under way
            task = asyncio.create_task(self._compress(name, asset))
            self._compressing.add(task)
            task.add_done_callback(self._compressing.discard)
        return ready or None

    async def _compress(self, name: str, asset: Asset) -> None:
        self._compressed[name] = await asyncio.to_thread(lambda: gzip.compress(asset.read(), 6, mtime=0))


def _asset(path: Path, below: str) -> Asset:
    stat = path.stat()
    etag = hashlib.sha256(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}:{below}".encode()).hexdigest()[:20]
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # "private": whoever may load the viewer was signed in; a shared cache must not hand it on.
    cache = "private, max-age=31536000, immutable" if _HASHED.search(path.name) else "private, no-cache"
    compressible = path.suffix in _TEXT and stat.st_size > 1024
    return Asset(path, stat.st_size, etag, media_type, cache, compressible, placed_file(path, below))


def _accepts_gzip(headers: Headers) -> bool:
    codings = (coding.strip() for coding in headers.get("accept-encoding", "").split(","))
    return any(coding.split(";")[0] == "gzip" and not coding.endswith("q=0") for coding in codings)


def _policy(html: str) -> str:
    """What the viewer's page may do: its own scripts (and the inline ones it came with), and requests to us alone."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE.findall(html)
    )
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval' {hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "frame-src 'self' blob:",
            "object-src 'self' blob:",
            "base-uri 'self'",
            "form-action 'self'",
        )
    )

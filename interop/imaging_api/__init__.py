"""The imaging door beside FHIR: launching the viewer, and which order a study is of."""

from interop.imaging_api.launcher import Launcher
from interop.imaging_api.match_routes import match_routes
from interop.imaging_api.matching import Matching
from interop.imaging_api.pacs_routes import pacs_routes
from interop.imaging_api.routes import imaging_routes
from interop.imaging_api.share_routes import share_routes
from interop.imaging_api.sharing import Sharing

__all__ = [
    "Launcher",
    "Matching",
    "Pacs",
    "Sharing",
    "SyncRequest",
    "imaging_routes",
    "match_routes",
    "pacs_routes",
    "share_routes",
    "shown_status",
]

"""The viewer's door: OHIF on this server's own origin, opened for exactly the studies of its session."""

from interop.viewer.assets import Assets, MissingViewerError
from interop.viewer.routes import viewer_routes

__all__ = ["Assets", "MissingViewerError", "viewer_routes"]

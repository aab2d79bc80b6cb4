"""The viewer's door: OHIF on this server's own origin, opened for exactly the studies of its session."""

from interop.viewer.assets import Assets, MissingViewerError
from interop.viewer.configuration import ViewerConfigurationError, configuration
from interop.viewer.pages import ViewerPages
from interop.viewer.routes import viewer_routes
from interop.viewer.share import shared_link_routes

__all__ = [
    "Assets",
    "MissingViewerError",
    "ViewerConfigurationError",
    "ViewerPages",
    "configuration",
    "shared_link_routes",
    "viewer_routes",
]

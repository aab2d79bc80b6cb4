"""The imaging door beside FHIR: launching the viewer."""

from interop.imaging_api.launcher import Launcher
from interop.imaging_api.routes import imaging_routes

__all__ = ["Launcher", "imaging_routes"]

"""The door that says whether this server is alive and ready."""

from interop.health.checks import Finding, Readiness
from interop.health.routes import health_routes

__all__ = ["Finding", "Readiness", "health_routes"]

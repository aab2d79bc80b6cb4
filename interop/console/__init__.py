"""The start page, and how every page of ours looks."""

from interop.console.pages import error_page
from interop.console.routes import console_routes

__all__ = ["console_routes", "error_page"]

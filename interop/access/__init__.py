"""Who is asking, and what that allows (pure values and decisions; no I/O)."""

from interop.access.agent import Agent, system_agent

__all__ = ["Agent", "system_agent"]

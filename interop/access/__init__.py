"""Who may do what: agents, SMART scopes, and the decision."""

from interop.access.agent import Agent, system_agent
from interop.access.decision import bound_to_patient, decide, may_store_images, may_view_study
from interop.access.scopes import check_scopes

__all__ = ["Agent", "bound_to_patient", "check_scopes", "decide", "may_store_images", "may_view_study", "system_agent"]

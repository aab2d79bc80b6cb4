"""Subscribers by websocket: R4 subscription.html for criteria, the Subscriptions R5 Backport guide 1.1 for topics."""

from interop.fhir_socket.door import Limits, SubscriptionSockets
from interop.fhir_socket.letters import Bindings

__all__ = ["Bindings", "Limits", "SubscriptionSockets"]

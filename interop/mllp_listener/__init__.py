"""The HL7 door: MLLP connections in, acknowledgements out, each after the commit that earns it."""

from interop.mllp_listener.connection import Limits
from interop.mllp_listener.listener import MllpListener
from interop.mllp_listener.peers import AllowList
from interop.mllp_listener.strangers import StrangerLimits

__all__ = ["AllowList", "Limits", "MllpListener", "StrangerLimits"]

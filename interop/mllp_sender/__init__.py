"""The MLLP wire to receivers: message bytes out, reply bytes back; it knows nothing of what they say."""

from interop.mllp_sender.sender import Address, MllpSender

__all__ = ["Address", "MllpSender"]

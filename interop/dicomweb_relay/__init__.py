"""The wire to the archive's DICOMweb: requests over kept connections, answers passed on as they arrive."""

from interop.dicomweb_relay.answer import Answer
from interop.dicomweb_relay.plain import Dialect, PlainArchive
from interop.dicomweb_relay.relay import Relay

__all__ = ["Answer", "Dialect", "PlainArchive", "Relay"]

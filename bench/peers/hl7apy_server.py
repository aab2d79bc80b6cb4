"""hl7apy's MLLP server with its parser: each message is parsed and answered with the same acknowledgement.

It closes the connection after every message, so the load generator connects anew for each.
"""

from __future__ import annotations

import sys

from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

ACK = "\x0bMSH|^~\\&|PEER|PEER|LOAD|LOAD|20260101000000||ACK^O01|1|P|2.5.1\rMSA|AA|1\r\x1c\r"


class Order(AbstractHandler):  # type: ignore[misc]
    """An ORM^O01, parsed as the library's documentation shows."""

    def reply(self) -> str:
        """The acknowledgement."""
        parse_message(self.incoming_message)
        return ACK


if __name__ == "__main__":
    with MLLPServer("127.0.0.1", int(sys.argv[1]), {"ORM^O01": (Order,)}) as server:
        server.serve_forever()

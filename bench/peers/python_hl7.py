"""python-hl7's MLLP server, answering every message with the same acknowledgement.

``block`` reads the framed bytes and looks no further; ``message`` reads as its documentation shows, which parses.
Neither stores anything.
"""

from __future__ import annotations

import asyncio
import sys

from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

ACK = b"MSH|^~\\&|PEER|PEER|LOAD|LOAD|20260101000000||ACK^O01|1|P|2.5.1\rMSA|AA|1\r"


async def _answer_blocks(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
    try:
        while True:
            await reader.readblock()
            writer.writeblock(ACK)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()  # the sender has gone


async def _answer_messages(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
    try:
        while True:
            await reader.readmessage()
            writer.writeblock(ACK)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()


async def main(port: int, reading: str) -> None:
    """Serve until killed."""
    answer = {"block": _answer_blocks, "message": _answer_messages}[reading]
    server = await start_hl7_server(answer, "127.0.0.1", port, encoding="utf-8")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

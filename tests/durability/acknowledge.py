"""A process that commits units for ever and prints each id once its unit was acknowledged.

Usage: python -m tests.durability.acknowledge URL SYNCHRONOUS
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from interop.access.agent import system_agent
from interop.audit.event import Event
from interop.store import Store, Tx, open_store

AGENT = system_agent("durability")


def _work(tx: Tx) -> str:
    made = tx.create({"resourceType": "Patient", "active": True, "text": {"div": "x" * 500}})
    tx.audit(Event("rest", "create", "C", patient=made.reference))
    tx.enqueue("worklist", made.id, {})
    return made.id


async def _submit(store: Store) -> None:
    while True:
        made = await store.unit(AGENT, _work)
        sys.stdout.write(f"{made}\n")  # the acknowledgement
        sys.stdout.flush()


async def _main(url: str, synchronous: str) -> None:
    def nothing(resource: dict[str, Any], zone: Any) -> list[Any]:
        return []

    store = await open_store(url, synchronous=synchronous, index=nothing)
    await asyncio.gather(*(_submit(store) for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))

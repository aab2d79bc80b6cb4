"""The composition root: reads the settings, builds the rooms, hands the wires to the doors, and runs the chosen roles.

Roles: http (FHIR, DICOMweb, viewer, start page), mllp (HL7 v2 listener), worker (jobs and the archive feed).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from interop.errors import InteropError
from interop.settings import Settings
from interop.shipped import shipped

log = logging.getLogger(__name__)

ROLES = ("http", "mllp", "worker")
STOP_SECONDS = 10.0  # what a request or a delivery under way gets to finish


class StartError(InteropError):
    """The server cannot start with these settings."""


def parse_roles(names: Sequence[str] | None) -> frozenset[str]:
    """The chosen roles; all of them when none is named. StartError for an unknown one."""
    chosen = frozenset(names or ROLES)
    if unknown := chosen - set(ROLES):
        raise StartError(f"unknown role {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    return chosen

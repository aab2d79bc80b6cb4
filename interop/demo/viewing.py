"""A doctor's screen: Chromium opens a launch URL, and what OHIF draws is compared with the simulator's pattern."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from interop.demo.world import StoryError, require

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 60.0

"""A requestor's reactor that says it pauses does pause, whatever the scheduler does."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

from interop.dicom.requesting import Checkpoint


def test_who_passes_the_checkpoint_is_not_said_to_be_pausing() -> None:
    association = SimpleNamespace(_is_paused=True)
    checkpoint = Checkpoint(association)
    assert checkpoint.wait()
    assert association._is_paused is False


def test_who_is_said_to_be_pausing_passes_only_when_let_go() -> None:
    association = SimpleNamespace(_is_paused=False)
    checkpoint = Checkpoint(association)
    passed, ended = 0, False

    def reactor() -> None:
        nonlocal passed
        while not ended:
            association._is_paused = True  # as Association._run_reactor has it
            checkpoint.wait()
            association._is_paused = False
            passed += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=reactor)
    thread.start()
    try:
        for _ in range(2000):
            checkpoint.clear()
            while not association._is_paused:  # as Association.send_c_store has it
                time.sleep(0)
            before = passed
            time.sleep(0)
            time.sleep(1e-5)
            assert passed == before, "the reactor went on while it was to pause"
            checkpoint.set()
    finally:
        ended = True
        checkpoint.set()
        sys.setswitchinterval(interval)
        thread.join()

"""Which process holds a TCP port or runs with a file, read from /proc, so that "in use" can say by whom."""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Container, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # state of a listening socket in /proc/net/tcp
_SOCKET = re.compile(r"socket:\[(\d+)\]\Z")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process in the way. Without the right to look into it, pid is None."""

    pid: int | None
    name: str
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid is not None else self.name


def holder_of(port: int) -> Holder | None:
    """The process that listens on the port, on whatever address; None where nobody does."""
    inodes = dict(_listening(port))
    if not inodes:
        return None
    for process in _processes():
        if _holds(process, inodes):
            return _described(process)
    owner = next(iter(inodes.values()))
    return Holder(None, f"a process of user id {owner}")


def runner_of(argument: str, name: str) -> Holder | None:
    """The process of that name that was started with the argument; None where there is none."""
    for process in _processes():
        holder = _described(process)
        if holder.name == name and argument in holder.command[1:]:
            return holder
    return None


def free_port() -> int:
    """A port that was free a moment ago, below those that the kernel gives to outgoing connections."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 20000 and 32000")


def _processes() -> Iterator[Path]:
    return (process for process in Path("/proc").iterdir() if process.name.isdigit())


def _listening(port: int) -> Iterator[tuple[str, str]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                yield fields[9], fields[7]


def _holds(process: Path, inodes: Container[str]) -> bool:
    try:
        for link in (process / "fd").iterdir():
            match = _SOCKET.match(os.readlink(link))
            if match is not None and match[1] in inodes:
                return True
    except OSError:
        return False  # ended meanwhile, or not ours to look into
    return False


def _described(process: Path) -> Holder:
    pid = int(process.name)
    try:
        name = (process / "comm").read_text().strip()
        command = (process / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return Holder(pid, "a process that is ending")
    return Holder(pid, name, tuple(command))

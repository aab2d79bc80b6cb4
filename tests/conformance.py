"""docs/conformance-hl7.md: what a running listener answers to every message of the corpus (``make conformance``).

Each file is sent in one frame over MLLP, to a listener with a fresh database: no message of another project stands in
its way. Where ``INTEROP_CORPUS`` is set, a test holds the page to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interop.hl7.acknowledgement_mode import Manner
from interop.hl7.framing import VT, frame
from interop.hl7.message import Message
from interop.mapping.messages import read_message
from interop.store import MessageRow, Store, open_store
from tests.mllp_door import listening
from tests.sites import a_site, tables

PAGE = Path(__file__).resolve().parents[1] / "docs/conformance-hl7.md"
_INTRODUCTION = """\
# What becomes of other projects' HL7 messages

Written by `make conformance`: {files} files with {messages} messages, of {projects} open projects and, for character
sets, our own. Each file is sent in one frame over MLLP to a running listener with an empty database, which answers in
original mode whatever MSH-15 and MSH-16 ask for. Every message is answered, kept with its answer, and in a decided
state: AA, or AE or AR with the reason; what is an answer itself is kept, and not answered (none). No segment of an
accepted message is lost unseen: a row of the [mapping tables](reference/mappings.md) reads it, or they say that it
carries nothing here, or an issue names it.

Most of the corpus is not for an imaging server (vaccinations, pharmacy, billing) and is refused by its type.

| answer | messages |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message."""

    file: str
    type: str
    answer: str
    reason: str  # of AE and AR
    told: tuple[str, ...]  # segments that an issue names
    silent: tuple[str, ...]  # segments that nothing reads and nothing names; has to be empty


def files(corpus: Path) -> list[Path]:
    """The messages of the corpus."""
    return sorted((corpus / "hl7").rglob("*.hl7"))


async def outcomes(corpus: Path) -> list[Outcome]:
    """What becomes of each message of each file."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="interop-conformance-") as name:
        folder = Path(name)
        empty = folder / "empty.db"
        await (await open_store(f"sqlite:///{empty}")).close()
        for path in files(corpus):
            database = folder / "interop.db"
            shutil.copyfile(empty, database)
            store = await open_store(f"sqlite:///{database}")
            try:
                found += await _sent(store, path.read_bytes(), str(path.relative_to(corpus / "hl7")))
            finally:
                await store.close()
            for left in folder.glob("interop.db*"):
                left.unlink()
    return found


async def _sent(store: Store, data: bytes, name: str) -> list[Outcome]:
    rules = replace(tables(), manner=Manner(mode="original"))  # what became of it, whichever answers it asks for
    async with listening(store, site=replace(a_site(), tables=rules)) as (_, connect):
        peer = await connect()
        await peer.write(data if VT in data else frame(data))  # some were saved as they went over the wire
        peer.writer.write_eof()
        answers: list[Message] = []
        with contextlib.suppress(EOFError):
            while True:
                answers.append(await peer.answer())
    rows = await store.view(lambda tx: tx.find_messages(direction="in", limit=1000))
    strays = [Outcome(name, row.type, "none", "it is an answer itself", (), ()) for row in rows if row.ack is None]
    answered = {row.ack: row for row in rows}
    return [*(_outcome(answer, answered.get(answer.raw), name) for answer in answers), *strays]


def _outcome(answer: Message, row: MessageRow | None, name: str) -> Outcome:
    code = answer.get("MSA-1")
    if row is None or row.ack_code != code:
        return Outcome(name, "", code, "answered, and not kept", (), ("MSH",))
    issues: list[dict[str, Any]] = list(row.issues)
    reason = _reason(issues[0]) if code != "AA" and issues else ""
    told = tuple(dict.fromkeys(str(issue.get("location") or "")[:3] for issue in issues if code == "AA"))
    return Outcome(name, row.type or "unreadable", code, reason, told, _silent(row, told) if code == "AA" else ())


def _reason(issue: dict[str, Any]) -> str:
    """The reason, without what this message has in that place."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|; supported are .*| \(\d+ bytes\)", "…", str(issue["text"]))
    text = re.sub(r"^\S+\^\S+ (is not supported)…", r"the type \1", text)
    text = re.sub(r"^(MSH-10) \S+ (?=was used)", r"\1 … ", text)
    place = re.sub(r"\[\d+\]", "", str(issue.get("location") or ""))
    return f"{place}: {text}" if place else text


def _silent(row: MessageRow, told: tuple[str, ...]) -> tuple[str, ...]:
    """The segments of an accepted message that no row reads, no table sets aside and no issue names."""
    rules = tables()
    read = read_message(row.raw, rules)
    table = rules.messages[read.type]
    names = dict.fromkeys(segment.name for segment in read.segments)
    return tuple(name for name in names if name not in table.known and name not in told)


def page(found: list[Outcome]) -> str:
    """The page."""
    groups: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    answers: dict[str, int] = defaultdict(int)
    for one in found:
        answers[one.answer] += 1
        kind = one.type if one.answer == "AA" or not one.reason.endswith("the type is not supported") else _kind(one)
        groups[one.answer, kind, one.reason].append(one)
    projects = {one.file.split("/")[0] for one in found if not one.file.startswith("derived-")}
    lines = [
        _INTRODUCTION.format(
            files=len({one.file for one in found}), projects=len(projects), messages=len(found)
        ).rstrip("\n")
    ]
    lines += [f"| {code} | {count} |" for code, count in sorted(answers.items())]
    lines += ["", "## Accepted", "", "| type | messages | named in issues | for example |", "|---|---|---|---|"]
    for (code, kind, _), members in sorted(groups.items()):
        if code == "AA":
            named = sorted({name for one in members for name in one.told if name})
            lines.append(f"| {kind} | {len(members)} | {', '.join(named) or 'none'} | {_example(members)} |")
    lines += ["", "## Refused", "", "| answer | type | reason | messages | for example |", "|---|---|---|---|---|"]
    for (code, kind, reason), members in sorted(groups.items()):
        if code != "AA":
            words = reason.replace("|", "\\|")
            lines.append(f"| {code} | {kind} | {words} | {len(members)} | {_example(members)} |")
    return "\n".join(lines) + "\n"


def _kind(one: Outcome) -> str:
    return one.type.split("^")[0]


def _example(members: list[Outcome]) -> str:
    return members[0].file.replace("|", "\\|")


def main() -> int:
    """Write the page; exit status 2 without the corpus."""
    if "INTEROP_CORPUS" not in os.environ:
        sys.stderr.write("conformance: INTEROP_CORPUS does not say where the corpus is\n")
        return 2
    found = asyncio.run(outcomes(Path(os.environ["INTEROP_CORPUS"])))
    PAGE.write_text(page(found))
    for one in found:
        if one.silent:
            sys.stderr.write(f"conformance: {one.file}: nothing is said of {', '.join(one.silent)}\n")
    return 1 if any(one.silent for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())

"""``make bench-hapi``: HAPI's JPA server and this one on the same PostgreSQL, in turn, asked for the same things.

``BENCH_HAPI`` names the war of its starter project, https://github.com/hapifhir/hapi-fhir-jpaserver-starter, made there
by ``mvn -DskipTests package spring-boot:repackage -Pboot``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.fhir import Interaction, interactions, stocked
from bench.figures import Figure, against, machine, rate_figure, table
from bench.load import Load, Outcome
from bench.parts import ROOT, MeasurementError, Server, free_ports, generate, process
from bench.stock import FAMILY, ORDERS, family, large_study
from tests.postgres import Cluster

PROGRAM = "BENCH_HAPI"
NAME = "HAPI"
PAGE = ROOT / "docs/performance-hapi.md"
RESOURCES = 10_000
FAMILIES_A_BUNDLE = 20
CLIENTS = 16
ROUNDS = 3
SECONDS = 3.0
WARM_UP_SECONDS = 5.0  # the time of the just-in-time compiler is not the server's
START_SECONDS = 300.0
READS, OTHERS = "≥ 4×", "≥ 2×"
_FOUND = {"create of an imaging ServiceRequest": ORDERS}  # what a good answer of HAPI's holds, where it is another
_WITHIN = re.compile(r"hapi-fhir-jpaserver-base-([0-9.]+)\.jar$")


def measure(folder: Path, program: str) -> list[Figure]:
    """Each interaction at 16 clients, ours and HAPI's in turn; both on durable databases of one cluster."""
    with ExitStack() as stack:
        cluster = Cluster(durable=True)
        stack.callback(cluster.remove)
        port = stack.enter_context(_hapi(folder, program, cluster, cluster.create_database()))
        ours = stack.enter_context(stocked(folder, RESOURCES, cluster.url(cluster.create_database())))
        _fill(port)
        figures: list[Figure] = []
        for number, each in enumerate(interactions(ours, RESOURCES)):
            figures += _compared(each, ours, port, 1_000_000 * (1 + number))
        return figures


def _compared(each: Interaction, ours: Server, port: int, first: int) -> list[Figure]:
    theirs = [template.replace(f":{ours.http_port}\r\n", f":{port}\r\n") for template in each.templates]
    good = _FOUND.get(each.name, each.good)
    generate(Load(port, "http", theirs, CLIENTS, WARM_UP_SECONDS, first, good))
    generate(Load(ours.http_port, "http", each.templates, CLIENTS, WARM_UP_SECONDS / 5, first, each.good))
    found: tuple[list[Outcome], list[Outcome]] = ([], [])
    for _ in range(ROUNDS):
        first += 100_000
        found[0].append(generate(Load(ours.http_port, "http", each.templates, CLIENTS, SECONDS, first, each.good)))
        found[1].append(generate(Load(port, "http", theirs, CLIENTS, SECONDS, first, good)))
    goal = READS if each.name.startswith("read ") else OTHERS
    ratio = f"{against(found[0], found[1])} of {NAME}"
    sys.stdout.write(f"{each.name}: {ratio}\n")
    sys.stdout.flush()
    return [
        rate_figure(each.name, found[0], ratio=ratio, goal=goal),
        rate_figure(f"{each.name}: {NAME}", found[1]),
    ]


@contextmanager
def _hapi(folder: Path, program: str, cluster: Cluster, database: str) -> Iterator[int]:
    """HAPI on a free port, as its starter has it but for PostgreSQL and answers without needless blanks."""
    (port,) = free_ports(1)
    settings = {
        "SERVER_PORT": str(port),
        "SPRING_DATASOURCE_URL": f"jdbc:postgresql://127.0.0.1:{cluster.port}/{database}",
        "SPRING_DATASOURCE_USERNAME": "interop",
        "SPRING_DATASOURCE_PASSWORD": "",
        "SPRING_DATASOURCE_DRIVERCLASSNAME": "org.postgresql.Driver",
        "SPRING_DATASOURCE_HIKARI_MAXIMUMPOOLSIZE": str(2 * CLIENTS),
        "SPRING_JPA_PROPERTIES_HIBERNATE_DIALECT": "ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect",
        "SPRING_JPA_PROPERTIES_HIBERNATE_SEARCH_ENABLED": "false",
        "HAPI_FHIR_FHIR_VERSION": "R4",
        "HAPI_FHIR_DEFAULT_PRETTY_PRINT": "false",
    }
    log = folder / "hapi.log"
    with process(
        "java", "-Xmx4g", "-jar", str(Path(program).resolve()), environment={**os.environ, **settings}, log=log
    ):
        _await_answer(port, log)
        yield port


def _await_answer(port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/fhir/metadata", timeout=60).close()
            return
        except OSError:
            time.sleep(1)
    raise MeasurementError(f"{NAME} does not answer after {START_SECONDS:.0f} s: {log.read_text()[-1000:]}")


def _fill(port: int) -> None:
    """The same stock, by HAPI's own door: transactions of updates as creates."""
    families = range(RESOURCES // FAMILY)
    for first in families[::FAMILIES_A_BUNDLE]:
        _transact(port, [each for n in families[first : first + FAMILIES_A_BUNDLE] for each in family(n)])
    _transact(port, [large_study()])


def _transact(port: int, resources: Sequence[Mapping[str, Any]]) -> None:
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
    headers = {"Content-Type": "application/fhir+json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/fhir", body, headers)
    try:
        urllib.request.urlopen(asked, timeout=120).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        raise MeasurementError(f"{NAME}: {error.code} {error.read()[:500]!r}") from error


def version(program: str) -> str:
    """HAPI's version, as the war's libraries are called."""
    with zipfile.ZipFile(program) as war:
        found = (_WITHIN.search(name) for name in war.namelist())
        return next((match.group(1) for match in found if match), "of an unknown version")


def page(figures: Sequence[Figure], program: str) -> str:
    """docs/performance-hapi.md."""
    return f"""\
# Performance beside HAPI

Written by `make bench-hapi BENCH_HAPI=WAR`, where WAR is what HAPI's
[starter project](https://github.com/hapifhir/hapi-fhir-jpaserver-starter) makes by
`mvn -DskipTests package spring-boot:repackage -Pboot`.

HAPI JPA {version(program)} and this server on two databases of one PostgreSQL that fsyncs, both with the same
{RESOURCES:,} resources, {CLIENTS} clients on connections that stay open, in turn, the middle one of {ROUNDS} rounds.
HAPI runs as its starter has it, warmed up, with 4 GB of memory, a pool of {2 * CLIENTS} connections and its answers not
indented; it writes no AuditEvents, validates no resource it stores and repeats the result of a search for a minute.
Ours leaves an AuditEvent of each interaction, committed and fsynced before the answer, validates what it stores and
searches each time.

Measured on {machine()}

{table(figures)}"""


def main() -> int:
    """Exit status 0 when both were measured; the page is written then."""
    program = os.environ.get(PROGRAM, "")
    if not program or shutil.which("java") is None:
        sys.stderr.write(f"bench: {PROGRAM} names no war\n" if not program else "bench: there is no java\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="interop-bench-") as folder:
        try:
            figures = measure(Path(folder), program)
        except MeasurementError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    PAGE.write_text(page(figures, program))
    sys.stdout.write(f"\n{table(figures)}\nbench: {PAGE.relative_to(ROOT)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

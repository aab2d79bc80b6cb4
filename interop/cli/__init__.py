"""The ``interop`` command line: what an engineer types, at two in the morning too."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from interop.cli import hl7, jobs, mappings, match, pacs, share, simulate
from interop.cli import preview as preview  # these four add their commands to those of hl7
from interop.cli import status as status
from interop.cli import steering as steering
from interop.cli import validate as validate
from interop.errors import InteropError
from interop.settings import Settings, faults

app = typer.Typer(
    name="interop",
    help="Imaging interoperability: FHIR R4, HL7 v2, DICOMweb and Modality Worklist meet in standard resources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(hl7.commands, name="hl7")
app.add_typer(jobs.commands, name="jobs")
app.add_typer(mappings.commands, name="mappings")
app.add_typer(match.commands, name="match")
app.add_typer(pacs.commands, name="pacs")
app.add_typer(share.commands, name="share")
app.add_typer(simulate.commands, name="simulate")

RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="http, mllp, worker, dimse; give it several times. All but dimse unless given."),
]


def main() -> None:
    """Run the command; a refusal is one line on standard error and exit status 1, never a traceback."""
    try:
        app()
    except InteropError as error:
        print(f"interop: {error}", file=sys.stderr)  # noqa: T201
        for issue in error.issues:
            if issue.text != str(error):
                print(f"  {issue.location or ''} {issue.text}".rstrip(), file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except ValidationError as error:
        for fault in faults(error):
            print(f"interop: {fault}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"interop: {named}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def serve(role: RoleOption = None) -> None:
    """Run the server against the Orthanc that INTEROP_ORTHANC_URL names."""
    from interop import server

    server.run(Settings(), roles=server.parse_roles(role), private_orthanc=False)


@app.command()
def up(role: RoleOption = None) -> None:
    """Run the server and a private Orthanc as its child."""
    from interop import server

    server.run(Settings(), roles=server.parse_roles(role), private_orthanc=True)


@app.command()
def dimse() -> None:
    """Run the worklist and MPPS provider alone (on PostgreSQL; with SQLite set INTEROP_DIMSE=true for the server)."""
    from interop import server

    server.run(Settings(), roles=frozenset({"dimse"}), private_orthanc=False)


@app.command()
def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="End when the story is told; status 0 only if all held.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's data here; a new folder unless given.")] = None,
) -> None:
    """Start everything, play one order's life from EMR and RIS to the viewer, and verify each step."""
    from interop.demo import tell

    sys.exit(tell(leave=leave, data_dir=data_dir))


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from interop import server

    revision = asyncio.run(server.migrate(Settings()))
    typer.echo(f"the database is at revision {revision}")


@app.command()
def reindex(
    everything: Annotated[bool, typer.Option("--all", help="Also what is indexed as this version wants it.")] = False,
) -> None:
    """Index anew what was stored before this version's search parameters; a server does so itself when it starts."""
    from interop import server
    from interop.store import Progress

    def told(progress: Progress) -> None:
        typer.echo(f"{progress.done} of {progress.last}", err=True)

    count = asyncio.run(server.reindex(Settings(), anew=everything, told=told))
    typer.echo(f"the search index is complete; {count} were gone through")


@app.command()
def doctor(
    modality: Annotated[
        str | None, typer.Option(help="C-ECHO this AE title of the list of modalities, and check nothing else.")
    ] = None,
    pacs: Annotated[
        bool, typer.Option("--pacs", help="Go through what one archive can do, and check nothing else.")
    ] = False,
    archive: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="With --pacs: which archive; else the default one."),
    ] = None,
    store: Annotated[
        bool,
        typer.Option("--store", help="With --pacs: store a test object, and delete it where it can."),
    ] = False,
) -> None:
    """Check every dependency, version and connection, and say what to do."""
    if not pacs and (archive is not None or store):
        raise typer.BadParameter("a name and --store go with --pacs")
    if pacs:
        from interop.cli.archive_doctor import examine_archive

        sys.exit(asyncio.run(examine_archive(Settings(), archive, store=store)))
    if modality is not None:
        from interop.cli.stations import examine_station

        sys.exit(examine_station(Settings(), modality))
    from interop.cli.doctor import examine

    sys.exit(asyncio.run(examine(Settings())))


@app.command()
def token(
    scope: Annotated[str, typer.Option(help="SMART scopes, separated by spaces.")] = "system/*.cruds",
    subject: Annotated[str, typer.Option(help="Who the bearer stands for.")] = "local",
    patient: Annotated[str | None, typer.Option(help="Id of the Patient that patient/ scopes are bound to.")] = None,
    minutes: Annotated[int, typer.Option(min=1, max=60 * 24 * 366, help="How long it is good for.")] = 60,
) -> None:
    """Print a bearer token for local use, as the last line."""
    from interop.auth.keys import Keys
    from interop.auth.tokens import Tokens

    tokens = Tokens(Keys.load(Settings().data_dir))
    typer.echo(tokens.issue(subject, scope.split(), patient=patient, client="cli", minutes=minutes))


@app.command("subscription-key")
def subscription_key(id: Annotated[str, typer.Argument(help="Id of the Subscription.")]) -> None:
    """Print the key that signs the notifications of a subscription, for its receiver to check them with."""
    from interop.access import signatures
    from interop.parts import subscription_secret

    typer.echo(signatures.subscription_key(subscription_secret(Settings()), id))


@app.command("orthanc-config")
def orthanc_config(
    output: Annotated[Path, typer.Argument(help="File to write, mode 0600.")],
    docker: Annotated[bool, typer.Option("--docker", help="For the container image of docker-compose.yml.")],
) -> None:
    """Write the configuration that Orthanc's container needs for this server; `interop up` writes its own."""
    from interop.parts import write_orthanc_configuration

    if not docker:
        raise InteropError("there is one kind to write: --docker; a private Orthanc gets its own from interop up")
    write_orthanc_configuration(Settings(), output)
    typer.echo(f"wrote {output}")

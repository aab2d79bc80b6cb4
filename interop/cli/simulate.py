"""``interop simulate``: play a peer that is not here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from interop.errors import InvalidContentError
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.testing.modality import Peer

commands = typer.Typer(help="Play a peer that is not here.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Play a peer that is not here."""


@commands.command("modality")
def modality(
    accession: Annotated[str, typer.Option(help="Accession number of the worklist item to take.")] = "",
    demo: Annotated[bool, typer.Option("--demo", help="A CT, MR, CR and XA of named patients, no worklist.")] = False,
    aet: Annotated[str, typer.Option(help="AE title to call with; one of orthanc/modalities.toml.")] = "CT1",
    host: Annotated[str, typer.Option(help="Where the archive is.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Its DICOM port; INTEROP_ORTHANC_DICOM_PORT unless given.")] = None,
    called: Annotated[str, typer.Option(help="Its AE title; INTEROP_ORTHANC_AET unless given.")] = "",
    images: Annotated[int, typer.Option(min=1, max=5000, help="Images to make (frames, for a cine).")] = 60,
    rate: Annotated[float, typer.Option(min=0, help="Images a second; 0: as fast as they are taken.")] = 0,
    worklist: Annotated[str, typer.Option(help="HOST:PORT of this server's own worklist, in Orthanc's place.")] = "",
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds in which an item may still come: it is asked for again.")
    ] = 10,
    mpps: Annotated[str, typer.Option(help="HOST:PORT of who is told what is performed (INTEROP_DIMSE_PORT).")] = "",
) -> None:
    """Echo, ask the worklist, take the item of an accession number and store a plausible study for it."""
    from interop.testing.modality import Peer, acquire
    from interop.testing.performing import Performing

    settings = Settings()
    archive = Peer(called or settings.orthanc_aet, host, port or settings.orthanc_dicom_port)
    if demo == bool(accession):
        raise InvalidContentError("give either --accession or --demo")
    if demo:
        _walk_ins(archive, aet, rate)
        return
    asked = Peer(settings.dimse_aet, *_place(worklist)) if worklist else None
    report = None
    if mpps:
        told_host, told_port = _place(mpps)
        report = Performing(host=told_host, port=told_port, called_aet=settings.dimse_aet, calling_aet=aet)
    done = acquire(
        host=archive.host,
        port=archive.port,
        called_aet=archive.aet,
        calling_aet=aet,
        accession=accession,
        images=images,
        progress=typer.echo,
        worklist=asked,
        report=report,
        rate=rate,
        patience=wait,
    )
    typer.echo(f"stored {done.instances} instances of study {done.study_uid}")


def _walk_ins(archive: Peer, aet: str, rate: float) -> None:
    from interop.testing.walk_ins import send_walk_ins

    now = datetime.now().astimezone()
    for done in send_walk_ins(
        host=archive.host,
        port=archive.port,
        called_aet=archive.aet,
        calling_aet=aet,
        now=now,
        progress=typer.echo,
        rate=rate,
    ):
        typer.echo(f"stored {done.instances} instances of study {done.study_uid}")


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidContentError(f"{text!r} is not HOST:PORT, e.g. 127.0.0.1:4243")
    return host.strip("[]"), int(port)

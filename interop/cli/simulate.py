"""``interop simulate``: play a peer that is not here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from interop.errors import InvalidContentError
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.testing.faulty import Faults
    from interop.testing.modality import Acquired, Peer

commands = typer.Typer(help="Play a peer that is not here.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Play a peer that is not here."""


@commands.command("modality")
def modality(
    accession: Annotated[
        list[str] | None,
        typer.Option(help="Accession number of the worklist item to take; may be given several times."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A CT, MR, CR and XA of named patients, no worklist.")] = False,
    aet: Annotated[str, typer.Option(help="AE title to call with; one of orthanc/modalities.toml.")] = "CT1",
    host: Annotated[str, typer.Option(help="Where the archive is.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Its DICOM port; INTEROP_ORTHANC_DICOM_PORT unless given.")] = None,
    called: Annotated[str, typer.Option(help="Its AE title; INTEROP_ORTHANC_AET unless given.")] = "",
    images: Annotated[
        int | None,
        typer.Option(min=1, max=5000, help="Images of each study (frames, for a cine); 60 unless given, or --demo's."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Images a second; 0: as fast as they are taken.")] = 0,
    defects: Annotated[
        str, typer.Option(help="What goes wrong in each study (missing-accession,typo-in-id), or in which share (0.1).")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="The same defects again; told at the end.")] = None,
    worklist: Annotated[str, typer.Option(help="HOST:PORT of this server's own worklist, in Orthanc's place.")] = "",
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds in which an item may still come, 10 unless given: it is asked for again."),
    ] = None,
    mpps: Annotated[str, typer.Option(help="HOST:PORT of who is told what is performed (INTEROP_DIMSE_PORT).")] = "",
) -> None:
    """Echo, ask the worklist, take the item of an accession number and store a plausible study for it."""
    from interop.testing.faulty import Faults
    from interop.testing.modality import Peer

    if demo == bool(accession):
        raise InvalidContentError("give either --accession or --demo")
    if demo and (worklist or mpps or wait is not None):
        raise InvalidContentError("--demo asks no worklist and reports nothing: not with --worklist, --wait or --mpps")
    if seed is not None and not defects:
        raise InvalidContentError("--seed is of --defects")
    settings = Settings()
    archive = Peer(called or settings.orthanc_aet, host, port or settings.orthanc_dicom_port)
    faults = Faults.read(defects, seed) if defects else None
    if demo:
        sent = _walk_ins(archive, aet, rate, images, faults)
    else:
        asked = Peer(settings.dimse_aet, *_place(worklist)) if worklist else None
        told = Peer(settings.dimse_aet, *_place(mpps)) if mpps else None
        patience = 10.0 if wait is None else wait
        sent = _scheduled(archive, aet, accession or [], images or 60, rate, asked, told, patience, faults)
    done = []
    try:
        for study in sent:
            typer.echo(f"stored {study.instances} instances of study {study.study_uid}")
            done.append(study)
    finally:  # also what came before a refusal
        if faults is not None:
            _tell(faults.seed, done)


def _scheduled(
    archive: Peer,
    aet: str,
    accessions: list[str],
    images: int,
    rate: float,
    asked: Peer | None,
    told: Peer | None,
    patience: float,
    faults: Faults | None,
) -> Iterator[Acquired]:
    from interop.testing.modality import acquire
    from interop.testing.performing import Performing

    for accession in accessions:
        report = None
        if told is not None:
            report = Performing(host=told.host, port=told.port, called_aet=told.aet, calling_aet=aet)
        yield acquire(
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
            patience=patience,
            faults=faults,
        )


def _walk_ins(archive: Peer, aet: str, rate: float, images: int | None, faults: Faults | None) -> Iterator[Acquired]:
    from interop.testing.walk_ins import send_walk_ins

    return send_walk_ins(
        host=archive.host,
        port=archive.port,
        called_aet=archive.aet,
        calling_aet=aet,
        now=datetime.now().astimezone(),
        progress=typer.echo,
        rate=rate,
        images=images,
        faults=faults,
    )


def _tell(seed: int, done: list[Acquired]) -> None:
    """Which study got which defect."""
    typer.echo(f"defects, seed {seed}:")
    for study in done:
        names = ", ".join(study.fault.defects) or "none"
        changed = f" ({'; '.join(study.fault.changed)})" if study.fault.changed else ""
        typer.echo(f"  accession {study.accession}, study {study.study_uid}: {names}{changed}")


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidContentError(f"{text!r} is not HOST:PORT, e.g. 127.0.0.1:4243")
    return host.strip("[]"), int(port)

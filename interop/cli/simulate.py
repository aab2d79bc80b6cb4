"""``interop simulate``: play a peer that is not here."""

from __future__ import annotations

from typing import Annotated

import typer

from interop.settings import Settings

commands = typer.Typer(help="Play a peer that is not here.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Play a peer that is not here."""


@commands.command("modality")
def modality(
    accession: Annotated[str, typer.Option(help="Accession number of the worklist item to take.")],
    aet: Annotated[str, typer.Option(help="AE title to call with; one of orthanc/modalities.toml.")] = "CT1",
    host: Annotated[str, typer.Option(help="Where Orthanc is.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Its DICOM port; INTEROP_ORTHANC_DICOM_PORT unless given.")] = None,
    images: Annotated[int, typer.Option(min=1, max=5000, help="Images to make (frames, for a cine).")] = 60,
) -> None:
    """Ask the worklist, take the item of an accession number and store a plausible study for it."""
    from interop.testing.modality import acquire

    settings = Settings()
    done = acquire(
        host=host,
        port=port or settings.orthanc_dicom_port,
        called_aet=settings.orthanc_aet,
        calling_aet=aet,
        accession=accession,
        images=images,
        progress=typer.echo,
    )
    typer.echo(f"stored {done.instances} instances of study {done.study_uid}")

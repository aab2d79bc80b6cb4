"""Who may do what: one decision for FHIR, DICOMweb and the launcher."""

from __future__ import annotations

from interop.access.agent import Agent
from interop.access.scopes import granted
from interop.errors import ForbiddenError

_NAMES = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}
# Outside every patient compartment (R4 compartmentdefinition-patient): nothing in them is about one patient.
_OF_NO_PATIENT = frozenset({"Organization", "Practitioner", "Endpoint", "Location", "PractitionerRole"})


def decide(agent: Agent, verb: str, type_: str, *, patient: str | None = None) -> None:
    """ForbiddenError unless the agent may carry out the interaction.

    ``verb`` is one letter of ``cruds``; ``patient`` is the one it is about (``Patient/<id>``), where it is about one.
    A ``patient/`` scope holds for the token's own patient; without that patient named it grants nothing but reading
    what belongs to no patient.
    """
    in_context = False
    for scope in granted(agent.scopes) if agent.studies is None else ():  # a viewer session holds studies, no scopes
        if not scope.covers(verb, type_):
            continue
        if scope.context != "patient":
            return
        in_context = True
        if _within(agent, verb, type_, patient):
            return
    what = f"{_NAMES[verb]} {type_}"
    if in_context:
        raise ForbiddenError(f"the token allows {what} for its own patient only")
    raise ForbiddenError(f"no scope allows {what}")


def _within(agent: Agent, verb: str, type_: str, patient: str | None) -> bool:
    if agent.patient is None:  # missing context is not system access (SMART Imaging Access)
        return False
    if patient is None:
        return verb in "rs" and type_ in _OF_NO_PATIENT
    return patient == f"Patient/{agent.patient}"


def may_view_study(agent: Agent, study_uid: str, *, patient: str | None = None) -> bool:
    """Whether the agent may retrieve images of the study.

    A viewer session holds exactly its studies and nothing else; any other agent needs to be allowed to read the
    ImagingStudy, for which ``patient`` says whose it is.
    """
    if agent.studies is not None:
        return study_uid in agent.studies
    try:
        decide(agent, "r", "ImagingStudy", patient=patient)
    except ForbiddenError:
        return False
    return True


def may_store_images(agent: Agent, study_uid: str | None, *, patient: str | None = None) -> None:
    """ForbiddenError unless the agent may store images of the study, ``patient`` being the one whose it is.

    A viewer session needs a launch of that study that allows annotating. Without a study: of any one.
    """
    if agent.studies is None:
        if study_uid is not None or not bound_to_patient(agent, "c", "ImagingStudy"):
            decide(agent, "c", "ImagingStudy", patient=patient)
        return
    within = agent.annotates & agent.studies
    if study_uid not in within if study_uid is not None else not within:
        raise ForbiddenError("this viewer session does not allow storing annotations of the study")


def bound_to_patient(agent: Agent, verb: str, type_: str) -> bool:
    """Whether only ``patient/`` scopes cover the interaction, so that searches must be held to that patient."""
    contexts = {scope.context for scope in granted(agent.scopes) if scope.covers(verb, type_)}
    return contexts == {"patient"}

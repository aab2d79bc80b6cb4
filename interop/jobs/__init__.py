"""Effects outside the database, owed by the commits that made them: one file per kind, one runner for all."""

from interop.jobs.runner import Backoff, BatchLane, Handler, JobRunner, Lane, Outcome, UndeliverableError
from interop.jobs.send import Sender, SendJobs
from interop.jobs.worklist import WorklistJobs, reconcile
from interop.jobs.worklist_items import Made, Wanted, WorklistItems

__all__ = [
    "Backoff",
    "BatchLane",
    "Handler",
    "JobRunner",
    "Lane",
    "Made",
    "Outcome",
    "SendJobs",
    "Sender",
    "UndeliverableError",
    "Wanted",
    "WorklistItems",
    "WorklistJobs",
    "reconcile",
]

"""Effects outside the database, owed by the commits that made them: one file per kind, one runner for all."""

from interop.jobs.runner import Backoff, Handler, JobRunner, Lane, Outcome, UndeliverableError
from interop.jobs.send import Sender, SendJobs
from interop.jobs.worklist import WorklistFolder, WorklistJobs, reconcile

__all__ = [
    "Backoff",
    "Handler",
    "JobRunner",
    "Lane",
    "Outcome",
    "SendJobs",
    "Sender",
    "UndeliverableError",
    "WorklistFolder",
    "WorklistJobs",
    "reconcile",
]

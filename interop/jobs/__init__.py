"""Effects outside the database, owed by the commits that made them: one file per kind, one runner for all."""

from interop.jobs.expiring import expire, keep_expired
from interop.jobs.indexing import keep_indexed, reindex
from interop.jobs.notice import NoticeJobs
from interop.jobs.notify import Notifier, NotifyJobs, Posts
from interop.jobs.pruning import keep_pruned, prune
from interop.jobs.report_pdf import ReportPdfJobs, report_pdf_lane
from interop.jobs.runner import Backoff, BatchLane, Handler, JobRunner, Lane, LaterError, Outcome, UndeliverableError
from interop.jobs.send import Sender, SendJobs, sending_lanes
from interop.jobs.subscribing import SubscriptionJobs, keep_watching, notifying_lanes, watching
from interop.jobs.tags import TagJobs, tags_lane
from interop.jobs.unasked import UnaskedAnswers
from interop.jobs.worklist import WorklistJobs
from interop.jobs.worklist_compared import keep_compared, mend, reconcile, verify, worklist_answers, worklist_kept
from interop.jobs.worklist_items import Made, Wanted, WorklistItems

__all__ = [
    "Backoff",
    "BatchLane",
    "Handler",
    "JobRunner",
    "Lane",
    "LaterError",
    "Made",
    "NoticeJobs",
    "Notifier",
    "NotifyJobs",
    "Outcome",
    "Posts",
    "ReportPdfJobs",
    "SendJobs",
    "Sender",
    "SubscriptionJobs",
    "TagJobs",
    "UnaskedAnswers",
    "UndeliverableError",
    "Wanted",
    "WorklistItems",
    "WorklistJobs",
    "expire",
    "keep_compared",
    "keep_expired",
    "keep_indexed",
    "keep_pruned",
    "keep_watching",
    "mend",
    "notifying_lanes",
    "prune",
    "reconcile",
    "reindex",
    "report_pdf_lane",
    "sending_lanes",
    "tags_lane",
    "verify",
    "watching",
    "worklist_answers",
    "worklist_kept",
]

"""The door to the dead letters: jobs of every kind that were given up, tried again or dropped."""

from interop.jobs_api.routes import VERBS, DeadJobs, jobs_routes

__all__ = ["VERBS", "DeadJobs", "jobs_routes"]

"""The door by which images are noticed: it consumes the archive's changes and registers the studies they make."""

from interop.archive_feed.feed import ArchiveFeed, FeedHealth, Register

__all__ = ["ArchiveFeed", "FeedHealth", "Register"]

"""The door by which images are noticed: it consumes the archives' changes and registers the studies they make."""

from interop.archive_feed.consuming import Feed, FeedHealth, Kept, Register
from interop.archive_feed.feed import ArchiveFeed
from interop.archive_feed.polling import QidoFeed

__all__ = ["ArchiveFeed", "Feed", "FeedHealth", "Kept", "QidoFeed", "Register"]

"""One order's life on real parts, played from outside: what ``make demo`` shows and the acceptance tests verify."""

from interop.demo.teller import tell

__all__ = ["tell"]

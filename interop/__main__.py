"""``python -m interop`` is the ``interop`` command."""

from interop.cli import main

main()

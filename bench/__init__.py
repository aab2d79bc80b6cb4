"""What the server does in a second, beside what its peers do in the same run: ``make bench``."""

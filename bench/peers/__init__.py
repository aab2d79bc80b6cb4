"""Servers that others wrote, started as processes of their own and measured in the same run."""

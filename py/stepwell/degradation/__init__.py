"""Decides whether we are in trouble and how far to step down: the ladder."""

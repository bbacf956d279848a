"""Releases: one signed directory, published, verified, swapped and drained as a unit."""

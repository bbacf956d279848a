"""Releases: one signed directory, published, verified, swapped, drained as a unit."""

"""Typed face of the native nearest-neighbour indexes."""
